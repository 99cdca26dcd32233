"""Rows in the order of their patients, cut into data files.

Owns the order (the cluster key), the cut (about even files of at most so many rows, none over two buckets) and how
files are encoded. Only the key is sorted; each column is then gathered in that order once, and one that holds nothing
is not moved at all: most of a wide view's columns are empty in any hospital, and a sort of whole rows carries them
all. A range too big for memory is written in parts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from etl.warehouse.data_files import PREFIXES, DataFile, between_sql, new_path, stamp

CLUSTER = "_cluster"
_FEW = 64
"""Up to this many removed rows, concatenating slices is faster than a filter."""
_BATCH = 1 << 16
"""Values that are encoded at a time."""
_ONE_CHUNK = (1 << 31) - 1


@dataclass(frozen=True)
class WriteTarget:
    """Folder and cutting of data files: rows of buckets ``first`` to ``last``, read in ``parts`` to bound memory."""

    folder: Path
    buckets: int
    first: int
    last: int
    file_rows: int
    parts: int = 1

    def spans(self) -> Iterator[tuple[int, int]]:
        """First and last key prefix of each part."""
        width = PREFIXES // self.buckets
        start, whole = self.first * width, (self.last + 1 - self.first) * width
        edges = (start + whole * part // self.parts for part in range(self.parts + 1))
        yield from ((low, high - 1) for low, high in pairwise(edges) if high > low)


def write_clustered(
    sql: duckdb.DuckDBPyConnection, rows: str, names: Sequence[str], target: WriteTarget
) -> list[DataFile]:
    """Write the rows of SQL ``rows``: the columns ``names`` and ``_cluster``, every row in a bucket of the target."""
    files: list[DataFile] = []
    for low, high in target.spans():
        inside = f"WHERE {between_sql(CLUSTER, low, high)}" if target.parts > 1 else ""
        files += _write_part(rows_of(sql, f"SELECT * FROM ({rows}) {inside}"), names, target)
    return files


def rows_of(sql: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    """The rows of a query in one piece, as they are gathered fastest; a column may hold more than 2 GB of text."""
    sql.execute("SET arrow_large_buffer_size = true")
    return sql.sql(query).to_arrow_table(_ONE_CHUNK)


def _write_part(part: pa.Table, names: Sequence[str], target: WriteTarget) -> Iterator[DataFile]:
    order = pc.sort_indices(part[CLUSTER])
    keys = part[CLUSTER].take(order)
    for bucket, start, end in _pieces(keys, target):
        piece = pa.table({name: _gathered(part[name], order[start:end]) for name in names})
        low, high = keys[start].as_py(), keys[end - 1].as_py()
        yield write_file(piece, target.folder, bucket, low, high)


def _pieces(keys: pa.ChunkedArray, target: WriteTarget) -> Iterator[tuple[int, int, int]]:
    """(bucket, first row, row after the last) of each file; ``keys`` are sorted."""
    bounds = (f"{bucket * PREFIXES // target.buckets:04x}" for bucket in range(target.first + 1, target.last + 1))
    inner = (bisect_left(range(len(keys)), bound, key=lambda row: keys[row].as_py()) for bound in bounds)
    for bucket, (start, end) in enumerate(pairwise([0, *inner, len(keys)]), target.first):
        count = -(-(end - start) // target.file_rows)
        cuts = [start + (end - start) * n // count for n in range(count + 1)] if count else []
        yield from ((bucket, *cut) for cut in pairwise(cuts))


def in_order(rows: pa.Table, column: str) -> pa.Table:
    """The rows ordered by one column."""
    order = pc.sort_indices(rows[column])
    return pa.table({name: _gathered(rows[name], order) for name in rows.column_names})


def _gathered(column: pa.ChunkedArray, order: pa.Array) -> pa.ChunkedArray | pa.Array:
    return pa.nulls(len(order), column.type) if column.null_count == len(column) else column.take(order)


def write_file(rows: pa.Table, folder: Path, bucket: int, low: str, high: str) -> DataFile:
    """One data file of rows that are sorted already; ``low`` and ``high`` are their first and last cluster key."""
    draft = new_path(bucket, low, high)
    (folder / draft).parent.mkdir(parents=True, exist_ok=True)
    empty = [_leaf(rows.schema.field(name)) for name in rows.column_names if rows[name].null_count == len(rows)]
    keys = [name for name in rows.column_names if name.endswith(("_key", "_patient"))]
    single = _hardly_repeating(folder)
    pq.write_table(
        rows,
        folder / draft,
        compression="zstd",
        row_group_size=max(1, len(rows)),  # each column chunk has a fixed cost, and files are small
        write_batch_size=_BATCH,
        store_schema=False,
        use_dictionary=[_leaf(field) for field in rows.schema if field.name not in single],
        write_statistics=[*keys, *empty],  # of what else a file holds, its rows have no order: nothing to skip by
    )
    path = stamp(folder, draft)
    return DataFile(path, bucket, (folder / path).stat().st_size, len(rows))


def _hardly_repeating(folder: Path) -> set[str]:
    """Columns of the table of that folder for which a dictionary would be made only to be given up."""
    return {f"{folder.name}_key", "resource_key", "_hash", "_last_updated"}


def _leaf(field: pa.Field) -> str:
    """What Parquet calls a column."""
    return f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name


def copy_without(folder: Path, file: DataFile, positions: Sequence[int]) -> DataFile:
    """Copy a data file without the rows at ``positions``."""
    low, high = file.range
    return write_file(_without_rows(_read_dictionaries(folder, file), positions), folder, file.bucket, low, high)


def _read_dictionaries(folder: Path, file: DataFile) -> pa.Table:
    """The rows of a data file: texts as dictionaries, and columns known to be empty without being read."""
    path, single = folder / file.path, _hardly_repeating(folder)
    metadata = pq.read_metadata(path)
    schema = metadata.schema.to_arrow_schema()
    texts = [field.name for field in schema if pa.types.is_string(field.type) and field.name not in single]
    empty = _known_empty(metadata)
    filled = [_leaf(field) for field in schema if _leaf(field) not in empty]
    rows = pq.ParquetFile(path, metadata=metadata, read_dictionary=texts).read(filled, use_threads=False)
    return pa.table(
        {
            field.name: pa.nulls(metadata.num_rows, field.type) if _leaf(field) in empty else rows[field.name]
            for field in schema
        }
    )


def _known_empty(metadata: pq.FileMetaData) -> set[str]:
    """Columns whose statistics say that they hold nothing, in every row group."""
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    return {
        metadata.schema.column(column).path
        for column in range(metadata.num_columns)
        if all(_holds_nothing(group.column(column)) for group in groups)
    }


def _holds_nothing(chunk: pq.ColumnChunkMetaData) -> bool:
    return chunk.statistics is not None and chunk.statistics.null_count == chunk.num_values


def _without_rows(rows: pa.Table, positions: Sequence[int]) -> pa.Table:
    """Without the rows at ``positions``."""
    return pa.table({name: _without_values(rows[name], positions) for name in rows.column_names})


def _without_values(column: pa.ChunkedArray, positions: Sequence[int]) -> pa.ChunkedArray | pa.Array:
    """Without the values at ``positions``; for a few, the slices between them are concatenated."""
    if column.null_count == len(column):
        return pa.nulls(len(column) - len(positions), column.type)
    if len(positions) > _FEW:
        kept = np.ones(len(column), bool)
        kept[positions] = False
        return column.filter(pa.array(kept))
    edges = list(pairwise([-1, *sorted(positions), len(column)]))
    parts = [column.slice(before + 1, after - before - 1) for before, after in edges]
    return pa.chunked_array([chunk for part in parts for chunk in part.chunks], column.type).combine_chunks()
