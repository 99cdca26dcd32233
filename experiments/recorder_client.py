"""The recorder's process, seen from the process that watches the training."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from experiments import event_log
from experiments.attempt_outcome import Outcome
from experiments.errors import TrackingError
from experiments.event_log import EventLog
from experiments.recorder import close_lost, mlflow_run, sent_until
from experiments.run_spec import RunSpec

_PATIENCE = 120.0
"""Seconds that the recorder has to send the rest."""
_PAUSE = 0.1


@dataclass
class Recording:
    """An attempt's event log, and the recorder that sends it to MLflow; on the first rank only."""

    spec: RunSpec
    attempt: int
    event_log: EventLog
    process: subprocess.Popen[bytes]

    @property
    def folder(self) -> Path:
        """The attempt's folder."""
        return self.spec.attempt_folder(self.attempt)

    def is_alive(self) -> bool:
        """Does the recorder run?"""
        return self.process.poll() is None

    def mlflow_run(self) -> str:
        """The MLflow run, once the recorder has sent every event; TrackingError if it cannot."""
        target = (self.folder / event_log.FILE).stat().st_size
        for _ in range(int(_PATIENCE / _PAUSE)):
            run = mlflow_run(self.spec, self.attempt)
            if run and sent_until(self.folder) >= target:
                return run
            if not self.is_alive():
                break
            time.sleep(_PAUSE)
        raise TrackingError(f"the tracking at {self.spec.tracking_uri} does not take the run")

    def end(self, outcome: Outcome, reason: str) -> None:
        """Log the end, and wait until it is sent: by the recorder, or from here if that is dead."""
        self.event_log.end(outcome, reason)
        if self.process.stdin:
            self.process.stdin.close()
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.returncode:
            close_lost(self.spec, self.attempt, reason)
        self.event_log.close()
