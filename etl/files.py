"""Files that are whole or absent, and locks between processes.

Owns the order that survives a kill or a power cut: write a draft beside the file, fsync it, rename it, fsync the
folder. A draft's name begins with a dot and is new each time, so that two writers never share one. All functions raise
OSError; the caller says which zone or file cannot be written.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from pathlib import Path
from typing import IO

PRIVATE = 0o600
_RETRY_SECONDS = 0.02


def write_atomically(path: Path, data: bytes, mode: int = 0o666, *, overwrite: bool = True) -> None:
    """Write the file ``path`` whole or not at all; ``mode`` is subject to the umask.

    Raises FileExistsError where the file exists and may not be overwritten.
    """
    with _draft_of(path) as draft:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            draft.rename(path)
        else:
            os.link(draft, path)
            draft.unlink()
        sync(path.parent)


@contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """The path of a draft for another library to write; it becomes ``path`` when the block ends without an error."""
    with _draft_of(path) as draft:
        yield draft
        sync(draft)
        draft.rename(path)
        sync(path.parent)


@contextmanager
def _draft_of(path: Path) -> Iterator[Path]:
    """A new name beside ``path``; what was written there is deleted on an error."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield draft
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_locked(path: Path, mode: int = PRIVATE, patience: float = 0.0) -> IO[str]:
    """The lock file ``path``, made if it is missing, open for reading and writing and locked for this process alone.

    Waits up to ``patience`` seconds for another holder, then raises BlockingIOError. ``unlock`` frees it; the
    operating system frees the lock of a process that died.
    """
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, mode), "r+")
    deadline = time.monotonic() + patience
    try:
        while not _locked(file, give_up=time.monotonic() >= deadline):
            time.sleep(_RETRY_SECONDS)
    except BaseException:
        file.close()
        raise
    return file


def _locked(file: IO[str], *, give_up: bool) -> bool:
    try:
        flock(file, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        if give_up:
            raise
        return False
    return True


def unlock(file: IO[str]) -> None:
    """Free the lock, also for child processes that inherited it, and close the file."""
    flock(file, LOCK_UN)
    file.close()
