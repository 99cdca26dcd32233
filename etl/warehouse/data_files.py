"""Data files of a table: Parquet in a bucket's folder, named after the range of patients whose rows it holds.

Owns the file's name (``bucket=3/3a4b5c6d-3fffffff-<random>-<digest>.parquet``: first and last patient key of its
rows, eight hexadecimal digits each), so that the rows of a patient are found without opening a file. The *cluster key*
of a row is the key of its patient, or its own where it has none; bucket and range come from it. The digest is of the
file's bytes, because DuckDB reads wrong values from most flipped bytes of a page without noticing.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from etl.sql import list_literal

PREFIX = 8
DIGITS = 16
PREFIXES = 1 << 16
"""Number of prefixes of four hexadecimal digits; each bucket has the same number of them."""


@dataclass(frozen=True)
class DataFile:
    """A Parquet file of a table: path relative to the table folder, bucket, bytes and rows."""

    path: str
    bucket: int
    size: int
    rows: int

    @property
    def range(self) -> tuple[str, str]:
        """First and last cluster key, as prefixes."""
        first, last = Path(self.path).name[: 2 * PREFIX + 1].split("-")
        return first, last


def new_path(bucket: int, first: str, last: str) -> str:
    """A path that no file has yet."""
    return f"bucket={bucket}/{first[:PREFIX]}-{last[:PREFIX]}-{uuid.uuid4().hex[:DIGITS]}.parquet"


def subfolder(root: Path, name: str) -> Path:
    """Make ``root / name``, but not ``root``: a late task must not recreate a work folder that was removed."""
    folder = root
    for part in Path(name).parts:
        folder /= part
        folder.mkdir(exist_ok=True)
    return folder


def digest(path: Path) -> str:
    """The first digits of the SHA-256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()[:DIGITS]


def is_whole(path: Path) -> bool:
    """Is the file there, and are its bytes those that were written? True for an old name without a digest."""
    stamped = (*path.stem.split("-"), "")[3]
    return path.exists() and stamped in ("", digest(path))


def stamp(folder: Path, path: str) -> str:
    """Put the digest of a file just written below ``folder`` into its name; returns its new path."""
    written = folder / path
    stamped = written.with_stem(f"{written.stem}-{digest(written)}")
    written.replace(stamped)
    return str(stamped.relative_to(folder))


def rows_sql(paths: Sequence[str], columns: Mapping[str, str]) -> str:
    """SELECT of ``columns`` from Parquet files; none of them, an empty table."""
    names = ", ".join(f'"{name}"' for name in columns)
    if paths:
        source = f"read_parquet({list_literal(paths)}, union_by_name = true, hive_partitioning = false)"
        return f"SELECT {names} FROM {source}"
    empty = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in columns.items())
    return f"SELECT {empty} WHERE false"


def bucket_sql(key: str, buckets: int) -> str:
    """Leading bits of a pseudonym as a bucket number in [0, buckets); ``buckets`` is a power of two."""
    return f"(('0x' || left({key}, 4))::INTEGER // {PREFIXES // buckets})"


def within_sql(key: str, buckets: int, first: int, last: int) -> str:
    """SQL: does the pseudonym lie in buckets ``first`` to ``last``? As a range, so that a file's statistics skip."""
    width = PREFIXES // buckets
    return between_sql(key, first * width, (last + 1) * width - 1)


def between_sql(key: str, low: int, high: int) -> str:
    """SQL: are the pseudonym's first four digits from ``low`` to ``high``?"""
    return f"{key} BETWEEN '{low:04x}' AND '{high:04x}g'"


TABLES, RELEASES, PINS = "tables", "releases", "kept.json"
