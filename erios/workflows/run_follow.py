"""Runs after their start: follow, stop, and close those that ended or lost their right.

Owns the end of a run: a job that dies without leaving a result is found here and closed with its reason.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from erios.accounts.models import User
from erios.accounts.sealed_rows import check_study
from erios.errors import BusyError, EriosError, StorageError
from erios.governance.run import State
from erios.governance.words import Refusal
from erios.locks import held
from erios.settings import Settings, load_settings
from erios.studies.models import Run
from erios.studies.run_actions import end_run, note_closed, note_running, stop_run
from erios.studies.run_selectors import left_open, live_runs, lost_right
from erios.workflows.run_jobs import cancel_job, job_folder, lock_of, scheduler_of, spec_of
from erios.workflows.run_summary import summary_of
from experiments.attempt_outcome import Outcome
from experiments.cluster import Phase
from experiments.errors import ExperimentError
from experiments.event_log import read_events
from experiments.recorder import SILENT, close_lost, mlflow_run, read_end
from experiments.run_spec import RunSpec

_log = logging.getLogger(__name__)

_HANDOVER = 60.0
"""Longest time between the record of a run and its submission, in seconds."""


def follow() -> list[Run]:
    """Check every live run: record that it began or ended, stop it if its right has ended.

    Answers the runs that ended now.
    """
    settings = load_settings()
    for run in left_open():
        _locked(run, _close_stopped, settings)
    return [ended for run in live_runs() if (ended := _locked(run, _follow, settings)) is not None]


def _locked(run: Run, check: Callable[[Run, Settings], Run | None], settings: Settings) -> Run | None:
    """Check a run unless another process does: two would close its record twice.

    What a run has left on disk is the work of its training: one that cannot be read keeps no other from being stopped.
    """
    try:
        with held(lock_of(run, settings), patience=0):
            run.refresh_from_db()
            return check(run, settings)
    except BusyError:
        return None
    except (EriosError, ExperimentError):
        raise
    except Exception as error:
        _log.error("run %s cannot be followed: %s", run.number, type(error).__name__)
        return None


def _close_stopped(run: Run, settings: Settings) -> Run | None:
    """Close the record of a run that was stopped, and whose job was killed before it could do so itself."""
    has_ended = not run.job or scheduler_of(run, settings).state(run.job, job_folder(run, settings)).phase.is_final
    if has_ended and _close_attempts(spec_of(run, settings), run.reason):
        note_closed(run=run, tracked=_tracked(run, settings))
    return None


def _follow(run: Run, settings: Settings) -> Run | None:
    if not State(run.state).is_live:
        return None
    if refusal := _refusal(run):
        stopped = stop_run(run=run, by=None, reason=str(refusal))
        cancel_job(run, str(refusal), settings)
        return stopped
    if not run.job:
        return _give_up(run)
    state = scheduler_of(run, settings).state(run.job, job_folder(run, settings))
    if state.phase is Phase.RUNNING:
        note_running(run=run, tracked=_tracked(run, settings))
    return _close(run, state.phase, state.reason, settings) if state.phase.is_final else None


def _refusal(run: Run) -> Refusal | str | None:
    """Why the run may not go on; a record that is not as the chain tells gives no right."""
    try:
        check_study(run.extract.study)
    except StorageError as error:
        return error.sentence
    return lost_right(run)


def _give_up(run: Run) -> Run | None:
    """End a run without a job that no process holds: whoever was about to submit it was killed."""
    if (timezone.now() - run.created).total_seconds() < _HANDOVER:
        return None
    return end_run(run=run, state=State.FAILED, reason="whoever asked for it was gone before it was queued")


def _close(run: Run, phase: Phase, reason: str, settings: Settings) -> Run:
    """Record the end of a run's job: by the result that its last attempt left, else by the cluster's state."""
    spec, reason = spec_of(run, settings), reason or str(phase)
    closed = _close_attempts(spec, reason)
    outcome, left = read_end(spec.attempt_folder(spec.attempts)) or (Outcome.FAILED, "")
    if phase is Phase.DONE and outcome is Outcome.DONE:
        state, reason, weights = State.DONE, "", summary_of(run).weights
    else:
        state, weights = State.STOPPED if phase is Phase.CANCELLED else State.FAILED, ""
        reason = left if left not in ("", SILENT) else reason
    return end_run(run=run, state=state, reason=reason, tracked=_tracked(run, settings), closed=closed, weights=weights)


def _close_attempts(spec: RunSpec, reason: str) -> bool:
    """Send the end of attempts that died without one; False where the tracking does not answer, to be tried again."""
    try:
        for attempt in range(1, spec.attempts + 1):
            close_lost(spec, attempt, reason)
    except Exception as error:  # MLflow's, its database's, or the network's
        _log.error("the tracking does not take the end of %s: %s", spec.run, type(error).__name__)
        return False
    return True


def _tracked(run: Run, settings: Settings) -> str:
    """The MLflow run of the last attempt; empty if there is none."""
    spec = spec_of(run, settings)
    return mlflow_run(spec, spec.attempts) or ""


def stop(run: Run, by: User, reason: str) -> Run:
    """Stop a run, queued or at work; its checkpoint stays. Raises RuleBroken."""
    run = stop_run(run=run, by=by, reason=reason)
    cancel_job(run, reason, load_settings())
    return run


def stop_forbidden() -> list[str]:
    """After a clearance, study or account has changed: stop every run that has lost its right; answers which."""
    settings, stopped = load_settings(), []
    for run in live_runs():
        if refusal := _refusal(run):
            stop_run(run=run, by=None, reason=str(refusal))
            cancel_job(run, str(refusal), settings)
            stopped.append(run.number)
    return stopped


def watch(run: Run, settings: Settings, *, every: float = 0.5) -> Iterator[dict[str, Any]]:
    """The events of a run as they come, from its newest attempt on, until it has ended."""
    spec, position = spec_of(run, settings), _Position(0, 0)
    while True:
        run.refresh_from_db()
        is_live = State(run.state).is_live
        yield from position.read_on(spec)
        if not is_live:
            return
        time.sleep(every)
        _locked(run, _follow, settings)


@dataclass
class _Position:
    """How far the events of the newest attempt were read."""

    attempt: int
    offset: int

    def read_on(self, spec: RunSpec) -> Iterator[dict[str, Any]]:
        if spec.attempts > self.attempt:
            self.attempt, self.offset = spec.attempts, 0
        if self.attempt:
            for event, offset in read_events(spec.attempt_folder(self.attempt), self.offset):
                self.offset = offset
                yield event
