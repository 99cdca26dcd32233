"""A process of a run, from its first instruction to its exit code: record, verify, train, evaluate, keep the model.

Owns these steps, and the outcome and exit code of each way to end. Ranks other than the first train and agree; the
first also records.
"""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

from experiments import checkpoints
from experiments.attempt import Attempt, open_attempt
from experiments.attempt_outcome import Outcome
from experiments.cluster import NOTICES, REQUEUE, RankInfo, read_rank
from experiments.distributed import join
from experiments.errors import ExperimentError, ForbiddenError, code_location, first_cause
from experiments.event_log import EventLog
from experiments.recorder import close_lost, silence
from experiments.recorder_client import Recording
from experiments.run_spec import RunSpec
from experiments.stop_signal import Guard, PreemptedError, StopSignal
from experiments.weights import check_agreement

FORBIDDEN, FAILED, INTERRUPTED = 9, 1, 130


class End(NamedTuple):
    """How a process ended. ``reason`` holds no value of the data."""

    code: int
    outcome: Outcome
    reason: str = ""


def run_process(spec: RunSpec, guard: Guard, environ: Mapping[str, str] | None = None) -> int:
    """Do this process's part of the run's next attempt; answers the exit code.

    0: done. ``cluster.REQUEUE``: checkpointed, to be queued again. 9: no longer allowed. 1: failed. 130: interrupted.
    """
    silence()
    logging.captureWarnings(True)
    info, stop = read_rank(environ), StopSignal()
    for notice in NOTICES:
        signal.signal(notice, stop.on_signal)
    if not info.is_first:
        return _end_of(_Process(spec, info, guard, stop).train).code
    with _open_recording(spec) as recording:
        end = _end_of(_Process(spec, info, guard, stop, recording).train)
        recording.end(end.outcome, end.reason)
    return end.code


@contextmanager
def _open_recording(spec: RunSpec) -> Iterator[Recording]:
    """Close what earlier attempts left open, then begin a new one."""
    for earlier in range(1, spec.attempts + 1):
        close_lost(spec, earlier)
    attempt = spec.attempts + 1
    folder = spec.attempt_folder(attempt)
    event_log = EventLog(folder)
    command = [sys.executable, "-m", "experiments.recorder", str(spec.folder), str(attempt)]
    with (folder / "recorder.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)
    yield Recording(spec, attempt, event_log, process)


def _end_of(work: Callable[[], None]) -> End:
    """Do the work; a traceback goes to the attempt's log, which lies with the study's data."""
    try:
        work()
    except PreemptedError as error:
        return End(REQUEUE, Outcome.STOPPED, f"{error}; checkpointed, to go on in another attempt")
    except ForbiddenError as error:
        return End(FORBIDDEN, Outcome.FAILED, str(error))
    except ExperimentError as error:
        traceback.print_exc()
        return End(FAILED, Outcome.FAILED, str(error))
    except KeyboardInterrupt:
        return End(INTERRUPTED, Outcome.STOPPED, "stopped by the keyboard")
    except Exception as error:
        traceback.print_exc()
        cause = first_cause(error)
        return End(FAILED, Outcome.FAILED, f"{type(cause).__name__} at {code_location(cause)}")
    return End(0, Outcome.DONE)


@dataclass
class _Process:
    """``recording``: None on every rank but the first."""

    spec: RunSpec
    info: RankInfo
    guard: Guard
    stop: StopSignal
    recording: Recording | None = None

    def train(self) -> None:
        """Train to the end; the first rank then evaluates and keeps the model."""
        if self.info.is_first:
            self.guard.verify()
            threading.Thread(target=self.stop.poll, args=(self.guard,), daemon=True).start()
        try:
            with join(self.info), self._meter() as meter:
                attempt = self._open_attempt()
                attempt.train()
                digest = check_agreement(attempt.network, self.info)
        finally:
            self.stop.end()
        if self.recording:
            _log_energy(self.recording.event_log, meter)
            self.recording.event_log.tags({"erios.weights": digest})
            _conclude(attempt, self.recording)

    def _meter(self) -> AbstractContextManager[Any]:
        """The node's energy meter, on its first process."""
        from experiments.energy_meter import Meter

        return Meter() if self.spec.energy and self.info.is_first_on_node else nullcontext()

    def _open_attempt(self) -> Attempt:
        if self.recording is None:
            return open_attempt(self.spec, self.info, self.guard, self.stop)
        log, is_alive = self.recording.event_log, self.recording.is_alive
        attempt = open_attempt(self.spec, self.info, self.guard, self.stop, event_log=log, recorder_alive=is_alive)
        _log_settings(attempt, self.recording)
        return attempt


def _log_settings(attempt: Attempt, recording: Recording) -> None:
    """The whole configuration as a file; its plain settings as parameters."""
    config = attempt.workflow.parser.get()
    plain = {name: value for name, value in config.items() if isinstance(value, str | int | float | bool)}
    paths = {"bundle_root", "dataset_dir", "output_dir", "ckpt_dir"}
    recording.event_log.params({name: value for name, value in plain.items() if name not in paths})
    recording.event_log.params({"processes": attempt.info.world_size, "seed": attempt.spec.seed})
    path = recording.folder / "config.json"
    path.write_text(json.dumps(config, indent=2, default=str, ensure_ascii=False))
    recording.event_log.artifact(path)
    recording.event_log.artifact(attempt.spec.bundle_folder, "bundle")


def _log_energy(event_log: EventLog, meter: Any) -> None:
    if meter is not None:
        event_log.metrics(meter.figures, 0)
        event_log.tags({"erios.energy": meter.source})


def _conclude(attempt: Attempt, recording: Recording) -> None:
    """Evaluate the best weights on the test part, and keep them as the run's model."""
    from experiments.evaluation import evaluate  # MONAI, by way of images
    from experiments.exported_model import keep_model  # MLflow and its flavours

    if checkpoints.exists(attempt.spec.checkpoints, checkpoints.BEST):
        kept = checkpoints.load(attempt.spec.checkpoints, checkpoints.BEST)
        attempt.network.load_state_dict(kept["network"])
    attempt.guard.verify()
    evaluate(attempt, recording.folder, recording.event_log)
    keep_model(attempt, recording)
