"""Building an extract: the cohort's rows of one release, in the forms that the specification names, as Parquet.

Owns the order of the work and its SQL. Rows are dealt out anew by study pseudonym and sorted by it, so that neither
the order of rows nor which rows share a file says anything of the warehouse or of another study's extract. A key is
read inside each task only; a fault tells no value. What is written between lies in the given folder, gone at the end.
"""

from __future__ import annotations

import hmac
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from erios.errors import InputError
from erios.extracts.build_plan import DATA, BuildPlan, Built, OutputFile, Slice
from erios.extracts.criteria import cohort_query, leaves
from erios.extracts.criteria.compile import tables as tables_of
from erios.extracts.generalisation.columns import OTHER, Kind, column_sql, kind_of, of_study
from erios.extracts.images import chosen_series, copy_images, image_sql, note_images
from erios.extracts.specification import PATIENT_KEY, Choice, Specification, TableChoice
from erios.extracts.stay_summary import COLUMNS as SUMMARIES
from erios.extracts.stay_summary import SOURCES, STAYS, summary_sql
from etl.duckdb_engine import connect, scalar
from etl.privacy import bind_key
from etl.sql import list_literal, literal
from etl.warehouse.columns import LINEAGE_TYPES
from etl.warehouse.data_files import rows_sql

if TYPE_CHECKING:
    import duckdb

    from etl.tables import WarehouseTable
    from etl.task_runner import Progress, Runner
    from etl.warehouse.release import Release

ROWS_OF_A_FILE = 1_000_000
ROWS_OF_A_TASK = 500_000
SHIFT_DAYS = 182
"""A patient's dates are moved by at most this many days, and by at least one."""


def build(plan: BuildPlan, release: Release, runner: Runner, progress: Progress | None = None) -> Built:
    """Write ``plan.folder/data/TABLE/part-….parquet``; raises InputError for tables that the release lacks."""
    _check_tables(plan, release)
    with _workshop(plan.folder):
        patients = _choose_cohort(plan, release)
        pieces = {table.name: _pieces(plan, release, table.name) for table in plan.specification.tables}
        slices = [piece for of_table in pieces.values() for piece in of_table]
        grouped = [
            (table, choice) for table in plan.specification.tables for choice in table.columns if _is_grouped(choice)
        ]
        paths = {name: tuple(path for piece in of_table for path in piece.files) for name, of_table in pieces.items()}
        runner.run("rare values", partial(_keep_values, plan, paths), grouped, progress)
        if series := chosen_series(plan, release):
            copied = runner.run("copy images", partial(copy_images, plan), series, progress)
            note_images(plan, copied)
        runner.run("choose rows", partial(_deal, plan), slices, progress)
        runner.run("rare events", partial(_keep_events, plan), [n for n in pieces if _events(plan, n)], progress)
        parts = sorted({OutputFile(piece.table, n) for piece in slices for n in range(piece.parts)}, key=repr)
        rows = runner.run("write extract", partial(_write, plan), parts, progress)
    counts = {table.name: 0 for table in plan.specification.tables}
    for part, count in zip(parts, rows, strict=True):
        counts[part.table] += count
    return Built(counts, patients)


def _check_tables(plan: BuildPlan, release: Release) -> None:
    chosen = {table.name for table in plan.specification.tables}
    wanted = chosen - set(SUMMARIES) | ({"encounter"} if chosen & set(SUMMARIES) else set())
    wanted |= tables_of(leaves(plan.specification.cohort))
    if missing := sorted(wanted - set(release.names())):
        raise InputError(
            f"release {release.id} has no table {', '.join(missing)}: load such records first, or leave it out"
        )


@contextmanager
def _workshop(folder: Path) -> Iterator[None]:
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    for path in (work, work / "spill", folder / DATA):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):
            shutil.rmtree(work)


@contextmanager
def _engine(plan: BuildPlan) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that can make the study's pseudonyms."""
    key = plan.read_key()
    with connect(plan.memory_mb, plan.folder / "work" / "spill") as connection:
        bind_key(connection, key)
        salt = hmac.digest(key.secret, b"row order", "sha256").hex()
        connection.execute("SET VARIABLE erios_salt = ?", [salt])
        yield connection


def _choose_cohort(plan: BuildPlan, release: Release) -> int:
    """The cohort with, for each patient, the study's pseudonym and the days by which dates are moved."""
    query = cohort_query(plan.specification.cohort)
    with _engine(plan) as connection:
        for name in release.names():
            release.duckdb(name, connection).create_view(name)
        draw = "CAST('0x' || left(pseudonym('shift/' || patient_key), 8) AS UBIGINT)"
        days = f"CAST({draw} % {2 * SHIFT_DAYS} AS INTEGER) - {SHIFT_DAYS}"
        sql = (
            f"SELECT patient_key, pseudonym(patient_key) AS study_key, {days} + CAST({days} >= 0 AS INTEGER) AS shift"
            f" FROM ({query.sql}) cohort{_drawn(plan.specification.sample)}"
        )
        connection.execute("CREATE TEMP TABLE cohort AS " + sql, list(query.parameters))
        connection.execute(f"COPY cohort TO {literal(plan.cohort)} (FORMAT parquet)")
        return scalar(connection, "SELECT count(*) FROM cohort")


