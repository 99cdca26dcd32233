"""What a run has to tell, one line an event, on the disk the moment it is told.

Owns the file of events between the process that trains and the one that records: training costs one short write an
event and never waits for a server; an event that was told survives the end of both.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FILE = "events.jsonl"


class EventLog:
    """The events of one attempt, appended by its first rank alone."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._file = os.open(folder / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Figures of one step."""
        self._tell({"metrics": {name: _finite(value) for name, value in values.items()}, "step": step})

    def params(self, values: Mapping[str, Any]) -> None:
        """Settings that do not change."""
        self._tell({"params": {name: str(value) for name, value in values.items()}})

    def tags(self, values: Mapping[str, str]) -> None:
        """Facts about the run, which may change."""
        self._tell({"tags": dict(values)})

    def artifact(self, path: Path, folder: str = "") -> None:
        """A file or folder that the run made."""
        self._tell({"artifact": str(path), "folder": folder})

    def end(self, status: str, reason: str = "") -> None:
        """The last event: FINISHED, FAILED or KILLED, and why."""
        self._tell({"end": status, "reason": reason})

    def close(self) -> None:
        os.close(self._file)

    def _tell(self, event: dict[str, Any]) -> None:
        event["t"] = int(time.time() * 1000)
        os.write(self._file, (json.dumps(event, ensure_ascii=False) + "\n").encode())


def _finite(value: float) -> float | str:
    value = float(value)
    return value if math.isfinite(value) else str(value)


def read_events(folder: Path, offset: int = 0) -> Iterator[tuple[dict[str, Any], int]]:
    """Whole events after ``offset`` (bytes), each with the offset after it; a line still being written is left."""
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
