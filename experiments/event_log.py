"""What a run logs: one line per event, on disk as soon as it is logged.

Owns the file of events between the process that watches a training and the one that records: logging costs one short
write and never waits for a server, and a logged event survives the end of both processes.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments.attempt_outcome import Outcome

FILE = "events.jsonl"


class EventLog:
    """The events of one attempt, appended by its first rank alone."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._file = os.open(folder / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Figures of one step."""
        self._append({"metrics": {name: _finite(value) for name, value in values.items()}, "step": step})

    def params(self, values: Mapping[str, Any]) -> None:
        """Settings that do not change."""
        self._append({"params": {name: str(value) for name, value in values.items()}})

    def tags(self, values: Mapping[str, str]) -> None:
        """Facts about the run, which may change."""
        self._append({"tags": dict(values)})

    def artifact(self, path: Path, folder: str = "") -> None:
        """A file or folder that the run made; ``folder``: where it belongs among the run's artifacts."""
        self._append({"artifact": str(path), "folder": folder})

    def end(self, outcome: Outcome, reason: str = "") -> None:
        """The last event."""
        self._append({"end": outcome, "reason": reason})

    def close(self) -> None:
        """Close the file; the log takes no event afterwards."""
        os.close(self._file)

    def _append(self, event: dict[str, Any]) -> None:
        event["t"] = int(time.time() * 1000)
        os.write(self._file, (json.dumps(event, ensure_ascii=False) + "\n").encode())


def _finite(value: float) -> float | str:
    """JSON has no NaN and no infinity: they are written as text, which ``float`` reads."""
    value = float(value)
    return value if math.isfinite(value) else str(value)


def read_events(folder: Path, offset: int = 0) -> Iterator[tuple[dict[str, Any], int]]:
    """Complete events after ``offset`` (bytes), each with the offset after it; a line still being written is left."""
    try:
        with (folder / FILE).open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                offset += len(line)
                yield json.loads(line), offset
    except FileNotFoundError:
        return
