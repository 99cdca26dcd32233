"""Local codes: those that a load put a pseudonym in the place of, and how many patients have each.

Owns the register of their clear forms (Parquet, a folder a batch, one file a staging task). It lies in the identity
zone, for a code may hold anything that the source wrote. What is counted is read from the tables, where codes are
pseudonyms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from etl.duckdb_engine import scalar
from etl.files import written_atomically
from etl.ingest.closed_columns import closed_columns
from etl.privacy import LOCAL
from etl.sql import list_literal, literal
from etl.tables import WarehouseTable
from etl.warehouse.data_files import rows_sql
from etl.warehouse.release import Release


@dataclass(frozen=True)
class LocalCode:
    """A code of no list: as the source wrote it, the label it gave, its pseudonym, its rows and patients."""

    system: str
    code: str
    label: str | None
    pseudonym: str
    rows: int
    patients: int


def write_local_codes(sql: duckdb.DuckDBPyConnection, folder: Path, name: str) -> None:
    """Write the codes that this task's connection found in no list."""
    rows = "SELECT system, code, any_value(label) AS label, kept FROM unlisted GROUP BY ALL"
    if scalar(sql, f"SELECT count(*) FROM ({rows})"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with written_atomically(folder / f"{name}.parquet") as draft:
            sql.execute(f"COPY ({rows}) TO {literal(draft)} (FORMAT parquet)")


def local_codes(register: Path, release: Release, tables: Sequence[WarehouseTable]) -> list[LocalCode]:
    """The local codes of a release that the register knows, those of most patients first."""
    files = sorted(map(str, register.glob("*/*.parquet")))
    if not files:
        return []
    with duckdb.connect() as sql:
        sql.execute("CREATE TABLE uses (kept VARCHAR, patient VARCHAR)")
        for query in _uses(release, tables):
            sql.execute(f"INSERT INTO uses {query}")
        rows = sql.execute(
            f"""
            SELECT system, code, any_value(label), r.kept, any_value(rows), any_value(patients)
            FROM read_parquet({list_literal(files)}) r JOIN (
                SELECT kept, count(*) AS rows, count(DISTINCT patient) AS patients FROM uses GROUP BY 1) u USING (kept)
            GROUP BY system, code, r.kept ORDER BY 6 DESC, 5 DESC, system, r.kept"""
        ).fetchall()
    return [LocalCode(*row) for row in rows]


def forget_unused(register: Path, releases: Sequence[Release], tables: Sequence[WarehouseTable]) -> int:
    """Remove the clear forms of codes that no kept release has any more (after an erasure); returns how many."""
    gone = 0
    with duckdb.connect() as sql:
        sql.execute("CREATE TABLE uses (kept VARCHAR)")
        for release in releases:
            for table in tables:
                if table.name in release.tables and release.tables[table.name].rows and (codes := _codes_of(table)):
                    rows = rows_sql(release.files(table.name), table.column_types())
                    kept = f"SELECT unnest({codes}) AS kept FROM ({rows})"
                    sql.execute(
                        f"INSERT INTO uses SELECT DISTINCT kept FROM ({kept}) WHERE starts_with(kept, '{LOCAL}')"
                    )
        for path in sorted(register.glob("*/*.parquet")):
            rows = f"read_parquet({literal(path)})"
            unused = scalar(sql, f"SELECT count(*) FROM {rows} ANTI JOIN uses USING (kept)")
            if unused:
                gone += unused
                with written_atomically(path) as draft:
                    sql.execute(
                        f"COPY (SELECT * FROM {rows} SEMI JOIN uses USING (kept)) TO {literal(draft)} (FORMAT parquet)"
                    )
    return gone


def _codes_of(table: WarehouseTable) -> str:
    """SQL of the list of all codes in a row of a table; empty where it has no column of codes."""
    columns = list(closed_columns(table))
    lists = [f"""coalesce("{c.name}", [])""" if c.collection else f"""["{c.name}"]""" for c in columns]
    return f"flatten([{', '.join(lists)}])" if lists else ""


def _uses(release: Release, tables: Sequence[WarehouseTable]) -> Iterator[str]:
    """SELECT of (kept, patient) of the places where a local code stands, table by table; empty tables have none."""
    filled = [table for table in tables if table.name in release.tables and release.tables[table.name].rows]
    for table in filled:
        if codes := _codes_of(table):
            rows = rows_sql(release.files(table.name), table.column_types())
            if "patient_key" not in table.column_types():
                rows = _through_references(release, table, filled, rows)
            kept = f"SELECT unnest({codes}) AS kept, patient_key FROM ({rows})"
            yield f"SELECT kept, patient_key FROM ({kept}) WHERE starts_with(kept, '{LOCAL}')"


def _through_references(release: Release, table: WarehouseTable, tables: Sequence[WarehouseTable], rows: str) -> str:
    """SQL of a table without patients, such as that of wards, once for each patient of rows that refer to it."""
    target = f"getReferenceKey({table.view.resource})"
    referring = [
        f'SELECT {"unnest" if c.collection else ""}("{c.name}") AS ref, patient_key FROM'
        f" ({rows_sql(release.files(other.name), other.column_types())})"
        for other in tables
        if "patient_key" in other.column_types()
        for c in other.references
        if target in c.path
    ]
    union = " UNION ".join([*referring, "SELECT NULL::VARCHAR, NULL::VARCHAR"])
    return (
        f'SELECT t.*, u.patient_key FROM ({rows}) t LEFT JOIN ({union}) u(ref, patient_key) ON t."{table.key}" = u.ref'
    )
