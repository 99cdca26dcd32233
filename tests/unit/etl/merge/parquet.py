"""Small Parquet files from rows, as the stages of the merge read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

Row = tuple[Any, ...]
_TYPES = {
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "BOOLEAN": pa.bool_(),
    "VARCHAR": pa.string(),
    "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", "UTC"),
}


def write(path: Path, columns: Mapping[str, str], rows: Sequence[Row]) -> str:
    """Write the rows, all columns of each; times as ISO text. Answers the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    arrays = [_array(kind, column) for kind, column in zip(columns.values(), values, strict=True)]
    pq.write_table(pa.table(dict(zip(columns, arrays, strict=True))), path)
    return str(path)


def _array(kind: str, values: Sequence[Any]) -> Any:
    if kind.startswith("TIMESTAMP"):
        values = [value and datetime.fromisoformat(value) for value in values]
    return pa.array(values, _TYPES[kind])


def read(folder: Path, columns: str = "*") -> list[Row]:
    """The rows of a folder's Parquet files, sorted; none without a file."""
    files = sorted(map(str, folder.glob("*.parquet")))
    if not files:
        return []
    with duckdb.connect(config={"threads": 1}) as sql:
        sql.execute("SET TimeZone = 'UTC'")
        return sorted(sql.execute(f"SELECT {columns} FROM read_parquet({files})").fetchall())
