"""The second stage: which version of each resource stands, newest first.

One Spark task a range of resource keys, each one DuckDB connection over pseudonymised Parquet only, so that a
resource is found again even when its patient changed. Owns the order of versions (``_last_updated``, ``_version``,
``_hash``, newest first) and what a task tells the later stages, as short Parquet lists below. A version that is
withheld (of a patient who objects, or a replaced identity's own record) competes like any other, and gives way only
to itself, read again once nothing withholds it any more.

- ``losers(seq)``: staged rows whose version does not stand;
- ``replaced(resource_type, resource_key, cluster)``: resources whose present rows go, and where these lie;
- ``settled``: the ledger's new rows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from etl.engine import connect, scalar
from etl.sql import literal
from etl.warehouse.columns import IDENTITY_COLUMNS, LEDGER_COLUMNS, VERSION
from etl.warehouse.data_files import rows_sql, subfolder
from etl.warehouse.faults import check_whole
from etl.warehouse.staged import AGAIN, SEQ_BITS

_VERSION = "TRY_CAST(_version AS HUGEINT)"
NEWEST_FIRST = f"_last_updated DESC NULLS LAST, {_VERSION} DESC NULLS LAST, _version DESC NULLS LAST, _hash DESC"
_STAGED_COLUMNS = ("resource_type", "resource_key", "patient_key", *VERSION, "deleted")


@dataclass(frozen=True)
class SettleTask:
    """A range of the ledger's buckets: what is staged for it, what stands now, and where the lists go."""

    first: int
    last: int
    staged: tuple[str, ...]
    ledger: tuple[str, ...]
    identity: tuple[str, ...]
    lists: Path
    memory_mb: int = 1024
    scratch: Path = Path("/tmp")


@dataclass
class Settled:
    """Staged rows by resource type and outcome; what was read again from earlier batches does not count."""

    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


def settle(task: SettleTask) -> Settled:
    """Decide which version of each resource stands in one range of the ledger; StorageError when that is damaged."""
    check_whole(task.ledger)
    settled = Settled()
    with connect(task.memory_mb, task.scratch) as sql:
        sql.execute(f"CREATE TEMP TABLE staged AS {_staged_sql(task)}")
        sql.execute(f"CREATE TEMP VIEW identity AS {rows_sql(task.identity, IDENTITY_COLUMNS)}")
        sql.execute(f"CREATE TEMP TABLE known AS {_known_sql(task)}")
        sql.execute(f"CREATE TEMP TABLE present AS {_PRESENT}")
        columns = ", ".join(SETTLED_COLUMNS)
        sql.execute(_SETTLE.format(columns=columns, order=NEWEST_FIRST, again=AGAIN << SEQ_BITS))
        for resource, outcome, count in sql.execute(_OUTCOMES.format(again=AGAIN << SEQ_BITS)).fetchall():
            settled.outcomes[resource][outcome] += count
        for name, query in _LISTS.items():
            write_list(sql, subfolder(task.lists, name), f"{task.first:05d}", query)
    return settled


def _staged_sql(task: SettleTask) -> str:
    columns = {"seq": "BIGINT", **{name: LEDGER_COLUMNS[name] for name in _STAGED_COLUMNS}, "bucket": "INTEGER"}
    return f"SELECT * FROM ({rows_sql(task.staged, columns)}) WHERE bucket BETWEEN {task.first} AND {task.last}"


def _known_sql(task: SettleTask) -> str:
    """What the ledger has of the staged resources; its own table, as ranking rows while they are read costs double."""
    return f"SELECT * FROM ({rows_sql(task.ledger, LEDGER_COLUMNS)}) SEMI JOIN staged USING (resource_key)"


_PRESENT = """
SELECT p.* EXCLUDE (generation), coalesce(i.target, p.patient_key, p.resource_key) AS cluster,
       withheld AND coalesce(i.excluded, false) AS objected
FROM (FROM known QUALIFY row_number() OVER (PARTITION BY resource_key ORDER BY generation DESC) = 1) p
LEFT JOIN identity i ON p.patient_key = i.alias
"""
"""The version that stands of each staged resource; ``cluster`` is where its rows lie."""


def write_list(sql: duckdb.DuckDBPyConnection, folder: Path, name: str, query: str) -> None:
    """Write one of the short lists, if it has any row."""
    path = folder / f"{name}.parquet"
    if not scalar(sql, f"COPY ({query}) TO {literal(path)} (FORMAT parquet)"):
        path.unlink()


def list_sql(lists: Path, name: str, columns: Mapping[str, str]) -> str:
    """SELECT of a short list, which may have no file."""
    return rows_sql(sorted(map(str, (lists / name).glob("*.parquet"))), columns)


_SETTLE = """
CREATE TEMP TABLE contested AS
SELECT resource_key FROM (SELECT resource_key FROM staged UNION ALL SELECT resource_key FROM present)
GROUP BY 1 HAVING count(*) > 1;
CREATE TEMP TABLE settled AS
WITH versions AS (
    SELECT *, CASE WHEN seq >= {again} THEN 1 ELSE 2 END AS rank, false AS withheld, false AS objected
    FROM staged SEMI JOIN contested USING (resource_key)
    UNION ALL BY NAME
    SELECT -1::BIGINT AS seq, * EXCLUDE (cluster), CASE WHEN withheld THEN 3 ELSE 0 END AS rank FROM present
), copies AS (
    SELECT *, row_number() OVER (same ORDER BY rank, seq) AS copy, bool_or(withheld) OVER same AS kept_out,
           bool_or(objected) OVER same AS barred
    FROM versions
    WINDOW same AS (PARTITION BY resource_key, _last_updated, _version, _hash, deleted)
), ranked AS (
    SELECT *, row_number() OVER (
        PARTITION BY resource_key ORDER BY copy > 1, {order}, deleted DESC, seq) AS place
    FROM copies
)
SELECT {columns}, CASE WHEN seq = -1 THEN 'present'
            WHEN copy > 1 THEN 'duplicates'
            WHEN place > 1 THEN 'superseded'
            WHEN barred AND seq < {again} THEN 'objected'
            WHEN kept_out AND seq < {again} THEN 'duplicates'
            WHEN deleted THEN 'deleted'
            ELSE 'written' END AS outcome
FROM ranked
UNION ALL
SELECT {columns}, CASE WHEN deleted THEN 'deleted' ELSE 'written' END
FROM staged ANTI JOIN contested USING (resource_key);
"""
"""Of most resources there is one version, and nothing to compare it with."""
_OUTCOMES = """
SELECT resource_type, outcome, count(*) FROM settled WHERE outcome <> 'present' AND seq < {again} GROUP BY 1, 2
"""
_STANDING = "outcome IN ('written', 'deleted')"
SETTLED_COLUMNS = {"seq": "BIGINT", **{name: LEDGER_COLUMNS[name] for name in _STAGED_COLUMNS}}
LOSER_COLUMNS = {"seq": "BIGINT"}
REPLACED_COLUMNS = {"resource_type": "VARCHAR", "resource_key": "VARCHAR", "cluster": "VARCHAR"}
_LISTS = {
    "losers": "SELECT seq FROM settled WHERE outcome IN ('duplicates', 'superseded', 'objected')",
    "replaced": f"SELECT resource_type, resource_key, cluster FROM present SEMI JOIN"
    f" (SELECT resource_key FROM settled WHERE {_STANDING}) USING (resource_key)",
    "settled": f"SELECT {', '.join(SETTLED_COLUMNS)} FROM settled WHERE {_STANDING}",
}
