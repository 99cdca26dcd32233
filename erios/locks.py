"""Locks between commands: one writer at a time of a journal or chain; the system frees a dead holder's lock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from erios.errors import BusyError, StorageError
from erios.settings import make_folder
from etl.files import open_locked, unlock

PATIENCE = 60.0


@contextmanager
def held(path: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock file ``path`` alone; BusyError after ``patience`` seconds, StorageError if it cannot be made."""
    make_folder(path.parent, 0o700)
    try:
        file = open_locked(path, patience=patience)
    except BlockingIOError:
        raise BusyError(f"another command holds {path}: wait until it is done, then try again") from None
    except OSError as error:
        raise StorageError(f"cannot open the lock {path}: {error.strerror}") from None
    try:
        yield
    finally:
        unlock(file)
