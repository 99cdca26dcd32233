"""Merge: write the changed files of a table; invisible until the commit.

A task covers a range of buckets of one table; the tasks of one Spark task share a DuckDB connection. New rows go to
new files; where a bucket has many small files, the new file takes in their rows. A present file is rewritten without
some rows when a row of it is removed (a newer version, a deletion, an objection) or moves (its patient's identity
changed). Its other rows were validated before: they are copied, neither sorted nor validated again, so the cost
follows the change.
Owns the resolution of references today: the patient that a row belongs to after merges of identities, and the resource
that a business identifier means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from etl.duckdb_engine import connect, scalar
from etl.merge.patient_identity import MOVED_COLUMNS
from etl.merge.versions import DISCARDED_COLUMNS, REPLACED_COLUMNS, RESOLVED_COLUMNS, list_sql
from etl.sql import literal
from etl.warehouse.changes import TableChanges
from etl.warehouse.columns import IDENTITY_COLUMNS, LEDGER, LEDGER_COLUMNS, LOGICAL, PATIENT
from etl.warehouse.data_files import DataFile, bucket_sql, rows_sql, within_sql
from etl.warehouse.parquet_writer import CLUSTER, WriteTarget, copy_without, write_clustered
from etl.warehouse.staged_files import REREAD, SEQ_BITS
from etl.warehouse.storage_faults import check_whole


@dataclass(frozen=True)
class TableSchema:
    """A table to merge, warehouse table or internal: columns, key, and columns that refer to other resources."""

    table: str
    resource: str
    columns: Mapping[str, str]
    key: str
    references: tuple[str, ...] = ()
    reference_lists: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MergeTask(TableSchema):
    """The merge of one range of buckets (``first`` to ``last``) of one table.

    ``staged``: staged files. ``affected``: files of the table with a row that is removed or moves, of all ranges.
    ``small``: small files of this range. ``lists``: the folder that version and identity resolution wrote.
    ``compact``: combine small files of every bucket, even of one without new rows.
    """

    folder: Path
    first: int
    last: int
    buckets: int
    staged: tuple[str, ...]
    affected: tuple[DataFile, ...]
    small: tuple[DataFile, ...]
    lists: Path
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
    def target(self) -> WriteTarget:
        return WriteTarget(self.folder, self.buckets, self.first, self.last, self.file_rows, self.parts)

    def paths(self, files: Sequence[DataFile]) -> list[str]:
        return [str(self.folder / file.path) for file in files]

    def in_range(self, files: Sequence[DataFile]) -> list[DataFile]:
        return [file for file in files if self.first <= file.bucket <= self.last]


def merge_all(tasks: Sequence[MergeTask]) -> list[TableChanges]:
    """Run the merges of one Spark task over one connection, which reads the lists once."""
    with connect(tasks[0].memory_mb, tasks[0].scratch) as sql:
        _read_lists(sql, tasks[0])
        return [_merge(sql, task) for task in tasks]


def _merge(sql: duckdb.DuckDBPyConnection, task: MergeTask) -> TableChanges:
    """Write the changed files of one task; StorageError when a present file is damaged."""
    check_whole(task.paths([*task.in_range(task.affected), *task.small]))
    changes = TableChanges(task.table)
    if task.table == LEDGER:
        _merge_ledger(sql, task, changes)
    else:
        moving = task.has_patient and _any(sql, "moved")
        _rewrite_files(sql, task, changes, task.in_range(task.affected), moving=moving)
        _write_range(sql, task, changes, _new_rows(sql, task, moving=moving))
    return changes


def _read_lists(sql: duckdb.DuckDBPyConnection, task: MergeTask) -> None:
    for name, columns in {
        "discarded": DISCARDED_COLUMNS,
        "replaced": REPLACED_COLUMNS,
        "identity": IDENTITY_COLUMNS,
        "moved": MOVED_COLUMNS,
    }.items():
        sql.execute(f"CREATE TEMP TABLE {name} AS {list_sql(task.lists, name, columns)}")
    sql.execute(
        "CREATE TEMP VIEW identifier_targets AS SELECT alias, target FROM identity WHERE logical AND target IS NOT NULL"
    )
    sql.execute(f"SET VARIABLE identifier_targets = ({_ALIAS_MAP.format(value='target', rows='identifier_targets')})")
    sql.execute(f"SET VARIABLE moved_logical = ({_ALIAS_MAP.format(value='true', rows='moved WHERE logical')})")


def _any(sql: duckdb.DuckDBPyConnection, name: str) -> bool:
    return scalar(sql, f"SELECT count(*) FROM {name}") > 0


_ALIAS_MAP = """
SELECT map(coalesce(list(alias), []::VARCHAR[]), coalesce(list({value}), [])) FROM {rows}
"""


_GONE = "SELECT resource_key FROM replaced"


def _rewrite_files(
    sql: duckdb.DuckDBPyConnection, task: MergeTask, changes: TableChanges, files: Sequence[DataFile], *, moving: bool
) -> None:
    """Copy each file without the rows that are removed or move; a file that loses none stays."""
    lost = _lost_rows(sql, task, files, moving=moving) if files else {}
    for file, path in zip(files, task.paths(files), strict=True):
        if row_numbers := lost.get(path):
            changes.removed.append(file)
            if len(row_numbers) < file.rows:
                changes.rewritten.append(copy_without(task.folder, file, row_numbers))


def _lost_rows(
    sql: duckdb.DuckDBPyConnection, task: MergeTask, files: Sequence[DataFile], *, moving: bool
) -> dict[str, list[int]]:
    """Path → numbers of the rows that are removed or move; reads only the columns that decide it."""
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
"""SQL: has the row's patient, or the target of a reference, changed since the last release?"""


