"""The third stage: the files of a table that change, written unseen.

A task holds a range of buckets of one table; those of one Spark task share a DuckDB connection. New rows go to new
files, which take small ones in where there are many, so that files do not crumble. A file is written again, less some
rows, when a row of it goes (a newer version, a deletion, an objection) or moves (its patient's identity changed): what
is left of it was validated when it came, and is copied without being sorted or validated again. So the cost follows
the change.
Owns how a row reads today: the patient it belongs to after merges of identities, and the resource that a business
identifier means.
Nothing is visible before the release commits the files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from etl.engine import connect, scalar
from etl.merge.patient_identity import MOVED_COLUMNS
from etl.merge.versions import LOSER_COLUMNS, REPLACED_COLUMNS, SETTLED_COLUMNS, list_sql
from etl.sql import literal
from etl.warehouse.changes import Merged
from etl.warehouse.columns import IDENTITY_COLUMNS, LEDGER, LEDGER_COLUMNS, LOGICAL, PATIENT
from etl.warehouse.data_files import DataFile, bucket_sql, rows_sql, within_sql
from etl.warehouse.faults import check_whole
from etl.warehouse.parquet_writer import CLUSTER, Place, copy_without, write_clustered
from etl.warehouse.staged import AGAIN, SEQ_BITS


@dataclass(frozen=True)
class FoldTask:
    """What one range of buckets of one table is made from.

    ``affected`` are all files of the table with a row that goes or moves, ``small`` those of this range that may be
    taken in; ``patient_column`` is the column that names the patient, ``is_patient`` whether it is the table's key.
    """

    table: str
    resource: str
    folder: Path
    first: int
    last: int
    buckets: int
    staged: tuple[str, ...]
    affected: tuple[DataFile, ...]
    small: tuple[DataFile, ...]
    lists: Path
    columns: Mapping[str, str]
    key: str
    references: tuple[str, ...] = ()
    reference_lists: tuple[str, ...] = ()
    file_rows: int = 32768
    parts: int = 1
    generation: int = 0
    compact: bool = False
    memory_mb: int = 1024
    scratch: Path = Path("/tmp")

    @property
    def has_patient(self) -> bool:
        return PATIENT in self.columns

    @property
    def place(self) -> Place:
        return Place(self.folder, self.buckets, self.first, self.last, self.file_rows, self.parts)

    def paths(self, files: Sequence[DataFile]) -> list[str]:
        return [str(self.folder / file.path) for file in files]

    def in_range(self, files: Sequence[DataFile]) -> list[DataFile]:
        return [file for file in files if self.first <= file.bucket <= self.last]


def fold_all(tasks: Sequence[FoldTask]) -> list[Merged]:
    """Fold the pieces of work of one Spark task, over one connection: they share the lists of the load."""
    with connect(tasks[0].memory_mb, tasks[0].scratch) as sql:
        _read_lists(sql, tasks[0])
        return [_fold(sql, task) for task in tasks]


def _fold(sql: duckdb.DuckDBPyConnection, task: FoldTask) -> Merged:
    """Write the changed files of one range of buckets of one table; StorageError when a present one is damaged."""
    check_whole(task.paths([*task.in_range(task.affected), *task.small]))
    merged = Merged(task.table)
    if task.table == LEDGER:
        _fold_ledger(sql, task, merged)
    else:
        moving = task.has_patient and _any(sql, "moved")
        _lessen(sql, task, merged, task.in_range(task.affected), moving=moving)
        _write_range(sql, task, merged, _fresh(sql, task, moving=moving))
    return merged


def _read_lists(sql: duckdb.DuckDBPyConnection, task: FoldTask) -> None:
    for name, columns in {
        "losers": LOSER_COLUMNS,
        "replaced": REPLACED_COLUMNS,
        "identity": IDENTITY_COLUMNS,
        "moved": MOVED_COLUMNS,
    }.items():
        sql.execute(f"CREATE TEMP TABLE {name} AS {list_sql(task.lists, name, columns)}")
    sql.execute("CREATE TEMP VIEW meaning AS SELECT alias, target FROM identity WHERE logical AND target IS NOT NULL")
    sql.execute(f"SET VARIABLE meaning = ({_MAP.format(value='target', rows='meaning')})")
    sql.execute(f"SET VARIABLE moved_logical = ({_MAP.format(value='true', rows='moved WHERE logical')})")


def _any(sql: duckdb.DuckDBPyConnection, name: str) -> bool:
    return scalar(sql, f"SELECT count(*) FROM {name}") > 0


_MAP = """
SELECT map(coalesce(list(alias), []::VARCHAR[]), coalesce(list({value}), [])) FROM {rows}
"""


_GONE = "SELECT resource_key FROM replaced"


def _lessen(
    sql: duckdb.DuckDBPyConnection, task: FoldTask, merged: Merged, files: Sequence[DataFile], *, moving: bool
) -> None:
    """Copy each file without the rows that go or move; one that loses none stays."""
    lost = _lost(sql, task, files, moving=moving) if files else {}
    for file, path in zip(files, task.paths(files), strict=True):
        if places := lost.get(path):
            merged.removed.append(file)
            if len(places) < file.rows:
                merged.lessened.append(copy_without(task.folder, file, places))


def _lost(
    sql: duckdb.DuckDBPyConnection, task: FoldTask, files: Sequence[DataFile], *, moving: bool
) -> dict[str, list[int]]:
    """Path → places of the rows that go or move; only the columns that say so are read."""
    kinds = {name: kind for name, kind in task.columns.items() if name in (task.key, PATIENT, LOGICAL)}
    rows = rows_sql(task.paths(files), {**kinds, "filename": "VARCHAR", "file_row_number": "BIGINT"})
    moves = f"OR ({_MOVES})" if moving else ""
    query = f'SELECT filename, list(file_row_number) FROM ({rows}) WHERE "{task.key}" IN ({_GONE}) {moves} GROUP BY 1'
    return dict(sql.execute(query).fetchall())


_MOVES = f"""
coalesce({PATIENT} IN (SELECT alias FROM moved), false)
OR ({LOGICAL} IS NOT NULL AND len(list_filter({LOGICAL},
    lambda e: map_contains(getvariable('moved_logical'), string_split(e, '=')[2]))) > 0)
