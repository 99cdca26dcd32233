"""Columns of a closed vocabulary: their values come from code lists and forms, never from the record as it is.

Owns how the rules ``code``, ``display``, ``unit``, ``code-system`` and ``word`` work on the rows of one chunk.
Each distinct (system, code) of a table is looked up once; then the rows join what was found. The system of a code is
that of the view's column beside it (``code.coding.first().system`` beside ``code.coding.first().code``), or, where the
record or the view names none, the column's tag ``erios/system``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import duckdb

from etl.privacy import CLOSED_RULES
from etl.sql import literal
from etl.tables import WarehouseTable
from etl.terminology.vocabulary import Vocabulary, local_system, resolved_sql
from etl.views import Column
from etl.views.code_columns import code_beside, system_beside

UCUM = "http://unitsofmeasure.org"


@dataclass(frozen=True)
class ClosedColumns:
    """The closed columns of one table that hold anything in the chunk."""

    table: WarehouseTable
    filled: frozenset[str]

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        return tuple(column for column in closed_columns(self.table) if column.name in self.filled)

    def asked(self) -> str:
        """SELECT of the distinct (system, code, label) of the chunk's rows."""
        return " UNION ALL ".join(
            [*self._asked(), "SELECT NULL::VARCHAR AS system, NULL::VARCHAR AS code, NULL::VARCHAR AS label"]
        )

    def _asked(self) -> Iterator[str]:
        rows = f"out_{self.table.name}"
        for column in self.columns:
            if column.privacy == "code-system" or column.privacy == "display":
                continue
            if column.collection:
                yield f"SELECT s AS system, c AS code, NULL::VARCHAR AS label FROM ({self.lists(column)})"
            else:
                yield (
                    f"SELECT {self.system(column)} AS system, {_name(column)} AS code, {self._label(column)} AS label"
                    f" FROM {rows} WHERE {_name(column)} IS NOT NULL"
                )

    def lists(self, column: Column) -> str:
        """SELECT of (codes, systems, place, s, c) of each distinct list of codes, with the system of each."""
        beside = system_beside(self.table.view.columns, column)
        systems = (
            f'"{beside.name}"' if beside and beside.collection and beside.name in self.filled else "NULL::VARCHAR[]"
        )
        default = literal(self._default(column))
        return f"""
            SELECT codes, systems, unnest(range(1, len(codes) + 1)) AS place, codes[place] AS c,
                   CASE WHEN len(systems) = len(codes) THEN coalesce(systems[place], {default}) ELSE {default} END AS s
            FROM (SELECT DISTINCT {_name(column)} AS codes, {systems} AS systems FROM out_{self.table.name}
                  WHERE {_name(column)} IS NOT NULL)"""

    def system(self, column: Column, alias: str = "") -> str:
        """SQL of the system of a code."""
        beside = system_beside(self.table.view.columns, column)
        default = literal(self._default(column))
        if column.privacy == "unit" or beside is None or beside.name not in self.filled:
            return default
        return f'coalesce({alias}"{beside.name}", {default})'

    def _default(self, column: Column) -> str:
        if column.privacy == "unit":
            return UCUM
        return column.tags.get("erios/system") or f"urn:erios:{self.table.name}.{column.name}"

    def _label(self, column: Column) -> str:
        labels = [
            c for c in self.columns if c.privacy == "display" and code_beside(self.table.view.columns, c) == column
        ]
        return f'"{labels[0].name}"' if labels else "NULL::VARCHAR"


def _name(column: Column) -> str:
    return f'"{column.name}"'


def closed_columns(table: WarehouseTable) -> Iterator[Column]:
    """The columns of a table whose text comes from the closed vocabulary."""
    for column in table.view.columns:
        if column.privacy in CLOSED_RULES and column.sql_type.removesuffix("[]") == "VARCHAR":
            yield column


def prepare(sql: duckdb.DuckDBPyConnection, vocabulary: Vocabulary, table: WarehouseTable) -> ClosedColumns:
    """Look up the chunk's codes: temp tables ``vocabulary``, ``kept_systems``, and ``list_N`` of column N."""
    closed = ClosedColumns(table, _filled(sql, table))
    sql.execute(f"CREATE OR REPLACE TEMP TABLE vocabulary AS {resolved_sql(vocabulary, closed.asked())}")
    sql.execute(_UNLISTED)
    sql.execute(f"CREATE OR REPLACE TEMP TABLE kept_systems AS {_systems(closed)}")
    for number, column in enumerate(closed.columns):
        if column.collection:
            sql.execute(f"CREATE OR REPLACE TEMP TABLE list_{number} AS {_kept_lists(closed, column)}")
    return closed


