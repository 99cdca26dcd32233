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
from etl.terminology.vocabulary import SYSTEMS, Vocabulary
from etl.views import Column
from etl.views.code_columns import code_beside, system_beside

UCUM = "http://unitsofmeasure.org"
_NONE = "NULL::VARCHAR"
_ENTRY = "{{system: {}, code: {}, label: {}}}"


@dataclass(frozen=True)
class ClosedColumns:
    """The closed columns of one table that hold anything in the chunk."""

    table: WarehouseTable
    filled: frozenset[str]

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        return tuple(column for column in closed_columns(self.table) if column.name in self.filled)

    def asked(self) -> str:
        """SELECT of the distinct (system, code) of the chunk's rows, each with one of its labels."""
        single = [
            self._entry(column) for column in self.columns if not column.collection and column.privacy != "display"
        ]
        rows = [f"SELECT unnest([{', '.join(single)}]) AS e FROM out_{self.table.name}"] if single else []
        rows += [
            f"SELECT {_ENTRY.format('s', 'c', _NONE)} AS e FROM ({self.lists(c)})" for c in self.columns if c.collection
        ]
        rows = rows or [f"SELECT {_ENTRY.format(_NONE, _NONE, _NONE)} AS e"]
        return f"""
            SELECT e.system, e.code, any_value(e.label) AS label FROM ({" UNION ALL ".join(rows)})
            WHERE e.code IS NOT NULL GROUP BY 1, 2"""

    def _entry(self, column: Column) -> str:
        return _ENTRY.format(self.system(column), _name(column), self._label(column))

    def lists(self, column: Column) -> str:
        """SELECT of (codes, systems, place, s, c) of each distinct list of codes, with the system of each."""
        beside = self.systems_beside(column)
        systems = f'"{beside.name}"' if beside else "NULL::VARCHAR[]"
        default = literal(self._default(column))
        return f"""
            SELECT codes, systems, unnest(range(1, len(codes) + 1)) AS place, codes[place] AS c,
                   CASE WHEN len(systems) = len(codes) THEN coalesce(systems[place], {default}) ELSE {default} END AS s
            FROM (SELECT DISTINCT {_name(column)} AS codes, {systems} AS systems FROM out_{self.table.name}
                  WHERE {_name(column)} IS NOT NULL)"""

    def systems_beside(self, column: Column) -> Column | None:
        """The column that holds the systems of a list of codes, where it holds any."""
        beside = system_beside(self.table.view.columns, column) if column.privacy != "code-system" else None
        return beside if beside and beside.collection and beside.name in self.filled else None

    def system(self, column: Column, alias: str = "") -> str:
        """SQL of the system of a code."""
        beside = system_beside(self.table.view.columns, column)
        default = literal(self._default(column))
        if column.privacy in ("unit", "code-system") or beside is None or beside.name not in self.filled:
            return default
        return f'coalesce({alias}"{beside.name}", {default})'

    def _default(self, column: Column) -> str:
        if column.privacy == "unit":
            return UCUM
        if column.privacy == "code-system":
            return SYSTEMS
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
    """Look up the chunk's codes: temp tables ``vocabulary`` and ``list_N`` of column N.

    What was looked up for a chunk before is in ``resolved`` of the connection and is not looked up again.
    """
    closed = ClosedColumns(table, _filled(sql, table))
    sql.execute(f"CREATE OR REPLACE TEMP TABLE asked AS {closed.asked()}")
    vocabulary.resolve(sql)
    sql.execute(_VOCABULARY)
    sql.execute(_UNLISTED)
    for number, column in enumerate(closed.columns):
        if column.collection:
            sql.execute(f"CREATE OR REPLACE TEMP TABLE list_{number} AS {_kept_lists(closed, column)}")
    return closed


_VOCABULARY = """
CREATE OR REPLACE TEMP TABLE vocabulary AS SELECT r.*, a.label FROM asked a JOIN resolved r USING (system, code)
"""
_UNLISTED = f"""
INSERT INTO unlisted SELECT url, code, label, kept FROM vocabulary WHERE known IS NULL AND url <> '{SYSTEMS}'
"""


def _filled(sql: duckdb.DuckDBPyConnection, table: WarehouseTable) -> frozenset[str]:
    names = [column.name for column in closed_columns(table)]
    if not names:
        return frozenset()
    counts = ", ".join(f'count("{name}")' for name in names)
    (row,) = sql.execute(f"SELECT {counts} FROM out_{table.name}").fetchall()
    return frozenset(name for name, count in zip(names, row, strict=True) if count)


def _kept_lists(closed: ClosedColumns, column: Column) -> str:
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
            beside = closed.systems_beside(column)
            same = f' AND v{number}.systems IS NOT DISTINCT FROM o."{beside.name}"' if beside else ""
            yield f"LEFT JOIN list_{number} v{number} ON v{number}.codes = {value}{same}"
        else:
            system = closed.system(column, "o.")
            yield f"LEFT JOIN vocabulary v{number} ON v{number}.code = {value} AND v{number}.system = {system}"
