"""Releases: what a reader may see, and the protocol by which it becomes visible.

Owns the Delta commits and the release files. A *release* is one small JSON file that pins a version of every table;
it appears by one atomic rename, after every table's Delta commit. Readers open a release and never a bare table. A
run killed in between leaves table versions that no release pins; the next run rolls them back before it starts.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable, Field, Schema
from deltalake.schema import ArrayType, PrimitiveType
from deltalake.transaction import AddAction, CommitProperties, RemoveAction, create_table_with_add_actions

from etl.errors import BusyError, ReleaseError
from etl.faults import check_whole, damaged, storage_fault
from etl.files import DataFile
from etl.fold import Merged
from etl.landing import storage_error
from etl.voxels import unread_voxels

if TYPE_CHECKING:
    import duckdb
    import polars
    from pyspark.sql import DataFrame, SparkSession

TABLES, RELEASES, PINS = "tables", "releases", "kept.json"
_DELTA_TYPES = {
    "VARCHAR": "string",
    "BOOLEAN": "boolean",
    "INTEGER": "integer",
    "BIGINT": "long",
    "DOUBLE": "double",
    "DATE": "date",
    "TIMESTAMP WITH TIME ZONE": "timestamp",
    "TIMESTAMP": "timestamp_ntz",
}


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


def open_table(folder: Path, version: int | None = None) -> DeltaTable:
    """A Delta table at a version; ReleaseError names the table when its log cannot be read."""
    try:
        return DeltaTable(str(folder), version=version)
    except Exception as error:
        raise ReleaseError(
            f"table {folder.name} at version {version} cannot be opened ({type(error).__name__});"
            " restore the warehouse zone from its backup"
        ) from None


def delta_files(table: DeltaTable) -> list[DataFile]:
    """The live files of a Delta table version."""
    actions = table.get_add_actions(flatten=True)
    columns: dict[str, list[Any]] = {name: list(actions.column(name).to_pylist()) for name in actions.schema.names}
    buckets = columns.get("partition.bucket", [])
    rows = zip(columns["path"], buckets, columns["size_bytes"], columns["num_records"], strict=True)
    return [DataFile(path, int(bucket), size, count or 0) for path, bucket, size, count in rows]


def release_ids(warehouse: Path) -> list[str]:
    """Ids of the releases kept, oldest first; StorageError when their folder may not be read."""
    folder = warehouse / RELEASES
    try:
        found = list(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise storage_error(error, "warehouse zone") from None
    return sorted(path.stem for path in found if path.match("r*.json"))


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


def read_pins(warehouse: Path) -> dict[str, str]:
    """Releases that somebody asked to keep, each with the reason."""
    try:
        return dict(json.loads((warehouse / RELEASES / PINS).read_text()))
    except FileNotFoundError:
        return {}


def write_pins(warehouse: Path, pins: Mapping[str, str]) -> None:
    """Replace the list of kept releases in one atomic step."""
    path = warehouse / RELEASES / PINS
    temporary = path.with_name(f".{PINS}.new")
    temporary.write_text(json.dumps(dict(pins), indent=1, ensure_ascii=False))
    temporary.rename(path)


@contextmanager
def exclusive(warehouse: Path) -> Iterator[None]:
    """Hold the warehouse for one writer; BusyError tells who holds it since when. A dead holder's lock is free."""
    warehouse.mkdir(parents=True, exist_ok=True)
    with (warehouse / ".lock").open("a+") as handle:
        try:
            flock(handle, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            holder = handle.read().strip() or "another process"
            raise BusyError(f"the warehouse is being written by {holder}; wait for it to end") from None
        handle.truncate(0)
        handle.write(f"process {os.getpid()} since {datetime.now(UTC).isoformat(timespec='seconds')}")
        handle.flush()
        try:
            yield
        finally:
            handle.truncate(0)
            flock(handle, LOCK_UN)


def recover(warehouse: Path) -> list[str]:
    """Roll back table versions that no release pins (left by a killed run); returns the tables mended."""
    release = latest(warehouse)
    mended = []
    for folder in sorted((warehouse / TABLES).glob("*/_delta_log")):
        name = folder.parent.name
        pinned = _last_pin(warehouse, release, name)
        if pinned is None:
            shutil.rmtree(folder.parent)
        elif not _stands(open_table(folder.parent), pinned.version):
            open_table(folder.parent).restore(pinned.version)
        else:
            continue
        mended.append(name)
    return mended


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
    yield from unread_voxels(warehouse, kept)
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
    known = {table for name in release_ids(warehouse) for table in open_release(warehouse, name).tables}
    for folder in (warehouse / TABLES).glob("*"):
        if folder.name not in known:
            shutil.rmtree(folder)


def sweep(warehouse: Path) -> int:
    """Delete data files that no release reads, left by a killed run; answers how many."""
    garbage = list(unread(warehouse, release_ids(warehouse)))
    delete(warehouse, garbage)
    return len(garbage)


def _stands(table: DeltaTable, version: int) -> bool:
    """Is the head what the release pins: its version, or a roll-back to it from an earlier recovery?"""
    if table.version() == version:
        return True
    pinned = open_table(Path(table.table_uri.removeprefix("file://")), version)
    same_columns = pinned.schema().to_json() == table.schema().to_json()
    return same_columns and {file.path for file in delta_files(pinned)} == {file.path for file in delta_files(table)}


_PROPERTIES = {"delta.enableExpiredLogCleanup": "false"}
"""The log is kept whole: a release pins a version however old; `erios warehouse vacuum` forgets on purpose."""


def commit_table(
    warehouse: Path,
    name: str,
    columns: Mapping[str, str],
    change: Merged,
    batch: str,
    *,
    overwrite: bool = False,
) -> None:
    """Make a table's new files visible in its Delta log, in one commit.

    With ``overwrite`` the new files are all there is, and the columns may be others than before.
    """
    folder = warehouse / TABLES / name
    adds = [_add(file) for file in [*change.lessened, *change.added]]
    if not DeltaTable.is_deltatable(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        schema = delta_schema(columns)
        create_table_with_add_actions(str(folder), schema, adds, partition_by=["bucket"], configuration=_PROPERTIES)
        return
    if overwrite:
        open_table(folder).create_write_transaction(
            [*adds], mode="overwrite", schema=delta_schema(columns), partition_by=["bucket"]
        )
    elif adds or change.removed:
        open_table(folder).create_write_transaction(
            [*adds, *(_remove(file) for file in change.removed)],
            mode="append",
            schema=delta_schema(columns),
            partition_by=["bucket"],
            commit_properties=CommitProperties(custom_metadata={"batch": batch}),
        )


def set_state(folder: Path, files: Sequence[DataFile]) -> int:
    """Make the head of a table hold exactly ``files``; answers its version."""
    table = open_table(folder)
    present = {file.path: file for file in delta_files(table)}
    wanted = {file.path: file for file in files}
    actions: list[AddAction | RemoveAction] = [
        *(_add(file) for path, file in wanted.items() if path not in present),
        *(_remove(file) for path, file in present.items() if path not in wanted),
    ]
    if actions:
        schema = Schema.from_json(table.schema().to_json())
        table.create_write_transaction(actions, mode="append", schema=schema, partition_by=["bucket"])
    return open_table(folder).version()


def _add(file: DataFile) -> AddAction:
    return AddAction(
        path=file.path,
        size=file.size,
        partition_values={"bucket": str(file.bucket)},
        modification_time=int(time.time() * 1000),
        data_change=True,
        stats=json.dumps({"numRecords": file.rows}),
    )


def _remove(file: DataFile) -> RemoveAction:
    return RemoveAction(
        path=file.path,
        data_change=True,
        deletion_timestamp=int(time.time() * 1000),
        partition_values={"bucket": str(file.bucket)},
        size=file.size,
    )


def delta_schema(columns: Mapping[str, str]) -> Schema:
    """Delta schema of a table, the partition column ``bucket`` last."""
    fields = [Field(name, _delta_type(kind), nullable=True) for name, kind in columns.items()]
    return Schema([*fields, Field("bucket", PrimitiveType("integer"), nullable=True)])


def _delta_type(kind: str) -> PrimitiveType | ArrayType:
    if kind.endswith("[]"):
        return ArrayType(_delta_type(kind[:-2]), contains_null=True)
    return PrimitiveType(_DELTA_TYPES.get(kind, kind.lower().replace(" ", "")))


def check_schema(warehouse: Path, name: str, columns: Mapping[str, str]) -> None:
    """ReleaseError when a table's columns differ from those it was built with."""
    folder = warehouse / TABLES / name
    if not DeltaTable.is_deltatable(str(folder)):
        return
    have = {f.name: str(f.type) for f in open_table(folder).schema().fields}
    want = {f.name: str(f.type) for f in delta_schema(columns).fields}
    if changed := sorted(n for n in have.keys() | want.keys() if have.get(n) != want.get(n)):
        raise ReleaseError(
            f"table {name} was built with other columns ({', '.join(changed[:5])}); run `erios etl rebuild` to compute"
            " it anew from the landing zone (readers keep the old release until then), or put the earlier view back"
        )


def publish(
    warehouse: Path,
    names: Sequence[str],
    *,
    batch: str,
    totals: Mapping[str, int],
    types: Mapping[str, Mapping[str, int]],
    validation: Mapping[str, Any],
    key_id: str,
    buckets: int,
    views: Mapping[str, str],
) -> Release:
    """Pin the present version of every table as a new release; the last, atomic step."""
    release = Release(
        id=_next_id(warehouse),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        batch=batch,
        tables={name: _pin(warehouse / TABLES / name) for name in names},
        warehouse=warehouse,
        totals=totals,
        types=types,
        validation=validation,
        key_id=key_id,
        buckets=buckets,
        views=views,
    )
    write_release(release)
    return release


def _next_id(warehouse: Path) -> str:
    return f"r{max((int(i[1:]) for i in release_ids(warehouse)), default=0) + 1:06d}"


def _pin(folder: Path) -> PinnedTable:
    table = open_table(folder)
    files = delta_files(table)
    return PinnedTable(table.version(), sum(file.rows for file in files), len(files))


def write_release(release: Release) -> None:
    """Write the release's file in one atomic step; an earlier state of it is replaced."""
    folder = release.warehouse / RELEASES
    folder.mkdir(parents=True, exist_ok=True)
    data = {k: v for k, v in asdict(release).items() if k != "warehouse"}
    temporary = folder / f".{release.id}.json"
    with temporary.open("w") as handle:
        json.dump(data, handle, indent=1, ensure_ascii=False)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.rename(folder / f"{release.id}.json")
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
