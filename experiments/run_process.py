"""A process of a run, from its first instruction to its exit code: it records, verifies and measures a training.

Owns these steps, and the outcome and exit code of each way to end. The bundle's code runs in the sandbox; what each
message from there means is decided here. Ranks other than the first train and agree; the first also records.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from experiments.attempt_outcome import Outcome
from experiments.cluster import NOTICES, REQUEUE, RankInfo, read_rank
from experiments.errors import (
    ExperimentError,
    ForbiddenError,
    KilledError,
    SandboxError,
    TrackingError,
    code_location,
    first_cause,
)
from experiments.event_log import EventLog
from experiments.recorder import close_lost, silence
from experiments.recorder_client import Recording
from experiments.run_spec import RunSpec
from experiments.sandbox.channel import Channel
from experiments.sandbox.collected_files import take
from experiments.sandbox.evaluation_table import check_table
from experiments.sandbox.limits import DEFAULT, PLAIN, Limits, Site
from experiments.sandbox.messages import File, FromInside, Metrics, Model, Params, Trained, Verified, Verify, shortened
from experiments.sandbox.model_file import check_model
from experiments.sandbox.supervisor import Supervisor, word_of
from experiments.stop_signal import Guard, PreemptedError, StopSignal

FORBIDDEN, FAILED, INTERRUPTED = 9, 1, 130
_OWN_FIGURES = ("energy/", "system/")
"""Beginnings of names that the process outside logs."""
_HOLDS = 0.5
"""Seconds for which a good answer of the guard is not asked again."""
_MOST_FILES, _MOST_FILE_BYTES, _MOST_MODEL_BYTES = 100, 50 * 2**20, 20 * 2**30
"""What a training may hand out: files, bytes of each, bytes of its model."""


class End(NamedTuple):
    """How a process ended. ``reason`` holds no value of the data."""

    code: int
    outcome: Outcome
    reason: str = ""


def run_process(spec: RunSpec, guard: Guard, limits: Limits = DEFAULT, site: Site = PLAIN) -> int:
    """Do this process's part of the run's next attempt; answers the exit code.

    0: done. ``cluster.REQUEUE``: checkpointed, to be queued again. 9: no longer allowed. 1: failed. 130: interrupted.
    128 and a signal's number: the training was killed by it.
    """
    silence()
    logging.captureWarnings(True)
    info, stop = read_rank(), StopSignal()
    for notice in NOTICES:
        signal.signal(notice, stop.on_signal)
    if not info.is_first:
        return _end_of(_Process(spec, info, guard, stop, limits, site).train).code
    with _open_recording(spec) as recording:
        end = _end_of(_Process(spec, info, guard, stop, limits, site, recording).train)
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
    except KilledError as error:  # as a shell tells of it, so that the job's folder names the rank and the signal
        return End(128 + error.number, Outcome.FAILED, str(error))
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


def _refuse_own_figures(names: Collection[str]) -> None:
    """SandboxError for figures that only this process may log."""
    if any(name.startswith(_OWN_FIGURES) for name in names):
        raise SandboxError("the training broke the protocol (it logs no energy and no figures of the machine)")


@dataclass
class _Process:
    """``recording``: None on every rank but the first."""

    spec: RunSpec
    info: RankInfo
    guard: Guard
    stop: StopSignal
    limits: Limits
    site: Site = PLAIN
    recording: Recording | None = None
    _measuring: ExitStack = field(default_factory=ExitStack)
    _meter: Any = None
    _files: int = 0
    _is_trained: bool = False
    _has_model: bool = False
    _params: set[str] = field(default_factory=lambda: {"processes", "seed"})
    _verified_until: float = 0.0

    def train(self) -> None:
        """Have the bundle trained to its end; the first rank then keeps what it made."""
        threading.Thread(target=self.stop.poll, args=(self.guard,), daemon=True).start()
        if self.info.is_first:
            self.guard.verify()
            self._log_beginning()
        with self._measuring:
            self._meter = self._measuring.enter_context(self._open_meter())
            try:
                Supervisor(self.spec, self.info, self.stop, self._take, self._complaint, self.limits, self.site).run()
            finally:
                self.stop.end()

    def _open_meter(self) -> AbstractContextManager[Any]:
        """The node's energy meter, on its first process."""
        from experiments.energy_meter import Meter

        return Meter() if self.spec.energy and self.info.is_first_on_node else nullcontext()

    def _log_beginning(self) -> None:
        if self.recording:
            self.recording.event_log.params({"processes": self.info.world_size, "seed": self.spec.seed})
            self.recording.event_log.artifact(self.spec.bundle_folder, "bundle")

    def _complaint(self) -> ExperimentError | None:
        if self.recording is None or self.recording.is_alive():
            return None
        return TrackingError("the recorder of the run died: nothing continues that is not recorded")

    def _take(self, message: FromInside, channel: Channel) -> None:
        """One message of the training; only the first rank's has anything to say."""
        if self.recording is None:
            raise SandboxError("the training broke the protocol (a message from another rank than the first)")
        if isinstance(message, Metrics):
            _refuse_own_figures(message.values)
            self.recording.event_log.metrics(message.values, message.step)
        elif isinstance(message, Params):
            self._log_params(message.values, self.recording)
        elif isinstance(message, File):
            self._keep_file(message.name, self.recording)
        elif isinstance(message, Verify):
            with suppress(OSError):  # it is gone: that is seen by its end
                channel.send(self._verified())
        elif isinstance(message, Trained):
            self._log_end(message.weights, self.recording)
        elif isinstance(message, Model):
            self._keep_model(message, self.recording)

    def _log_params(self, values: Mapping[str, str], recording: Recording) -> None:
        """Settings are logged once: MLflow refuses another value, and this process has logged some itself."""
        new = {name: shortened(value) for name, value in values.items() if name not in self._params}
        self._params |= new.keys()
        recording.event_log.params(new)

    def _verified(self) -> Verified:
        """The guard's answer; a good one holds for a moment, so that a training cannot ask the database to death."""
        if isinstance(reason := self.stop.reason, ForbiddenError):  # a notice alone takes no right
            return Verified(how=word_of(reason), reason=shortened(str(reason)))
        if time.monotonic() < self._verified_until:
            return Verified()
        try:
            self.guard.verify()
        except ForbiddenError as error:
            self.stop.reason = error
            return Verified(how=word_of(error), reason=shortened(str(error)))
        self._verified_until = time.monotonic() + _HOLDS
        return Verified()

    def _keep_file(self, name: str, recording: Recording) -> None:
        self._files += 1
        if self._files > _MOST_FILES:
            raise SandboxError(f"the training handed out more than {_MOST_FILES} files")
        target = recording.folder / name
        take(self.spec.folder / "output", name, target, _MOST_FILE_BYTES)
        if name == "evaluation.json":
            check_table(target)
        recording.event_log.artifact(target, "pictures" if "/" in name else "")

    def _log_end(self, weights: str, recording: Recording) -> None:
        """All epochs are trained: what follows is not the training's energy."""
        if self._is_trained:
            raise SandboxError("the training broke the protocol (it was trained twice)")
        self._is_trained = True
        self._measuring.close()
        if self._meter is not None:
            recording.event_log.metrics(self._meter.figures, 0)
            recording.event_log.tags({"erios.energy": self._meter.source})
        recording.event_log.tags({"erios.weights": weights})

    def _keep_model(self, message: Model, recording: Recording) -> None:
        """The right is checked once more: a model is what leaves the training."""
        from experiments.exported_model import ANSWER, EXAMPLE, GRAPH, keep_model  # MLflow and its flavours

        if self._has_model or not self._is_trained:
            raise SandboxError("the training broke the protocol (a model is handed out once, after the training)")
        self._has_model = True
        self.guard.verify()
        with TemporaryDirectory(prefix=".exported-", dir=recording.folder) as made:
            folder = Path(made)
            for name, most in ((GRAPH, _MOST_MODEL_BYTES), (EXAMPLE, _MOST_FILE_BYTES), (ANSWER, _MOST_FILE_BYTES)):
                take(self.spec.folder / "output", name, folder / name, most)
            check_model(folder / GRAPH)
            keep_model(folder, dict(message.metadata), recording)
