"""Voxel files: one a DICOM series, named by the SHA-256 of its bytes, in ``images/`` of the warehouse zone.

Owns their life cycle. A file is staged as rows are, moved to its path before the release that reads it is
published, never written again, and deleted when no kept release has a row that names it. A series whose row is
withheld (its patient objects) is never moved, and goes with the staged files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from etl.errors import StorageError
from etl.files import sync
from etl.sql import list_literal
from etl.warehouse.staged_files import VOXELS

if TYPE_CHECKING:
    from etl.warehouse.changes import TableChanges
    from etl.warehouse.release import Release

IMAGES = "images"
TABLE, DIGEST = "dicom_series", "voxels_sha256"


def voxel_path(warehouse: Path, digest: str) -> Path:
    """Where the voxel file of that digest lies."""
    return warehouse / IMAGES / digest[:2] / f"{digest}.zip"


def publish_voxel_files(warehouse: Path, work: Path, changes: Mapping[str, TableChanges]) -> None:
    """Move the staged voxel files that new rows name to their path; StorageError where one is missing."""
    if TABLE not in changes:
        return
    added = [str(warehouse / "tables" / TABLE / file.path) for file in changes[TABLE].added]
    folders = set()
    for digest in sorted(digests(added)):
        target = voxel_path(warehouse, digest)
        staged = work / VOXELS / target.name
        if staged.exists() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            sync(staged)
            staged.chmod(0o440)
            staged.rename(target)
            folders |= {target.parent, target.parent.parent}
        elif not target.exists():
            raise damaged_voxels(target)
    for folder in folders:
        sync(folder)


def digests(files: Iterable[str]) -> set[str]:
    """Digests that the rows of some files of the table name."""
    if not (paths := list(files)):
        return set()
    source = f"read_parquet({list_literal(paths)}, hive_partitioning = false, union_by_name = true)"
    with duckdb.connect() as sql:
        rows = sql.execute(f"SELECT DISTINCT {DIGEST} FROM {source} WHERE {DIGEST} IS NOT NULL").fetchall()
    return {str(row[0]) for row in rows}


def unread_voxel_files(warehouse: Path, releases: Iterable[Release]) -> Iterator[Path]:
    """Voxel files that none of these releases names."""
    if not (warehouse / IMAGES).exists():
        return
    root = warehouse / "tables" / TABLE
    rows = {str(root / f.path) for release in releases if TABLE in release.tables for f in release.data_files(TABLE)}
    read = digests(sorted(rows))
    for path in sorted((warehouse / IMAGES).glob("*/*")):
        if path.stem not in read:
            yield path


def check_voxel_file(warehouse: Path, digest: str) -> Path:
    """The voxel file of that digest, after a look at every byte; StorageError where it is not as it was written."""
    path = voxel_path(warehouse, digest)
    try:
        with path.open("rb") as handle:
            if hashlib.file_digest(handle, "sha256").hexdigest() == digest:
                return path
    except FileNotFoundError:
        pass
    raise damaged_voxels(path)


def damaged_voxels(path: Path) -> StorageError:
    """The sentence for a voxel file that is missing or changed."""
    return StorageError(
        f"the voxel file {IMAGES}/{path.parent.name}/{path.name} is missing or damaged; restore the warehouse zone from"
        f" its backup, or compute the table anew with `erios etl rebuild --table {TABLE}`"
    )
