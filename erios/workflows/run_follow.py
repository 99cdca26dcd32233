"""Runs after their start: follow, stop, and close those that ended or lost their right.

Owns the end of a run: a job that dies without leaving a result is found here and closed with its reason.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from erios.errors import BusyError
from erios.governance.run import State
from erios.locks import held
from erios.settings import Settings, load_settings
from erios.studies.run_actions import end_run, note_closed, note_running, stop_run
from erios.studies.run_selectors import left_open, live_runs, lost_right
from erios.workflows.run_jobs import cancel_job, job_folder, lock_of, scheduler_of, spec_of
from erios.workflows.run_summary import summary_of
from experiments.cluster import Phase
from experiments.event_log import read_events
from experiments.recorder import ENDED, SILENT, close_lost, mlflow_run

if TYPE_CHECKING:
    from erios.accounts.models import User
    from erios.studies.models import Extract, Run
    from experiments.run_spec import RunSpec

_log = logging.getLogger(__name__)

_HANDOVER = 60.0
"""Longest time between the record of a run and its submission, in seconds."""


def follow() -> list[Run]:
    """Look at every live run: note what began, close what ended or died, stop what has lost its right.

    Answers the runs that ended now.
    """
    settings = load_settings()
    for run in left_open():
        _alone(run, _close_stopped, settings)
    return [ended for run in live_runs() if (ended := _alone(run, _follow, settings)) is not None]


def _alone(run: Run, look: Callable[[Run, Settings], Run | None], settings: Settings) -> Run | None:
    """Look at a run unless another process does: two would close its record twice."""
    try:
        with held(lock_of(run, settings), patience=0):
            run.refresh_from_db()
            return look(run, settings)
    except BusyError:
        return None


def _close_stopped(run: Run, settings: Settings) -> Run | None:
    """A run that was stopped and whose job was killed before it could say so: close its record too."""
    if not run.job or scheduler_of(run, settings).state(run.job, job_folder(run, settings)).phase.is_final:
        *_word, told = _last_word(run, run.reason, settings)
        if told:
            note_closed(run=run, tracked=_tracked(run, settings))
    return None


def _follow(run: Run, settings: Settings) -> Run | None:

    if not State(run.state).is_live:
        return None
    if refusal := lost_right(run):
        stopped = stop_run(run=run, by=None, reason=str(refusal))
        cancel_job(run, str(refusal), settings)
        return stopped
    if not run.job:
        return _give_up(run)
    state = scheduler_of(run, settings).state(run.job, job_folder(run, settings))
    if state.phase is Phase.RUNNING:
        note_running(run=run, tracked=_tracked(run, settings))
    return _close(run, state.phase, state.reason, settings) if state.phase.is_final else None


def _give_up(run: Run) -> Run | None:
    """A run that nobody queues although nobody holds it: whoever began to was killed."""
    from django.utils import timezone

    if (timezone.now() - run.created).total_seconds() < _HANDOVER:
        return None
    return end_run(run=run, state=State.FAILED, reason="whoever asked for it was gone before it was queued")


def _close(run: Run, phase: Phase, reason: str, settings: Settings) -> Run:
    """Put a job's end on record: by the attempt's own word if it left one, else by the cluster's."""
    status, said, told = _last_word(run, reason or str(phase), settings)
    done = phase is Phase.DONE and status == "FINISHED"
    state = State.DONE if done else State.STOPPED if phase is Phase.CANCELLED else State.FAILED
    tracked = _tracked(run, settings)
    weights = summary_of(run).weights if done else ""
    return end_run(run=run, state=state, reason="" if done else said, tracked=tracked, closed=told, weights=weights)


def _last_word(run: Run, reason: str, settings: Settings) -> tuple[str, str, bool]:
    """How the last attempt ended, and whether the tracking has been told; a silent end gets the cluster's reason."""
    spec = spec_of(run, settings)
    told = _close_attempts(spec, reason)
    word = spec.attempt_folder(spec.attempts) / ENDED
    if not word.is_file():
        return "FAILED", reason, told
    ended = json.loads(word.read_text())
    said = str(ended["reason"])
    return str(ended["status"]), said if said not in ("", SILENT) else reason, told


def _close_attempts(spec: RunSpec, reason: str) -> bool:
    """Tell the tracking of attempts that died silently; False where it does not answer, to be tried again."""
    try:
        for attempt in range(1, spec.attempts + 1):
            close_lost(spec, attempt, reason)
    except Exception as error:  # MLflow's, its database's, or the network's
        _log.error("the tracking does not take the end of %s: %s", spec.run, type(error).__name__)
        return False
    return True


def _tracked(run: Run, settings: Settings) -> str:
    spec = spec_of(run, settings)
    return mlflow_run(spec, spec.attempts) or ""


def stop(run: Run, by: User, reason: str) -> Run:
    """Stop a run, queued or at work; its checkpoint stays. Raises RuleBroken."""
    run = stop_run(run=run, by=by, reason=reason)
    cancel_job(run, reason, load_settings())
    return run


def stop_forbidden(extract: Extract | None = None) -> list[str]:
    """After a clearance, study or account has changed: stop every run that has lost its right; answers which."""
    settings, stopped = load_settings(), []
    for run in live_runs() if extract is None else live_runs().filter(extract=extract):
        if refusal := lost_right(run):
            stop_run(run=run, by=None, reason=str(refusal))
            cancel_job(run, str(refusal), settings)
            stopped.append(run.number)
    return stopped


def watch(run: Run, settings: Settings, *, every: float = 0.5) -> Iterator[dict[str, Any]]:
    """The events of a run as they come, from its newest attempt on, until it has ended."""
    spec, seen = spec_of(run, settings), _Seen(0, 0)
    while True:
        run.refresh_from_db()
        is_live = State(run.state).is_live
        yield from seen.news(spec)
        if not is_live:
            return
        time.sleep(every)
        _alone(run, _follow, settings)


@dataclass
class _Seen:
    """How far an attempt's events were read."""

    attempt: int
    offset: int

    def news(self, spec: RunSpec) -> Iterator[dict[str, Any]]:
        if spec.attempts > self.attempt:
            self.attempt, self.offset = spec.attempts, 0
        if self.attempt:
            for event, offset in read_events(spec.attempt_folder(self.attempt), self.offset):
                self.offset = offset
                yield event
