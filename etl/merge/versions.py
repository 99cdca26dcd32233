"""Version resolution: choose the current version of each resource among the staged ones and the ledger's.

One Spark task per range of resource keys, each one DuckDB connection over pseudonymised Parquet only. Ranges are of
the resource's key, so that a resource is found even when its patient changed. Owns the order of versions
(``_last_updated``, ``_version``, ``_hash``, newest first) and the lists below, Parquet files that later steps read. A
version that is withheld (its patient objects, or its identity was replaced) competes like any other; only the same
version, staged again from an earlier batch when nothing withholds it any more, takes its place.

- ``discarded(seq)``: staged rows of versions that are not current;
- ``replaced(resource_type, resource_key, cluster)``: resources whose present rows are removed, and their cluster key;
- ``resolved``: the ledger's new rows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from etl.duckdb_engine import connect, scalar
from etl.sql import literal
from etl.warehouse.columns import IDENTITY_COLUMNS, LEDGER_COLUMNS, VERSION
from etl.warehouse.data_files import rows_sql, subfolder
from etl.warehouse.staged_files import REREAD, SEQ_BITS
from etl.warehouse.storage_faults import check_whole

_VERSION = "TRY_CAST(_version AS HUGEINT)"
NEWEST_FIRST = f"_last_updated DESC NULLS LAST, {_VERSION} DESC NULLS LAST, _version DESC NULLS LAST, _hash DESC"
_STAGED_COLUMNS = ("resource_type", "resource_key", "patient_key", *VERSION, "deleted")


@dataclass(frozen=True)
class ResolveTask:
    """A range of the ledger's buckets: staged files, present files, and the folder of the lists."""

    first: int
    last: int
    staged: tuple[str, ...]
    ledger: tuple[str, ...]
    identity: tuple[str, ...]
    lists: Path
    memory_mb: int = 1024
    scratch: Path = Path("/tmp")


@dataclass
class Resolved:
    """Staged rows by resource type and outcome, without those staged again from earlier batches."""

    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


def resolve_versions(task: ResolveTask) -> Resolved:
    """Choose the current version of each resource in one range; StorageError when a file of the ledger is damaged."""
    check_whole(task.ledger)
    resolved = Resolved()
    with connect(task.memory_mb, task.scratch) as sql:
        sql.execute(f"CREATE TEMP TABLE staged AS {_staged_sql(task)}")
        sql.execute(f"CREATE TEMP VIEW identity AS {rows_sql(task.identity, IDENTITY_COLUMNS)}")
        sql.execute(f"CREATE TEMP TABLE recorded AS {_recorded_sql(task)}")
        sql.execute(f"CREATE TEMP TABLE present AS {_PRESENT}")
        columns = ", ".join(RESOLVED_COLUMNS)
        sql.execute(_RESOLVE.format(columns=columns, order=NEWEST_FIRST, reread=REREAD << SEQ_BITS))
        for resource, outcome, count in sql.execute(_OUTCOMES.format(reread=REREAD << SEQ_BITS)).fetchall():
            resolved.outcomes[resource][outcome] += count
        for name, query in _LISTS.items():
            write_list(sql, subfolder(task.lists, name), f"{task.first:05d}", query)
    return resolved


def _staged_sql(task: ResolveTask) -> str:
    columns = {"seq": "BIGINT", **{name: LEDGER_COLUMNS[name] for name in _STAGED_COLUMNS}, "bucket": "INTEGER"}
    return f"SELECT * FROM ({rows_sql(task.staged, columns)}) WHERE bucket BETWEEN {task.first} AND {task.last}"


def _recorded_sql(task: ResolveTask) -> str:
    """The ledger's rows of the staged resources, in a table because ranking while reading takes twice the time."""
    return f"SELECT * FROM ({rows_sql(task.ledger, LEDGER_COLUMNS)}) SEMI JOIN staged USING (resource_key)"


