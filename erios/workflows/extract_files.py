"""Folders of extracts: one worker at a time, drafts put in place whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from erios.errors import BusyError
from erios.locks import held
from erios.settings import make_folder
from etl.files import sync

if TYPE_CHECKING:
    pass


@contextmanager
def alone(folder: Path) -> Iterator[None]:

    make_folder(folder.parent, 0o700)
    try:
        with held(folder.with_name(f".{folder.name}.lock"), patience=0):
            yield
    except BusyError:
        raise BusyError(f"somebody is at work on extract {folder.name}: wait for it to end") from None


def draft_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.new")


def put_in_place(draft: Path, folder: Path) -> None:
    """Put a whole draft in its place; one of an earlier build goes."""
    _sync(draft)
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


def _sync(folder: Path) -> None:
    """Everything below a folder is on the disk."""
    for path in [*folder.rglob("*"), folder]:
        sync(path)
