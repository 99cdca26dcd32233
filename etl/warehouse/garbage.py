"""Files that no release reads: roll-back after a kill, and deletion.

Owns deletion of data files of the warehouse. A file that a kept release reads is never deleted.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deltalake import DeltaTable

from etl.warehouse.data_files import TABLES
from etl.warehouse.delta import delta_files, open_table
from etl.warehouse.image_files import unread_voxel_files
from etl.warehouse.release import PinnedTable, Release, latest, open_release, release_ids
from etl.warehouse.staged_files import STAGING


def recover(warehouse: Path) -> list[str]:
    """Roll back table versions that no release pins (left by a killed run); returns the tables rolled back."""
    release = latest(warehouse)
    restored = []
    for folder in sorted((warehouse / TABLES).glob("*/_delta_log")):
        name = folder.parent.name
        pinned = _last_pin(warehouse, release, name)
        if pinned is None:
            shutil.rmtree(folder.parent)
        elif not _is_pinned(open_table(folder.parent), pinned.version):
            open_table(folder.parent).restore(pinned.version)
        else:
            continue
        restored.append(name)
    return restored


def _last_pin(warehouse: Path, last: Release | None, table: str) -> PinnedTable | None:
    """The table as the newest release that has it sees it; its view may have gone since."""
    if last is None or table in last.tables:
        return last.tables[table] if last else None
    earlier = (open_release(warehouse, name).tables.get(table) for name in reversed(release_ids(warehouse)))
    return next((pinned for pinned in earlier if pinned), None)


def unread(warehouse: Path, releases: list[str]) -> Iterator[Path]:
    """Data files and voxel files that none of the releases reads."""
    read: dict[str, set[str]] = {}
    kept = [open_release(warehouse, name) for name in releases]
    yield from unread_voxel_files(warehouse, kept)
    for release in kept:
        for table in release.tables:
            root = warehouse / TABLES / table
            read.setdefault(table, set()).update(str(root / file.path) for file in release.data_files(table))
    for folder in sorted((warehouse / TABLES).glob("*")):
        used = read.get(folder.name, set())
        yield from (path for path in sorted(folder.rglob("*.parquet")) if _is_data(path) and str(path) not in used)


def _is_data(path: Path) -> bool:
    return "_delta_log" not in path.parts


def delete(warehouse: Path, files: list[Path]) -> None:
    """Delete data files, and table folders that no release knows any more."""
    for path in files:
        path.unlink(missing_ok=True)
    tables = {table for name in release_ids(warehouse) for table in open_release(warehouse, name).tables}
    for folder in (warehouse / TABLES).glob("*"):
        if folder.name not in tables:
            shutil.rmtree(folder)


def sweep(warehouse: Path) -> int:
    """Delete data files that no release reads, left by a killed run; returns how many."""
    garbage = list(unread(warehouse, release_ids(warehouse)))
    delete(warehouse, garbage)
    return len(garbage)


def _is_pinned(table: DeltaTable, version: int) -> bool:
    """Is the head what the release pins: its version, or a roll-back to it from an earlier recovery?"""
    if table.version() == version:
        return True
    pinned = open_table(Path(table.table_uri.removeprefix("file://")), version)
    same_columns = pinned.schema().to_json() == table.schema().to_json()
    return same_columns and {file.path for file in delta_files(pinned)} == {file.path for file in delta_files(table)}


_TRIES, _PAUSE = 30, 0.1


@contextmanager
def work_folder(warehouse: Path) -> Iterator[Path]:
    """The folder of staged files, in the warehouse zone; gone at the end, and at the next start after a kill.

    Whatever stops the work is rolled back; where that fails too (a full disk), the folder stays, and by it the next
    run knows that there is something to roll back.
    """
    work = warehouse / STAGING
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True)
        yield work
    except BaseException:
        with suppress(Exception):
            recover(warehouse)
            sweep(warehouse)
            _remove(work)
        raise
    shutil.rmtree(work, ignore_errors=True)


def _remove(work: Path) -> None:
    """A task that was cancelled may write for a moment still; but it never makes this folder itself again."""
    for _ in range(_TRIES):
        shutil.rmtree(work, ignore_errors=True)
        if not work.exists():
            break
        time.sleep(_PAUSE)
