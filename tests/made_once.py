"""Folders that are costly to make, made once a run: by the process that comes first, for all of its workers.

What lies in such a folder is only read or copied; a test that writes copies it first.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder ``name`` of this run, not there yet when ``make`` gets its path; raises what ``make`` raises."""
    root = factory.getbasetemp()
    root = root.parent if root.name == f"popen-{os.environ.get('PYTEST_XDIST_WORKER')}" else root
    folder, mark = root / name, root / f".{name}.made"
    with (root / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            mark.touch()
    return folder
