"""Releases: what a reader may see, and the protocol by which it becomes visible.

Owns the release files. A *release* is one small JSON file that pins a version of every table;
it appears by one atomic rename, after every table's Delta commit. Readers open a release and never a bare table. A
run killed in between leaves table versions that no release pins; the next run rolls them back before it starts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable

from etl.errors import BusyError, ReleaseError, storage_error
from etl.files import open_locked, unlock, write_atomically
from etl.warehouse.changes import TableChanges
from etl.warehouse.data_files import PINS, RELEASES, TABLES, DataFile
from etl.warehouse.delta import delta_files, open_table
from etl.warehouse.storage_faults import check_whole, damaged, storage_fault

if TYPE_CHECKING:
    import duckdb
    import polars
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class PinnedTable:
    """A table as a release sees it: its Delta version, rows and files."""

    version: int
    rows: int
    files: int


@dataclass(frozen=True)
class Release:
    """An immutable published state of the warehouse; open tables through it."""

    id: str
    created: str
    batch: str
    tables: Mapping[str, PinnedTable]
    warehouse: Path = field(compare=False)
    totals: Mapping[str, int] = field(default_factory=dict)
    types: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    validation: Mapping[str, Any] = field(default_factory=dict)
    key_id: str = ""
    buckets: int = 0
    views: Mapping[str, str] = field(default_factory=dict)
    """Digest of the view that made each table."""

    def names(self) -> list[str]:
        """Tables meant for readers (internal ones begin with an underscore)."""
        return [name for name in self.tables if not name.startswith("_")]

    def files(self, table: str) -> list[str]:
        """Absolute paths of the Parquet files that make the table in this release, each there and of its size.

        Raises ReleaseError for a table it does not have, StorageError for a file that is missing or cut short.
        """
        root = self.warehouse / TABLES / table
        return [str(_checked(root, file)) for file in self.data_files(table)]

    def check(self, table: str) -> None:
        """Read every byte of the table's files; StorageError names the first that is not as it was written."""
        check_whole(self.files(table))

    def data_files(self, table: str) -> list[DataFile]:
        """The table's files with bucket, size and rows; ReleaseError if the table is unknown or damaged."""
        if table not in self._known_files:
            self._known_files[table] = delta_files(self._delta(table))
        return list(self._known_files[table])

    @cached_property
    def _known_files(self) -> dict[str, list[DataFile]]:
        """Files of tables that were asked for: a version of a table never changes."""
        return {}

    def duckdb(self, table: str, connection: duckdb.DuckDBPyConnection | None = None) -> Any:
        """The table as a DuckDB relation, read file by file as it is used."""
        import duckdb

        connection = connection or duckdb.connect()
        if not (files := self.files(table)):
            return connection.from_arrow(self._empty(table))
        try:
            return connection.read_parquet(files, hive_partitioning=True)
        except duckdb.Error as error:
            raise storage_fault(error, table) or error from None

    def polars(self, table: str) -> polars.LazyFrame:
        """The table as a lazy Polars frame."""
        import polars

        if not (files := self.files(table)):
            return polars.LazyFrame(polars.from_arrow(self._empty(table)))
        return polars.scan_parquet(files, hive_partitioning=True, hive_schema={"bucket": polars.Int32})

    def spark(self, table: str, spark: SparkSession) -> DataFrame:
        """The table as a Spark frame."""
        if not (files := self.files(table)):
            return spark.createDataFrame(self._empty(table))
        root = str(self.warehouse / TABLES / table)
        return spark.read.option("basePath", root).parquet(*files)

    def _empty(self, table: str) -> Any:
        import pyarrow as pa

        return pa.schema(self._delta(table).schema().to_arrow()).empty_table()

    def _delta(self, table: str) -> DeltaTable:
        if table not in self.tables:
            raise ReleaseError(f"release {self.id} has no table '{table}'; tables: {', '.join(self.names())}")
        return open_table(self.warehouse / TABLES / table, self.tables[table].version)


def _checked(root: Path, file: DataFile) -> Path:
    path = root / file.path
    try:
        if path.stat().st_size == file.size:
            return path
    except FileNotFoundError:
        pass
    raise damaged(root.name, file.path)


