"""Folders of extracts: one process at a time, and drafts that appear whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from erios.errors import BusyError
from erios.locks import held
from erios.settings import make_folder
from etl.files import sync


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold an extract's folder; BusyError while another process does."""
    make_folder(folder.parent, 0o700)
    try:
        with held(folder.with_name(f".{folder.name}.lock"), patience=0):
            yield
    except BusyError:
        raise BusyError(f"somebody is at work on extract {folder.name}: wait for it to end") from None


def draft_folder(folder: Path) -> Path:
    """Where the next version of a folder is written."""
    return folder.with_name(f".{folder.name}.new")


def publish_draft(draft: Path, folder: Path) -> None:
    """Replace the folder by its draft, synced to disk."""
    _sync(draft)
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


def _sync(folder: Path) -> None:
    """Everything below a folder is on the disk."""
    for path in [*folder.rglob("*"), folder]:
        sync(path)
