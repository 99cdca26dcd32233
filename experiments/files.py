"""Files that readers see whole: atomic replacement, and locks that end with their process.

The one module of this wing that writes a draft and renames it, or takes a lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path
from typing import IO


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file in one step: a reader sees the old or the new content."""
    write_whole_with(path, lambda file: file.write(content))


def write_whole_with(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Replace a file in one step by what ``write`` writes; if it raises or is killed, the old content stays."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def lock_for_life(path: Path) -> None:
    """Hold the lock file alone, waiting for it, until this process and those that it forks have ended."""
    flock(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), LOCK_EX)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file alone while the block runs, waiting for it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        flock(descriptor, LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Does a process hold the lock file?"""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        flock(descriptor, LOCK_SH | LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