"""
"""SQL: does the row's patient, or what its references mean, read otherwise than in the last release?"""


def _fresh(sql: duckdb.DuckDBPyConnection, task: FoldTask, *, moving: bool) -> str:
    """Staged rows that stand and present rows that move, as they read today, in this range's buckets."""
    staged = rows_sql(task.staged, {"seq": "BIGINT", **task.columns, "bucket": "INTEGER"})
    inside = f"bucket BETWEEN {task.first} AND {task.last}"
    today = task.has_patient and _any(sql, "identity")
    near = f"({inside} OR {PATIENT} IN (SELECT alias FROM identity))" if today else inside
    standing = "ANTI JOIN losers USING (seq)" if _any(sql, "losers") else ""
    new = f"SELECT * EXCLUDE (seq, bucket) FROM ({staged}) {standing} WHERE {near}"
    if moving and task.affected:
        present = rows_sql(task.paths(task.affected), task.columns)
        rows = f'SELECT * FROM ({present}) WHERE "{task.key}" NOT IN ({_GONE}) AND ({_MOVES})'
        new = f"{new} UNION ALL {_as_recorded(task, rows)}"
    return _as_today(task, new, identifiers=_any(sql, "meaning")) if today or moving else new


def _as_recorded(task: FoldTask, rows: str) -> str:
    """Rows with the business identifiers back in the columns that they stand for."""
    single = [
        f'coalesce({_entry(f"{name}:1=")}, "{name}") AS "{name}"' for name in task.references if name != "patient_key"
    ]
    prefix = "'{name}:' || i || '='"
    many = [
        f'list_transform("{name}", lambda x, i: coalesce({_entry_sql(prefix.format(name=name))}, x)) AS "{name}"'
        for name in task.reference_lists
    ]
    replaced = f" REPLACE ({', '.join([*single, *many])})" if single or many else ""
    return f"SELECT *{replaced} FROM ({rows})"


def _entry(start: str) -> str:
    return _entry_sql(literal(start))


def _entry_sql(start: str) -> str:
    return f"string_split(list_filter({LOGICAL}, lambda e: starts_with(e, {start}))[1], '=')[2]"


def _as_today(task: FoldTask, rows: str, *, identifiers: bool) -> str:
    """Rows with their patient's last identity and their identifiers resolved; none of a patient who objects."""
    single = [name for name in task.references if name != "patient_key"] if identifiers else []
    many = task.reference_lists if identifiers else ()
    changed = [f'coalesce("i_{name}".target, r."{name}") AS "{name}"' for name in single]
    changed += [f'CASE WHEN {LOGICAL} IS NULL THEN r."{n}" ELSE {_meant(n)} END AS "{n}"' for n in many]
    if "patient_key" in task.references:
        patient = f"coalesce(i.target, r.{PATIENT}, r.patient_key)"
        changed.append(f"CASE WHEN r.patient_key IS NOT NULL THEN {patient} END AS patient_key")
    joins = [
        f'LEFT JOIN meaning "i_{name}" ON r.{LOGICAL} IS NOT NULL AND r."{name}" = "i_{name}".alias' for name in single
    ]
    inside = bucket_sql(f'coalesce(i.target, r.{PATIENT}, r."{task.key}")', task.buckets)
    alive = f" AND coalesce(i.target = r.{PATIENT}, true)" if task.resource == "Patient" else ""
    replaced = f" REPLACE ({', '.join(changed)})" if changed else ""
    return f"""
        SELECT r.*{replaced} FROM ({rows}) r LEFT JOIN identity i ON r.{PATIENT} = i.alias {" ".join(joins)}
        WHERE NOT coalesce(i.excluded, false){alive} AND {inside} BETWEEN {task.first} AND {task.last}"""


