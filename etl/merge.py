"""The second stage: newest version wins, per resource, and the tables' new files are written unseen.

Two passes of Spark tasks, each task one DuckDB connection over pseudonymised Parquet only. *Settle* decides for
every resource key which version stands, over ranges of the resource key, so that a resource is found again even
when its patient changed; its result is two short lists: staged rows that lost and resources whose present rows go.
*Fold* writes, over ranges of the patient's bucket, the files of each table that change. Nothing is visible before
the release commits the files. Order of versions (newest first): ``_last_updated``, ``_version``, ``_hash``.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from etl.engine import connect, scalar
from etl.tables import LEDGER_COLUMNS

_VERSION = "TRY_CAST(_version AS HUGEINT)"
NEWEST_FIRST = f"_last_updated DESC NULLS LAST, {_VERSION} DESC NULLS LAST, _version DESC NULLS LAST, _hash DESC"
OUTCOMES = ("written", "superseded", "duplicates", "deleted")


@dataclass(frozen=True)
class DataFile:
    """A Parquet file of a table: path relative to the table folder, bucket, bytes and rows."""

    path: str
    bucket: int
    size: int
    rows: int


@dataclass(frozen=True)
class MergeTask:
    """One range of buckets of one table: what is staged for it, what stands now and where new files go."""

    table: str
    folder: Path
    first: int
    last: int
    staged: tuple[str, ...]
    current: tuple[DataFile, ...]
    lists: Path
    columns: Mapping[str, str]
    key: str = "resource_key"
    references: tuple[str, ...] = ()
    reference_lists: tuple[str, ...] = ()
    memory_mb: int = 1024
    scratch: Path = Path("/tmp")

    def current_paths(self) -> list[str]:
        return [str(self.folder / file.path) for file in self.current]


@dataclass
class Merged:
    """What one task did: counts by resource type and outcome, files added, files no longer part of the table."""

    table: str
    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    added: list[DataFile] = field(default_factory=list)
    removed: list[DataFile] = field(default_factory=list)


def settle(task: MergeTask) -> Merged:
    """Decide which version of each resource stands in one range of the ledger, and write its new ledger files."""
    merged = Merged(task.table)
    if not task.staged:
        return merged
    with connect(task.memory_mb, task.scratch) as sql:
        sql.execute(f"CREATE TEMP TABLE staged AS {_staged_sql(task, LEDGER_COLUMNS)}")
        sql.execute(f"CREATE TEMP VIEW present AS {_current_sql(task, LEDGER_COLUMNS)}")
        sql.execute(_SETTLE.format(order=NEWEST_FIRST))
        for resource, outcome, count in sql.execute(_OUTCOMES).fetchall():
            merged.outcomes[resource][outcome] += count
        _write_list(sql, task, "losers", "SELECT seq FROM settled WHERE outcome NOT IN ('written')")
        _write_list(sql, task, "replaced", _REPLACED)
        columns = ", ".join(LEDGER_COLUMNS)
        standing = f"SELECT {columns}, bucket FROM settled WHERE outcome IN ('written', 'deleted')"
        _write_range(sql, task, merged, standing, "settled_replaced")
    return merged


def fold(task: MergeTask) -> Merged:
    """Write the changed files of one range of buckets of one table."""
    merged = Merged(task.table)
    with connect(task.memory_mb, task.scratch) as sql:
        sql.execute(f"CREATE TEMP VIEW present AS {_current_sql(task, task.columns)}")
        for name, column in (("losers", "seq BIGINT"), ("replaced", "resource_key VARCHAR")):
            _read_list(sql, task, name, column)
        rows = f"SELECT * EXCLUDE (seq) FROM ({_staged_sql(task, task.columns)}) ANTI JOIN losers USING (seq)"
        _write_range(sql, task, merged, _resolved(sql, task, rows), "replaced")
    return merged


def _empty(columns: Mapping[str, str]) -> str:
    return "SELECT " + ", ".join(f'NULL::{t} AS "{c}"' for c, t in columns.items()) + " WHERE false"


def _staged_sql(task: MergeTask, columns: Mapping[str, str]) -> str:
    if not task.staged:
        return _empty({"seq": "BIGINT", **columns, "bucket": "INTEGER"})
    return f"SELECT * FROM read_parquet({file_list(task.staged)}) WHERE bucket BETWEEN {task.first} AND {task.last}"


def _current_sql(task: MergeTask, columns: Mapping[str, str]) -> str:
    if not task.current:
        return _empty({**columns, "bucket": "INTEGER"})
    names = ", ".join(f'"{name}"' for name in columns)
    return (
        f"SELECT {names}, bucket::INTEGER AS bucket FROM"
        f" read_parquet({file_list(task.current_paths())}, hive_partitioning = true)"
    )


def file_list(paths: Sequence[str]) -> str:
    """Paths as a SQL list literal."""
    return "[" + ", ".join("'" + path.replace("'", "''") + "'" for path in paths) + "]"


def _write_list(sql: duckdb.DuckDBPyConnection, task: MergeTask, name: str, query: str) -> None:
    """Write one of the short lists, if it has any row."""
    folder = task.lists / name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{task.first:05d}.parquet"
    if not scalar(sql, f"COPY ({query}) TO '{_escaped(path)}' (FORMAT parquet)"):
        path.unlink()


def _escaped(path: Path) -> str:
    return str(path).replace("'", "''")


def _read_list(sql: duckdb.DuckDBPyConnection, task: MergeTask, name: str, column: str) -> None:
    paths = sorted(map(str, (task.lists / name).glob("*.parquet")))
    source = f"SELECT * FROM read_parquet({file_list(paths)})" if paths else f"SELECT NULL::{column.split()[1]}"
    filtered = source if paths else f"{source} AS {column.split(maxsplit=1)[0]} WHERE false"
    sql.execute(f"CREATE TEMP TABLE {name} AS {filtered}")


def _resolved(sql: duckdb.DuckDBPyConnection, task: MergeTask, rows: str) -> str:
    """Replace pseudonyms of references by identifier with the key of the resource they mean, where known."""
    links = sorted(map(str, (task.lists / "resolved").glob("*.parquet")))
    if not links or not (task.references or task.reference_lists):
        return rows
    sql.execute(f"CREATE TEMP TABLE resolved AS SELECT * FROM read_parquet({file_list(links)})")
    sql.execute("SET VARIABLE resolved = (SELECT map(list(identifier_key), list(resource_key)) FROM resolved)")
    single = [f'coalesce(getvariable(\'resolved\')["{c}"], "{c}") AS "{c}"' for c in task.references]
    many = [
        f'list_transform("{c}", lambda x: coalesce(getvariable(\'resolved\')[x], x)) AS "{c}"'
        for c in task.reference_lists
    ]
    return f"SELECT * REPLACE ({', '.join([*single, *many])}) FROM ({rows})"


def _write_range(sql: duckdb.DuckDBPyConnection, task: MergeTask, merged: Merged, new_rows: str, replaced: str) -> None:
    """Rewrite just the buckets of the range that gain or lose rows; the others keep their files."""
    sql.execute(f"CREATE TEMP VIEW fresh AS {new_rows}")
    sql.execute(f"CREATE TEMP VIEW gone AS SELECT resource_key FROM {replaced}")
    touched = _touched(sql, task)
    if not touched:
        return
    buckets = ", ".join(map(str, touched))
    old = f'SELECT * FROM present WHERE bucket IN ({buckets}) AND "{task.key}" NOT IN (FROM gone)'
    query = f"SELECT * FROM fresh UNION ALL BY NAME {old}" if task.current else "SELECT * FROM fresh"
    merged.added += _copy(sql, task, query)
    merged.removed += [file for file in task.current if file.bucket in touched]


def _touched(sql: duckdb.DuckDBPyConnection, task: MergeTask) -> list[int]:
    lost = f'SELECT bucket FROM present WHERE "{task.key}" IN (FROM gone)' if task.current else ""
    union = " UNION ".join(filter(None, ["SELECT bucket FROM fresh", lost]))
    return sorted(int(row[0]) for row in sql.execute(f"SELECT DISTINCT bucket FROM ({union})").fetchall())


def _copy(sql: duckdb.DuckDBPyConnection, task: MergeTask, query: str) -> list[DataFile]:
    task.folder.mkdir(parents=True, exist_ok=True)
    options = (
        "FORMAT parquet, COMPRESSION zstd, PARTITION_BY (bucket), OVERWRITE_OR_IGNORE true, RETURN_STATS true,"
        f" FILENAME_PATTERN '{uuid.uuid4().hex}_{{i}}'"
    )
    result = sql.execute(f"COPY ({query}) TO '{_escaped(task.folder)}' ({options})")
    names = [d[0] for d in result.description or []]
    rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    return [_data_file(task.folder, row) for row in rows]


def _data_file(folder: Path, row: Mapping[str, object]) -> DataFile:
    path = Path(str(row["filename"])).relative_to(folder)
    bucket = int(path.parts[0].split("=")[1])
    return DataFile(str(path), bucket, int(str(row["file_size_bytes"])), int(str(row["count"])))


_SETTLE = """
CREATE TEMP TABLE settled AS
WITH versions AS (
    SELECT seq, * EXCLUDE (seq) FROM staged
    UNION ALL BY NAME
    SELECT -1::BIGINT AS seq, p.* FROM present p SEMI JOIN staged USING (resource_key)
), copies AS (
    SELECT *, row_number() OVER (
        PARTITION BY resource_key, _last_updated, _version, _hash, deleted ORDER BY seq) AS copy
    FROM versions
), ranked AS (
    SELECT *, row_number() OVER (
        PARTITION BY resource_key ORDER BY copy > 1, {order}, deleted DESC, seq) AS place
    FROM copies
)
SELECT *, CASE WHEN seq = -1 THEN 'present'
               WHEN copy > 1 THEN 'duplicates'
               WHEN place > 1 THEN 'superseded'
               WHEN deleted THEN 'deleted'
               ELSE 'written' END AS outcome
FROM ranked;
CREATE TEMP TABLE settled_replaced AS
SELECT DISTINCT resource_key FROM settled WHERE outcome IN ('written', 'deleted')
"""
_OUTCOMES = """
SELECT resource_type, outcome, count(*) FROM settled WHERE outcome <> 'present' GROUP BY 1, 2
"""
_REPLACED = """
SELECT resource_key FROM settled_replaced
WHERE resource_key IN (SELECT resource_key FROM settled WHERE outcome = 'present')
"""
