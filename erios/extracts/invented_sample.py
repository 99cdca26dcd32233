"""What a column of an extract will look like, shown on an invented person: its structure, and nobody's row.

Owns the invented values, one a kind of column; they go through the very SQL that the build applies, so what is shown is
what would leave. No data are read.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

from erios.extracts.generalisation.columns import Kind, Terms, column_sql, kind_of
from etl.sql import literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from etl.views import Column

STUDY_KEY = "3f9c0a7d5e2b41868d1c4a90b7e6f2d5"
"""A pseudonym that nobody has."""
_SHIFT = 41
_INVENTED = {
    Kind.KEY: "a" * 32,
    Kind.BIRTH: "1957-03",
    Kind.DATE: "2025-06-14T09:30:00+02:00",
    Kind.AGE: "93",
    Kind.PLACE: "69",
    Kind.DIAGNOSIS: "I50.1",
    Kind.TREATMENT: "C09AA05",
    Kind.NUMBER: "12.7",
    Kind.FLAG: "true",
    Kind.TEXT: "code",
}


def sample_of(table: str, column: Column, form: str, terms: Terms) -> str:
    """An invented value of a column, in its form; ``…`` for one that has no words, such as an image."""
    kind = kind_of(table, column)
    if kind not in _INVENTED:
        return "…"
    source = f'SELECT {_value(kind, column)} AS "{column.name}"'
    cohort = f"SELECT {literal(STUDY_KEY)} AS study_key, {_SHIFT} AS shift"
    shown = f"CAST({column_sql(table, column, form, terms)} AS VARCHAR)"
    return _answer(f"SELECT {shown} FROM ({source}) AS t, ({cohort}) AS m")


@lru_cache(maxsize=4096)
def _answer(query: str) -> str:
    answer = _connection().cursor().execute(query).fetchone()
    return str(answer[0]) if answer and answer[0] is not None else "…"


@cache
def _connection() -> DuckDBPyConnection:
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    return connection.execute(f"CREATE MACRO pseudonym(one) AS {literal(STUDY_KEY[::-1])}")


def _value(kind: Kind, column: Column) -> str:
    """The kind's invented value as the warehouse would hold it."""
    scalar = column.sql_type.removesuffix("[]")
    text = _INVENTED[kind]
    if kind is Kind.BIRTH and scalar != "VARCHAR":
        text = f"{text}-01"
    if kind is Kind.NUMBER and scalar.startswith(("INTEGER", "BIGINT")):
        text = "12"
    value = f"CAST({literal(text)} AS {scalar})"
    return f"[{value}]" if column.collection else value
