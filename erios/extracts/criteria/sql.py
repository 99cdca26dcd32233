"""Pieces of SQL that the criteria are made of, in DuckDB's dialect or Spark's.

Every value a person gave travels as a bound parameter; the text holds only names written in this package and whole
numbers. A day is the first ten characters of the FHIR text, the day as the hospital wrote it (a partial date is its
first day), so no time zone of an engine has a say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from typing import Any

RECORD_HEX = 15
"""Leading hex digits of a pseudonym that make its record key: 60 bits, a whole number both engines hold."""


@dataclass(frozen=True)
class Dialect:
    """How an engine quotes a name, reads ``RECORD_HEX`` digits as a number, counts days between two."""

    name: str
    quote: str
    record_key: str
    days_between: str

    def column(self, name: str) -> str:
        return f"{self.quote}{name}{self.quote}"


DUCKDB = Dialect(
    "duckdb", '"', f"CAST('0x' || left({{key}}, {RECORD_HEX}) AS BIGINT)", "date_diff('day', {since}, {until})"
)
SPARK = Dialect(
    "spark", "`", f"CAST(conv(left({{key}}, {RECORD_HEX}), 16, 10) AS BIGINT)", "datediff({until}, {since})"
)


@dataclass(frozen=True)
class Query:
    """SQL text and the values of its question marks, in order."""

    sql: str
    parameters: tuple[Any, ...] = ()

    def __add__(self, other: Query | str) -> Query:
        other = other if isinstance(other, Query) else Query(other)
        return Query(self.sql + other.sql, self.parameters + other.parameters)

    def __radd__(self, other: str) -> Query:
        return Query(other) + self


def join(separator: str, queries: Iterable[Query]) -> Query:
    """The queries one after the other."""
    return reduce(lambda left, right: left + separator + right if left.sql else right, queries, Query(""))


def all_of(*conditions: Query | str) -> Query:
    """The conditions that are not empty, with AND between them."""
    queries = (condition if isinstance(condition, Query) else Query(condition) for condition in conditions)
    return join(" AND ", (query for query in queries if query.sql))


def is_in(values: Sequence[str], column: str) -> Query:
    """The column holds one of the values."""
    return Query(f"{column} IN ({', '.join('?' * len(values))})", tuple(values))


def day(*columns: str) -> str:
    """SQL of the day that the first of these FHIR dates that is there names."""
    text = columns[0] if len(columns) == 1 else f"coalesce({', '.join(columns)})"
    return f"TRY_CAST(left({text} || '-01-01', 10) AS DATE)"


def day_literal(value: date) -> str:
    """A day as SQL."""
    return f"DATE '{value.isoformat()}'"


def status_not(column: str, *statuses: str) -> str:
    """The status is none of these, or not there."""
    return f"coalesce({column}, '') NOT IN ({', '.join(repr(status) for status in statuses)})"


def touches(start: date | None, end: date | None, first_day: str, last_day: str) -> Query:
    """What lies between two days touches the period from ``start`` to ``end``; None is open."""
    first = Query(f"{last_day} >= CAST(? AS DATE)", (start.isoformat(),)) if start else Query("")
    last = Query(f"{first_day} <= CAST(? AS DATE)", (end.isoformat(),)) if end else Query("")
    return all_of(first, last)


def is_under(codes: Sequence[str], column: str) -> Query:
    """The column's code is, or lies under, one of the codes; a range is of categories of three characters."""
    plain = f"upper(replace({column}, '.', ''))"
    return "(" + join(" OR ", (_is_under_code(code, plain) for code in codes)) + ")"


def _is_under_code(code: str, column: str) -> Query:
    if "-" in code:
        return Query(f"left({column}, 3) BETWEEN ? AND ?", (code[:3], code[4:]))
    return Query(f"left({column}, {len(code)}) = ?", (code,))