_PRESENT = """
SELECT p.* EXCLUDE (generation), coalesce(i.target, p.patient_key, p.resource_key) AS cluster,
       withheld AND coalesce(i.excluded, false) AS excluded
FROM (FROM recorded QUALIFY row_number() OVER (PARTITION BY resource_key ORDER BY generation DESC) = 1) p
LEFT JOIN identity i ON p.patient_key = i.alias
"""
"""The present version of each staged resource; ``cluster`` is the cluster key of its rows."""


def write_list(sql: duckdb.DuckDBPyConnection, folder: Path, name: str, query: str) -> None:
    """Write one of the short lists, if it has any row."""
    path = folder / f"{name}.parquet"
    if not scalar(sql, f"COPY ({query}) TO {literal(path)} (FORMAT parquet)"):
        path.unlink()


def list_sql(lists: Path, name: str, columns: Mapping[str, str]) -> str:
    """SELECT of a short list, which may have no file."""
    return rows_sql(sorted(map(str, (lists / name).glob("*.parquet"))), columns)


_RESOLVE = """
CREATE TEMP TABLE contested AS
SELECT resource_key FROM (SELECT resource_key FROM staged UNION ALL SELECT resource_key FROM present)
GROUP BY 1 HAVING count(*) > 1;
CREATE TEMP TABLE resolved AS
WITH versions AS (
    SELECT *, CASE WHEN seq >= {reread} THEN 1 ELSE 2 END AS rank, false AS withheld, false AS excluded
    FROM staged SEMI JOIN contested USING (resource_key)
    UNION ALL BY NAME
    SELECT -1::BIGINT AS seq, * EXCLUDE (cluster), CASE WHEN withheld THEN 3 ELSE 0 END AS rank FROM present
), copies AS (
    SELECT *, row_number() OVER (same ORDER BY rank, seq) AS copy, bool_or(withheld) OVER same AS was_withheld,
           bool_or(excluded) OVER same AS was_excluded
    FROM versions
    WINDOW same AS (PARTITION BY resource_key, _last_updated, _version, _hash, deleted)
), ranked AS (
    SELECT *, row_number() OVER (
        PARTITION BY resource_key ORDER BY copy > 1, {order}, deleted DESC, seq) AS position
    FROM copies
)
SELECT {columns}, CASE WHEN seq = -1 THEN 'present'
            WHEN copy > 1 THEN 'duplicates'
            WHEN position > 1 THEN 'superseded'
            WHEN was_excluded AND seq < {reread} THEN 'objected'
            WHEN was_withheld AND seq < {reread} THEN 'duplicates'
            WHEN deleted THEN 'deleted'
            ELSE 'written' END AS outcome
FROM ranked
UNION ALL
SELECT {columns}, CASE WHEN deleted THEN 'deleted' ELSE 'written' END
FROM staged ANTI JOIN contested USING (resource_key);
"""
"""Most resources have one version: only ``contested`` ones are ranked."""
_OUTCOMES = """
SELECT resource_type, outcome, count(*) FROM resolved WHERE outcome <> 'present' AND seq < {reread} GROUP BY 1, 2
"""
_CURRENT = "outcome IN ('written', 'deleted')"
RESOLVED_COLUMNS = {"seq": "BIGINT", **{name: LEDGER_COLUMNS[name] for name in _STAGED_COLUMNS}}
DISCARDED_COLUMNS = {"seq": "BIGINT"}
REPLACED_COLUMNS = {"resource_type": "VARCHAR", "resource_key": "VARCHAR", "cluster": "VARCHAR"}
_LISTS = {
    "discarded": "SELECT seq FROM resolved WHERE outcome IN ('duplicates', 'superseded', 'objected')",
    "replaced": f"SELECT resource_type, resource_key, cluster FROM present SEMI JOIN"
    f" (SELECT resource_key FROM resolved WHERE {_CURRENT}) USING (resource_key)",
    "resolved": f"SELECT {', '.join(RESOLVED_COLUMNS)} FROM resolved WHERE {_CURRENT}",
}
