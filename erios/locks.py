"""Locks between commands: one writer at a time of a journal or chain; the system frees a dead holder's lock."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from erios.errors import BusyError, StorageError
from erios.settings import make_folder

PATIENCE = 60.0
_PAUSE = 0.02


@contextmanager
def held(path: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock file ``path`` alone; BusyError after ``patience`` seconds, StorageError if it cannot be made."""
    make_folder(path.parent, 0o700)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StorageError(f"cannot open the lock {path}: {error.strerror}") from None
    try:
        _take(descriptor, path, time.monotonic() + patience)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, until: float) -> None:
    while True:
        try:
            return flock(descriptor, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise BusyError(f"another command holds {path}: wait until it is done, then try again") from None
            time.sleep(_PAUSE)