def _drawn(percent: int | None) -> str:
    """SQL of the patients of a sample: who is in it follows from the study's key alone."""
    draw = "CAST('0x' || left(pseudonym('sample/' || patient_key), 8) AS UBIGINT)"
    return f" WHERE {draw} < {2**32 * percent // 100}" if percent else ""


def _slices(release: Release, table: str) -> list[Slice]:
    """A table's files in groups of about ``ROWS_OF_A_TASK`` rows; a table without rows has one, without files."""
    root = {file.path: path for file, path in zip(release.data_files(table), release.files(table), strict=True)}
    total = sum(file.rows for file in release.data_files(table))
    parts = max(1, -(-total // ROWS_OF_A_FILE))
    groups: list[list[str]] = [[]]
    rows = 0
    for file in release.data_files(table):
        if rows >= ROWS_OF_A_TASK:
            groups.append([])
            rows = 0
        groups[-1].append(root[file.path])
        rows += file.rows
    return [Slice(table, number, tuple(files), parts) for number, files in enumerate(groups)]


def _is_grouped(choice: Choice) -> bool:
    """Are the values of a column counted first, since those that few share are grouped?"""
    return choice.form == "rare" or choice.form.startswith("commonest:")


def _pieces(plan: BuildPlan, release: Release, table: str) -> list[Slice]:
    """The slices of a table; a summary is made first, in one file."""
    if table not in SUMMARIES:
        return _slices(release, table)
    rows = _summarise(plan, release, table)
    return [Slice(table, 0, (str(plan.summary(table)),), max(1, -(-rows // ROWS_OF_A_FILE)))]


def _summarise(plan: BuildPlan, release: Release, table: str) -> int:
    """Write a summary of the cohort's stays, of each patient no more than are asked for; the number of its rows."""
    relations = release_relations(release)
    with _engine(plan) as connection:
        connection.execute(f"CREATE VIEW members AS SELECT patient_key FROM read_parquet({literal(plan.cohort)})")
        place = "row_number() OVER (PARTITION BY patient_key ORDER BY pseudonym('stay/' || encounter_key))"
        stays = f"SELECT encounter_key, {place} AS place FROM ({summary_sql(STAYS, relations, 'members')})"
        most = f" SEMI JOIN (SELECT * FROM ({stays}) WHERE place <= {plan.specification.stays}) USING (encounter_key)"
        lineage = "".join(f', NULL::{kind} AS "{name}"' for name, kind in LINEAGE_TYPES.items())
        rows = f"SELECT *{lineage} FROM ({summary_sql(table, relations, 'members')})"
        chosen = rows + (most if plan.specification.stays else "")
        return scalar(connection, f"COPY ({chosen}) TO {literal(plan.summary(table))} (FORMAT parquet)")


def release_relations(release: Release) -> dict[str, str]:
    """SQL of the tables of a release that summaries are made of."""
    found = {name: release.files(name) for name in SOURCES if name in release.names()}
    return {
        name: f"SELECT * FROM read_parquet({list_literal(files)}, union_by_name = true, hive_partitioning = false)"
        for name, files in found.items()
        if files
    }


def _keep_values(plan: BuildPlan, files: Mapping[str, tuple[str, ...]], wanted: tuple[TableChoice, Choice]) -> int:
    """Note the values that at least ``threshold`` patients of the cohort share; of them, as many as the form says."""
    table, choice = wanted
    rows = rows_sql(files[table.name], plan.tables[table.name].column_types())
    sql = (
        f'SELECT t."{choice.name}" AS value FROM ({rows}) t'
        f" JOIN read_parquet({literal(plan.cohort)}) m ON t.patient_key = m.patient_key"
        f" WHERE value IS NOT NULL GROUP BY value HAVING count(DISTINCT t.patient_key) >= {plan.threshold}"
    )
    if choice.form.startswith("commonest:"):
        sql += f" ORDER BY count(DISTINCT t.patient_key) DESC, value LIMIT {choice.form.removeprefix('commonest:')}"
    with _engine(plan) as connection:
        connection.execute(f"COPY ({sql}) TO {literal(plan.kept_values(table.name, choice.name))} (FORMAT parquet)")
    return 1


def _deal(plan: BuildPlan, piece: Slice) -> int:
    """The slice's rows in their forms, dealt out into parts by study pseudonym."""
    folder = plan.folder / "work" / piece.table / f"{piece.number:05d}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _engine(plan) as connection:
        return scalar(
            connection,
            f"COPY ({_rows_in_form(plan, piece)}) TO {literal(folder)}"
            " (FORMAT parquet, COMPRESSION lz4, PARTITION_BY (_part))",
        )


def _rows_in_form(plan: BuildPlan, piece: Slice) -> str:
    table = plan.tables[piece.table]
    chosen = plan.specification.table(piece.table)
    order, group = _order(table), _group(table)
    columns = [_column(plan, table, choice) for choice in chosen.columns]
    part = f"CAST(CAST('0x' || left({group}, 8) AS UBIGINT) % {piece.parts} AS INTEGER) AS _part"
    join = (
        f" JOIN read_parquet({literal(plan.cohort)}) m ON t.patient_key = m.patient_key" if _has_patient(table) else ""
    )
    rows = rows_sql(piece.files, table.column_types())
    return f"SELECT {', '.join([*columns, f'{group} AS _group', f'{order} AS _order', part])} FROM ({rows}) t{join}"


def _column(plan: BuildPlan, table: WarehouseTable, choice: Choice) -> str:
    column = next(column for column in table.view.columns if column.name == choice.name)
    if _is_grouped(choice):
        kept = f"(SELECT value FROM read_parquet({literal(plan.kept_values(table.name, choice.name))}))"
        value = f't."{choice.name}"'
        sql = f"CASE WHEN {value} IS NULL OR {value} IN {kept} THEN {of_study(column, value)} ELSE {literal(OTHER)} END"
    elif choice.form.startswith("images"):
        sql = image_sql(plan, f't."{choice.name}"')
    else:
        sql = column_sql(table.name, column, choice.form, plan.terms)
    return f'{sql} AS "{choice.name}"'


def event_columns(specification: Specification, tables: Mapping[str, WarehouseTable], name: str) -> tuple[str, ...]:
    """The columns that say what an event of a table is, all but keys and days; none where nothing is suppressed, of
    people themselves, whom no event describes, and where a row stands for image files."""
    columns = {column.name: column for column in tables[name].view.columns}
    kinds = {column: kind_of(name, columns[column]) for column in specification.table(name).names()}
    if not specification.suppress_under or name == "patient" or PATIENT_KEY not in kinds:
        return ()
    return () if Kind.IMAGES in kinds.values() else tuple(c for c in kinds if kinds[c] not in (Kind.KEY, Kind.DATE))


def event_sql(columns: tuple[str, ...]) -> str:
    """SQL of what an event says, as one value."""
    return "md5(CAST([{}] AS VARCHAR))".format(", ".join(f'md5(CAST("{name}" AS VARCHAR))' for name in columns))


def _events(plan: BuildPlan, name: str) -> tuple[str, ...]:
    return event_columns(plan.specification, plan.tables, name)


def _keep_events(plan: BuildPlan, table: str) -> int:
    """Note what the events say that enough patients of the extract share, in the forms in which they leave."""
    dealt = sorted(str(path) for path in (plan.folder / "work" / table).glob("*/*/*.parquet"))
    target = literal(plan.shared_events(table))
    if not dealt:
        return 0
    event = event_sql(_events(plan, table))
    shared = f"GROUP BY ALL HAVING count(DISTINCT _group) >= {plan.specification.suppress_under}"
    with _engine(plan) as connection:
        rows = f"read_parquet({list_literal(dealt)}, hive_partitioning = false)"
        return scalar(connection, f"COPY (SELECT {event} AS event FROM {rows} {shared}) TO {target} (FORMAT parquet)")


def _has_patient(table: WarehouseTable) -> bool:
    return PATIENT_KEY in table.column_types()


def _group(table: WarehouseTable) -> str:
    """What rows are dealt out and sorted by: the patient, or the row's own key where it has none."""
    return "m.study_key" if _has_patient(table) else f'pseudonym(t."{table.key}")'


def _order(table: WarehouseTable) -> str:
    """A patient's rows follow a keyed hash of their own keys: no order of time or entry is left."""
    names = [table.key, *(name for name in table.column_types() if name.endswith("_index"))]
    row = ", ".join(f't."{name}"' for name in names)
    return f"hash({row}, getvariable('erios_salt'))"


def _write(plan: BuildPlan, part: OutputFile) -> int:
    """One file of the extract, sorted; a table without rows still has its columns."""
    chosen = plan.specification.table(part.table)
    dealt = sorted(str(path) for path in (plan.folder / "work" / part.table).glob(f"*/_part={part.number}/*.parquet"))
    target = plan.folder / DATA / part.table / f"part-{part.number:05d}.parquet"
    target.parent.mkdir(exist_ok=True, mode=0o700)
    names = ", ".join(f'"{choice.name}"' for choice in chosen.columns)
    rows = f"read_parquet({list_literal(dealt)})" if dealt else f"({_rows_in_form(plan, Slice(part.table, 0, (), 1))})"
    if dealt and (columns := _events(plan, part.table)):
        shared = f"(FROM read_parquet({literal(plan.shared_events(part.table))}))"
        rows += f" WHERE {event_sql(columns)} IN {shared}"
    with _engine(plan) as connection:
        connection.execute("SET preserve_insertion_order = true")
        return scalar(
            connection,
            f"COPY (SELECT {names} FROM {rows} ORDER BY _group, _order) TO {literal(target)}"
            " (FORMAT parquet, COMPRESSION zstd)",
        )