def release_ids(warehouse: Path) -> list[str]:
    """Ids of the releases kept, oldest first; StorageError when their folder may not be read."""
    folder = warehouse / RELEASES
    try:
        paths = list(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise storage_error(error, "warehouse zone") from None
    return sorted(path.stem for path in paths if path.match("r*.json"))


def open_release(warehouse: Path, release_id: str | None = None) -> Release:
    """A release by id, the latest without one; ReleaseError lists those that exist."""
    ids = release_ids(warehouse)
    if not ids:
        raise ReleaseError("no release yet; run `erios etl load PATH` first")
    wanted = release_id or ids[-1]
    if wanted not in ids:
        raise ReleaseError(f"no release '{wanted}'; releases: {', '.join(ids)}")
    return _read_release(warehouse, wanted)


def latest(warehouse: Path) -> Release | None:
    """The last release, or None before the first."""
    ids = release_ids(warehouse)
    return _read_release(warehouse, ids[-1]) if ids else None


def _read_release(warehouse: Path, release_id: str) -> Release:
    try:
        data = json.loads((warehouse / RELEASES / f"{release_id}.json").read_text())
        tables = {name: PinnedTable(**table) for name, table in data.pop("tables").items()}
        return Release(tables=tables, warehouse=warehouse, **data)
    except (OSError, ValueError, TypeError, KeyError):
        raise ReleaseError(
            f"release {release_id} is damaged: its file cannot be read; open an earlier one with --release"
        ) from None


def future_files(base: Release | None, table: str, change: TableChanges | None) -> list[DataFile]:
    """The files that make a table once the change is committed."""
    current = base.data_files(table) if base and table in base.tables else []
    if change is None:
        return current
    removed = {file.path for file in change.removed}
    return [*(file for file in current if file.path not in removed), *change.rewritten, *change.added]


def read_pins(warehouse: Path) -> dict[str, str]:
    """Releases that somebody asked to keep, each with the reason."""
    try:
        return dict(json.loads((warehouse / RELEASES / PINS).read_text()))
    except FileNotFoundError:
        return {}


def write_pins(warehouse: Path, pins: Mapping[str, str]) -> None:
    """Replace the list of kept releases in one atomic step."""
    text = json.dumps(dict(pins), indent=1, ensure_ascii=False)
    write_atomically(warehouse / RELEASES / PINS, text.encode())


@contextmanager
def exclusive(warehouse: Path) -> Iterator[None]:
    """Hold the warehouse for one writer; BusyError names the present holder. The lock of a dead process is free."""
    warehouse.mkdir(parents=True, exist_ok=True)
    path = warehouse / ".lock"
    try:
        file = open_locked(path, mode=0o666)
    except BlockingIOError:
        holder = path.read_text().strip() or "another process"
        raise BusyError(f"the warehouse is being written by {holder}; wait for it to end") from None
    file.truncate(0)
    file.write(f"process {os.getpid()} since {datetime.now(UTC).isoformat(timespec='seconds')}")
    file.flush()
    try:
        yield
    finally:
        file.truncate(0)
        unlock(file)


def publish(draft: Release, names: Sequence[str]) -> Release:
    """Pin the present version of every table as a new release, with a number, for the rest as ``draft`` says; the last,
    atomic step."""
    release = replace(
        draft,
        id=f"r{max((int(i[1:]) for i in release_ids(draft.warehouse)), default=0) + 1:06d}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        tables={name: _pin(draft.warehouse / TABLES / name) for name in names},
    )
    write_release(release)
    return release


def _pin(folder: Path) -> PinnedTable:
    table = open_table(folder)
    files = delta_files(table)
    return PinnedTable(table.version(), sum(file.rows for file in files), len(files))


def write_release(release: Release) -> None:
    """Write the release's file in one atomic step; an earlier state of it is replaced."""
    folder = release.warehouse / RELEASES
    folder.mkdir(parents=True, exist_ok=True)
    data = {k: v for k, v in asdict(release).items() if k != "warehouse"}
    write_atomically(folder / f"{release.id}.json", json.dumps(data, indent=1, ensure_ascii=False).encode())