_UNLISTED = """
INSERT INTO unlisted SELECT url, code, label, kept FROM vocabulary WHERE known IS NULL
"""


def _filled(sql: duckdb.DuckDBPyConnection, table: WarehouseTable) -> frozenset[str]:
    names = [column.name for column in closed_columns(table)]
    if not names:
        return frozenset()
    counts = ", ".join(f'count("{name}")' for name in names)
    (row,) = sql.execute(f"SELECT {counts} FROM out_{table.name}").fetchall()
    return frozenset(name for name, count in zip(names, row, strict=True) if count)


def _systems(closed: ClosedColumns) -> str:
    rows = f"out_{closed.table.name}"
    systems = [c for c in closed.columns if c.privacy == "code-system"]
    asked = [
        f"SELECT DISTINCT {'unnest(' + _name(c) + ')' if c.collection else _name(c)} AS asked FROM {rows}"
        for c in systems
    ]
    union = " UNION ".join([*asked, "SELECT NULL::VARCHAR AS asked"])
    return f"""
        SELECT asked, CASE WHEN s.system IS NOT NULL THEN asked ELSE {local_system("asked")} END AS kept
        FROM ({union}) a LEFT JOIN allowed_systems s ON a.asked = s.system WHERE asked IS NOT NULL"""


def _kept_lists(closed: ClosedColumns, column: Column) -> str:
    if column.privacy == "code-system":
        return f"""
            SELECT codes, NULL::VARCHAR[] AS systems, list(k.kept ORDER BY place) AS kept
            FROM (SELECT codes, unnest(range(1, len(codes) + 1)) AS place, codes[place] AS c
                  FROM (SELECT DISTINCT {_name(column)} AS codes FROM out_{closed.table.name}
                        WHERE {_name(column)} IS NOT NULL))
            LEFT JOIN kept_systems k ON c = k.asked GROUP BY 1"""
    return f"""
        SELECT codes, systems, list(v.kept ORDER BY place) AS kept FROM ({closed.lists(column)}) l
        LEFT JOIN vocabulary v ON v.system = l.s AND v.code = l.c GROUP BY 1, 2"""


def protected(closed: ClosedColumns) -> dict[str, str]:
    """Column → SQL of its protected value, over the aliases of ``joins``; an empty column has none."""
    return dict(_protected(closed))


def _protected(closed: ClosedColumns) -> Iterator[tuple[str, str]]:
    for number, column in enumerate(closed.columns):
        match column.privacy:
            case "display":
                code = code_beside(closed.table.view.columns, column)
                if code in closed.columns:
                    yield column.name, f"v{closed.columns.index(code)}.display"
            case "unit":
                code = code_beside(closed.table.view.columns, column)
                coded = f"v{closed.columns.index(code)}" if code in closed.columns else None
                first = [f"{coded}.display", f"{coded}.known"] if coded else []
                yield column.name, f"coalesce({', '.join([*first, f'v{number}.display', f'v{number}.kept'])})"
            case "word":
                yield column.name, f"v{number}.known"
            case _:
                yield column.name, f"v{number}.kept"


def joins(closed: ClosedColumns) -> Iterator[str]:
    """The joins of a table's rows, alias ``o``, to what was looked up: alias ``vN`` for column N."""
    for number, column in enumerate(closed.columns):
        value = f'o."{column.name}"'
        if column.privacy == "display":
            continue
        if column.collection:
            beside = system_beside(closed.table.view.columns, column)
            paired = column.privacy != "code-system" and beside and beside.collection and beside.name in closed.filled
            systems = f'o."{beside.name}"' if paired and beside else "NULL::VARCHAR[]"
            same = f" AND v{number}.systems IS NOT DISTINCT FROM {systems}" if paired else ""
            yield f"LEFT JOIN list_{number} v{number} ON v{number}.codes = {value}{same}"
        elif column.privacy == "code-system":
            yield f"LEFT JOIN kept_systems v{number} ON v{number}.asked = {value}"
        else:
            system = closed.system(column, "o.")
            yield f"LEFT JOIN vocabulary v{number} ON v{number}.code = {value} AND v{number}.system = {system}"
