"""The recspecification's process as a run holds it."""

from __future__ import annotations

import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from experiments.errors import TrackingError
from experiments.event_log import EventLog
from experiments.recorder import RUN_FILE, SHIPPED, close_lost
from experiments.run_spec import RunSpec

_PATIENCE = 120.0
"""Seconds that the recorder has to tell the rest."""


@dataclass
class Recording:
    """The first rank's line to MLflow: its event_log, and the recorder that reads it."""

    spec: RunSpec
    attempt: int
    event_log: EventLog
    process: subprocess.Popen[bytes]

    @property
    def folder(self) -> Path:
        return self.spec.attempt_folder(self.attempt)

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def mlflow_run(self) -> str:
        """The MLflow run, once the recorder has told all that lay in the event_log; TrackingError if it cannot."""
        target = (self.folder / "events.jsonl").stat().st_size
        for _ in range(int(_PATIENCE / 0.1)):
            shipped = self.folder / SHIPPED
            if (self.folder / RUN_FILE).is_file() and shipped.is_file() and int(shipped.read_text()) >= target:
                return (self.folder / RUN_FILE).read_text()
            if not self.is_alive():
                break
            threading.Event().wait(0.1)
        raise TrackingError(f"the tracking at {self.spec.tracking_uri} does not take the run")

    def end(self, status: str, reason: str) -> None:
        """Tell the end, and see it told: by the recorder, or here if that is dead."""
        self.event_log.end(status, reason)
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
