"""No code equals an identifier of its batch: a collision becomes a pseudonym in the staged files.

A code may be in a list, or have a safe form, and still be the number that the hospital gave a patient. Tasks see parts
of a batch only, so each stages keyed digests of the identifiers and of the codes that it kept; the driver joins them,
and the few files that hold a collision are written anew before anything is merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from etl.duckdb_engine import connect
from etl.ingest.closed_columns import closed_columns
from etl.privacy import LOCAL, KeyReader, bind_key
from etl.sql import list_literal
from etl.tables import WarehouseTable
from etl.terminology.vocabulary import SYSTEMS
from etl.views import Column
from etl.views.code_columns import code_beside
from etl.warehouse.parquet_writer import rows_of
from etl.warehouse.staged_files import CODES, IDENTIFIED_BY, Staged, write_staged

PEOPLE = ("Patient", "Practitioner", "RelatedPerson", "Person")
"""Types whose own id is an identifier of somebody."""
NUMBERED = (*PEOPLE, "Encounter", "EpisodeOfCare", "Account", "Coverage", "Specimen", "ServiceRequest")
"""Types whose business identifiers are numbers of people, stays and orders."""
SHORTEST = 4
"""Letters from which a text can be an identifier; shorter ones equal codes such as M and F by chance."""


@dataclass(frozen=True)
class MendTask:
    """A staged file of a table, and what must not stand in it: codes of these files that have one of these digests."""

    table: WarehouseTable
    path: str
    code_files: tuple[str, ...]
    digests: tuple[str, ...]
    read_key: KeyReader
    memory_mb: int


def identifiers_sql(resource: str) -> str | None:
    """SELECT of the keyed digests of the identifiers of the resources evaluated last."""
    if resource not in NUMBERED:
        return None
    own = "SELECT id AS value FROM parsed UNION ALL" if resource in PEOPLE else ""
    shape = '{"identifier": [{"value": "VARCHAR"}]}'
    return f"""
        SELECT DISTINCT pseudonym('code|' || value) AS digest FROM ({own}
            SELECT unnest(from_json(d.text, '{shape}').identifier).value AS value
            FROM parsed p JOIN (SELECT seq, text FROM doc WHERE reason IS NULL) d USING (seq))
        WHERE length(value) >= {SHORTEST}"""


CODES_SQL = f"""
SELECT DISTINCT known AS code, pseudonym('code|' || known) AS digest FROM vocabulary
WHERE known IS NOT NULL AND url <> '{SYSTEMS}' AND length(known) >= {SHORTEST}
"""
"""SELECT of the codes that the table asked for last keeps, with their keyed digests."""


def code_files(staged: Staged) -> tuple[str, ...]:
    """The staged files of codes."""
    return tuple(path for name, path, rows in staged.files if rows and name.startswith(f"{CODES}/"))


def collisions(staged: Staged) -> tuple[str, ...]:
    """The digests of codes kept in any staged file that equal an identifier staged with them."""
    codes, identifiers = code_files(staged), staged.of(IDENTIFIED_BY)
    if not codes or not identifiers:
        return ()
    with duckdb.connect() as sql:
        query = f"""
            SELECT DISTINCT digest FROM read_parquet({list_literal(codes)})
            WHERE digest IN (SELECT digest FROM read_parquet({list_literal(identifiers)})) ORDER BY 1"""
        return tuple(row[0] for row in sql.execute(query).fetchall())


def mend(task: MendTask) -> None:
    """Write a staged file anew with pseudonyms in the place of colliding codes, if it holds any. Runs inside Spark."""
    with connect(task.memory_mb) as sql:
        bind_key(sql, task.read_key())
        codes = f"SELECT DISTINCT code FROM read_parquet({list_literal(task.code_files)})"
        sql.execute(f"CREATE TEMP TABLE colliding AS {codes} WHERE list_contains({list_literal(task.digests)}, digest)")
        sql.execute("SET VARIABLE colliding = (SELECT list(code) FROM colliding)")
        rows = f"read_parquet({list_literal([task.path])})"
        columns = [c for c in closed_columns(task.table) if c.privacy != "code-system"]
        holds = " OR ".join(_holds(column) for column in columns if column.privacy != "display")
        if holds and sql.execute(f"SELECT 1 FROM {rows} WHERE {holds} LIMIT 1").fetchall():
            kept = ", ".join(f'{_mended(task.table.view.columns, column)} AS "{column.name}"' for column in columns)
            mended: pa.Table = rows_of(sql, f"SELECT * REPLACE ({kept}) FROM {rows}")
            write_staged(task.path, mended)


def _holds(column: Column) -> str:
    name = f'"{column.name}"'
    return f"len(list_intersect({name}, {_COLLIDING})) > 0" if column.collection else f"{name} IN (FROM colliding)"


_COLLIDING = "getvariable('colliding')"


def _mended(columns: Sequence[Column], column: Column) -> str:
    name = f'"{column.name}"'
    if column.privacy in ("display", "unit"):
        code = code_beside(columns, column)
        return f"CASE WHEN {_holds(code)} THEN NULL ELSE {name} END" if code else name
    if column.collection:
        return (
            f"list_transform({name}, lambda x: CASE WHEN list_contains({_COLLIDING}, x) THEN {_local('x')} ELSE x END)"
        )
    return f"CASE WHEN {_holds(column)} THEN {_local(name)} ELSE {name} END"


def _local(code: str) -> str:
    return f"'{LOCAL}' || pseudonym('identifier|' || {code})"