def _meant(name: str) -> str:
    return f"""list_transform(r."{name}", lambda x: coalesce(getvariable('meaning')[x], x))"""


def _write_range(sql: duckdb.DuckDBPyConnection, task: FoldTask, merged: Merged, fresh: str) -> None:
    """Write each bucket's new rows; those of small files are taken in where there are new ones."""
    names = ", ".join(f'"{name}"' for name in task.columns)
    rows = f"SELECT {names}, {_cluster(task)} AS {CLUSTER} FROM ({fresh}) {_today(task)}"
    if task.small:
        rows, taken = _with_small(sql, task, rows)
        merged.removed += taken
    merged.added += write_clustered(sql, rows, list(task.columns), task.place)


def _with_small(sql: duckdb.DuckDBPyConnection, task: FoldTask, rows: str) -> tuple[str, list[DataFile]]:
    """SQL of the rows and those of small files whose bucket gets some of them (or of all); and these files."""
    sql.execute(f"CREATE OR REPLACE TEMP TABLE held AS {rows}")  # read twice
    gaining = sql.execute(f"SELECT DISTINCT {bucket_sql(CLUSTER, task.buckets)} FROM held").fetchall()
    taken = [file for file in task.small if task.compact or (file.bucket,) in gaining]
    small = f"SELECT *, {_cluster(task)} AS {CLUSTER} FROM ({rows_sql(task.paths(taken), task.columns)}) {_today(task)}"
    return (f"FROM held UNION ALL BY NAME {small}" if taken else "FROM held"), taken


def _cluster(task: FoldTask) -> str:
    """SQL of a row's cluster key: its patient's as it reads today, else its own."""
    return f'coalesce(today.target, {PATIENT}, "{task.key}")' if task.has_patient else f'"{task.key}"'


def _today(task: FoldTask) -> str:
    """The join that ``_cluster`` reads."""
    join = f"LEFT JOIN (SELECT alias, target FROM identity) today ON {PATIENT} = today.alias"
    return join if task.has_patient else ""


def _fold_ledger(sql: duckdb.DuckDBPyConnection, task: FoldTask, merged: Merged) -> None:
    """Append what settle decided; versions that make no row (an objector's, a replaced identity's) as withheld."""
    settled = list_sql(task.lists, "settled", SETTLED_COLUMNS)
    inside = within_sql("resource_key", task.buckets, task.first, task.last)
    sql.execute(
        f"CREATE OR REPLACE TEMP TABLE standing AS SELECT s.*, coalesce(i.excluded, false) AS barred,"
        f" barred OR (s.resource_type = 'Patient' AND coalesce(i.target <> i.alias, false)) AS withheld"
        f" FROM ({settled}) s"
        f" LEFT JOIN identity i ON s.patient_key = i.alias WHERE {inside}"
    )
    for resource, count in sql.execute(_OBJECTED.format(again=AGAIN << SEQ_BITS)).fetchall():
        merged.objected[resource] += count
    rows = f"SELECT * EXCLUDE (seq, barred), {task.generation} AS generation FROM standing"
    known = rows_sql(task.paths(task.affected), LEDGER_COLUMNS)
    barred = f"""
        SELECT * REPLACE (true AS withheld, {task.generation} AS generation)
        FROM (SELECT * FROM ({known}) QUALIFY
              row_number() OVER (PARTITION BY resource_key ORDER BY generation DESC) = 1)
        WHERE {inside} AND NOT withheld AND (patient_key IN (SELECT alias FROM moved WHERE excluded)
              OR (resource_type = 'Patient' AND patient_key IN (SELECT alias FROM moved WHERE replaced)))
          AND resource_key NOT IN (SELECT resource_key FROM standing)"""
    names = ", ".join(LEDGER_COLUMNS)
    fresh = f"SELECT {names} FROM ({rows}) UNION ALL SELECT {names} FROM ({barred})" if task.affected else rows
    _append_ledger(sql, task, merged, fresh)


def _append_ledger(sql: duckdb.DuckDBPyConnection, task: FoldTask, merged: Merged, fresh: str) -> None:
    """The ledger's files are never rewritten for a row that goes: a newer generation outweighs it."""
    names = ", ".join(LEDGER_COLUMNS)
    if not task.compact and not scalar(sql, f"SELECT count(*) FROM ({fresh})"):
        return
    newest = fresh
    if task.small:
        small = rows_sql(task.paths(task.small), LEDGER_COLUMNS)
        both = f"SELECT {names} FROM ({fresh}) UNION ALL SELECT {names} FROM ({small})"
        newest = f"{both} QUALIFY row_number() OVER (PARTITION BY resource_key ORDER BY generation DESC) = 1"
    clustered = f"SELECT *, resource_key AS {CLUSTER} FROM ({newest})"
    merged.added += write_clustered(sql, clustered, list(LEDGER_COLUMNS), task.place)
    merged.removed += task.small


_OBJECTED = """
SELECT resource_type, count(*) FROM standing WHERE barred AND NOT deleted AND seq < {again} GROUP BY 1
"""
