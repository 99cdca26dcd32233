"""What is kept of an unexpected fault: exception types and code locations.

An exception's message may hold a patient's value, and so may a frame's locals: neither is ever written.
"""

from __future__ import annotations

import logging
import os
import traceback
from datetime import UTC, datetime
from pathlib import Path


def describe_fault(error: BaseException) -> str:
    """The chain of exception types with file, line and function of every frame; no message, no value."""
    lines: list[str] = []
    for link in _chain(error):
        lines.append(f"{type(link).__module__}.{type(link).__qualname__}")
        frames = traceback.extract_tb(link.__traceback__, limit=None)
        lines.extend(f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
    return "\n".join(lines) + "\n"


def _chain(error: BaseException) -> list[BaseException]:
    """The error, what caused it, and so on down; each once."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return chain


class PlacesFormatter(logging.Formatter):
    """A log line without its arguments, which may hold what somebody typed; faults as ``describe_fault`` has them."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="seconds")
        line = f"{time} {record.levelname} {record.name}: {record.msg}"
        return f"{line}\n{describe_fault(record.exc_info[1])}" if record.exc_info and record.exc_info[1] else line


def write_fault(folder: Path, error: BaseException) -> Path:
    """Write ``describe_fault(error)`` to a new file that only its owner can read; raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"fault-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as log:
        log.write(describe_fault(error))
    return path
