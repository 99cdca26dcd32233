"""Delta tables: the commits that make data files visible, and the columns of a table.

Owns the use of ``deltalake``. It writes no data file and reads none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deltalake import DeltaTable, Field, Schema
from deltalake.schema import ArrayType, PrimitiveType
from deltalake.transaction import AddAction, CommitProperties, RemoveAction, create_table_with_add_actions

from etl.errors import ReleaseError
from etl.warehouse.changes import TableChanges
from etl.warehouse.data_files import TABLES, DataFile

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


_PROPERTIES = {"delta.enableExpiredLogCleanup": "false"}
"""The log is kept whole: a release pins a version however old; `erios warehouse vacuum` forgets on purpose."""


def commit_table(
    warehouse: Path,
    name: str,
    columns: Mapping[str, str],
    change: TableChanges,
    batch: str,
    *,
    overwrite: bool = False,
) -> None:
    """Make a table's new files visible in its Delta log, in one commit.

    With ``overwrite`` the new files are all there is, and the columns may be others than before.
    """
    folder = warehouse / TABLES / name
    adds = [_add(file) for file in [*change.rewritten, *change.added]]
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
    """Make the head of a table hold exactly ``files``; returns its version."""
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