def _new_rows(sql: duckdb.DuckDBPyConnection, task: MergeTask, *, moving: bool) -> str:
    """SQL of staged rows that are current and of present rows that move, with today's identities, in this range."""
    staged = rows_sql(task.staged, {"seq": "BIGINT", **task.columns, "bucket": "INTEGER"})
    inside = f"bucket BETWEEN {task.first} AND {task.last}"
    today = task.has_patient and _any(sql, "identity")
    near = f"({inside} OR {PATIENT} IN (SELECT alias FROM identity))" if today else inside
    kept = "ANTI JOIN discarded USING (seq)" if _any(sql, "discarded") else ""
    new = f"SELECT * EXCLUDE (seq, bucket) FROM ({staged}) {kept} WHERE {near}"
    if moving and task.affected:
        present = rows_sql(task.paths(task.affected), task.columns)
        rows = f'SELECT * FROM ({present}) WHERE "{task.key}" NOT IN ({_GONE}) AND ({_MOVES})'
        new = f"{new} UNION ALL {_as_recorded(task, rows)}"
    return _as_today(task, new, identifiers=_any(sql, "identifier_targets")) if today or moving else new


def _as_recorded(task: MergeTask, rows: str) -> str:
    """SQL of the rows with the recorded business identifiers put back in their columns."""
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


def _as_today(task: MergeTask, rows: str, *, identifiers: bool) -> str:
    """SQL of the rows with identities and identifiers resolved as of today, without patients who object."""
    single = [name for name in task.references if name != "patient_key"] if identifiers else []
    many = task.reference_lists if identifiers else ()
    changed = [f'coalesce("i_{name}".target, r."{name}") AS "{name}"' for name in single]
    changed += [f'CASE WHEN {LOGICAL} IS NULL THEN r."{n}" ELSE {_resolved_list(n)} END AS "{n}"' for n in many]
    if "patient_key" in task.references:
        patient = f"coalesce(i.target, r.{PATIENT}, r.patient_key)"
        changed.append(f"CASE WHEN r.patient_key IS NOT NULL THEN {patient} END AS patient_key")
    joins = [
        f'LEFT JOIN identifier_targets "i_{name}" ON r.{LOGICAL} IS NOT NULL AND r."{name}" = "i_{name}".alias'
        for name in single
    ]
    inside = bucket_sql(f'coalesce(i.target, r.{PATIENT}, r."{task.key}")', task.buckets)
    alive = f" AND coalesce(i.target = r.{PATIENT}, true)" if task.resource == "Patient" else ""
    replaced = f" REPLACE ({', '.join(changed)})" if changed else ""
    return f"""
        SELECT r.*{replaced} FROM ({rows}) r LEFT JOIN identity i ON r.{PATIENT} = i.alias {" ".join(joins)}
        WHERE NOT coalesce(i.excluded, false){alive} AND {inside} BETWEEN {task.first} AND {task.last}"""


def _resolved_list(name: str) -> str:
    return f"""list_transform(r."{name}", lambda x: coalesce(getvariable('identifier_targets')[x], x))"""


def _write_range(sql: duckdb.DuckDBPyConnection, task: MergeTask, changes: TableChanges, new: str) -> None:
    """Write each bucket's new rows, together with those of its small files where there are new ones."""
    names = ", ".join(f'"{name}"' for name in task.columns)
    rows = f"SELECT {names}, {_cluster(task)} AS {CLUSTER} FROM ({new}) {_today(task)}"
    if task.small:
        rows, taken = _with_small(sql, task, rows)
        changes.removed += taken
    changes.added += write_clustered(sql, rows, list(task.columns), task.target)


def _with_small(sql: duckdb.DuckDBPyConnection, task: MergeTask, rows: str) -> tuple[str, list[DataFile]]:
    """SQL of the new rows and those of small files, of buckets with new rows (``compact``: of all); and these files."""
    sql.execute(f"CREATE OR REPLACE TEMP TABLE new_rows AS {rows}")  # read twice
    gaining = sql.execute(f"SELECT DISTINCT {bucket_sql(CLUSTER, task.buckets)} FROM new_rows").fetchall()
    taken = [file for file in task.small if task.compact or (file.bucket,) in gaining]
    small = f"SELECT *, {_cluster(task)} AS {CLUSTER} FROM ({rows_sql(task.paths(taken), task.columns)}) {_today(task)}"
    return (f"FROM new_rows UNION ALL BY NAME {small}" if taken else "FROM new_rows"), taken


def _cluster(task: MergeTask) -> str:
    """SQL of a row's cluster key: its patient's as of today, else its own."""
    return f'coalesce(today.target, {PATIENT}, "{task.key}")' if task.has_patient else f'"{task.key}"'


def _today(task: MergeTask) -> str:
    """The join that ``_cluster`` reads."""
    join = f"LEFT JOIN (SELECT alias, target FROM identity) today ON {PATIENT} = today.alias"
    return join if task.has_patient else ""


def _merge_ledger(sql: duckdb.DuckDBPyConnection, task: MergeTask, changes: TableChanges) -> None:
    """Append the resolved versions; those that make no row (objection, replaced identity) are marked withheld."""
    resolved = list_sql(task.lists, "resolved", RESOLVED_COLUMNS)
    inside = within_sql("resource_key", task.buckets, task.first, task.last)
    sql.execute(
        f"CREATE OR REPLACE TEMP TABLE current_versions AS SELECT s.*, coalesce(i.excluded, false) AS patient_objects,"
        f" patient_objects OR (s.resource_type = 'Patient' AND coalesce(i.target <> i.alias, false)) AS withheld"
        f" FROM ({resolved}) s"
        f" LEFT JOIN identity i ON s.patient_key = i.alias WHERE {inside}"
    )
    for resource, count in sql.execute(_OBJECTED.format(reread=REREAD << SEQ_BITS)).fetchall():
        changes.objected[resource] += count
    rows = f"SELECT * EXCLUDE (seq, patient_objects), {task.generation} AS generation FROM current_versions"
    present = rows_sql(task.paths(task.affected), LEDGER_COLUMNS)
    newly_withheld = f"""
        SELECT * REPLACE (true AS withheld, {task.generation} AS generation)
        FROM (SELECT * FROM ({present}) QUALIFY
              row_number() OVER (PARTITION BY resource_key ORDER BY generation DESC) = 1)
        WHERE {inside} AND NOT withheld AND (patient_key IN (SELECT alias FROM moved WHERE excluded)
              OR (resource_type = 'Patient' AND patient_key IN (SELECT alias FROM moved WHERE replaced)))
          AND resource_key NOT IN (SELECT resource_key FROM current_versions)"""
    names = ", ".join(LEDGER_COLUMNS)
    new = f"SELECT {names} FROM ({rows}) UNION ALL SELECT {names} FROM ({newly_withheld})" if task.affected else rows
    _append_ledger(sql, task, changes, new)


def _append_ledger(sql: duckdb.DuckDBPyConnection, task: MergeTask, changes: TableChanges, new: str) -> None:
    """Never rewrite the ledger for a row: the newest generation counts."""
    names = ", ".join(LEDGER_COLUMNS)
    if not task.compact and not scalar(sql, f"SELECT count(*) FROM ({new})"):
        return
    newest = new
    if task.small:
        small = rows_sql(task.paths(task.small), LEDGER_COLUMNS)
        both = f"SELECT {names} FROM ({new}) UNION ALL SELECT {names} FROM ({small})"
        newest = f"{both} QUALIFY row_number() OVER (PARTITION BY resource_key ORDER BY generation DESC) = 1"
    clustered = f"SELECT *, resource_key AS {CLUSTER} FROM ({newest})"
    changes.added += write_clustered(sql, clustered, list(LEDGER_COLUMNS), task.target)
    changes.removed += task.small


_OBJECTED = """
SELECT resource_type, count(*) FROM current_versions WHERE patient_objects AND NOT deleted AND seq < {reread} GROUP BY 1
"""
