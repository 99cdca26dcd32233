"""The criteria as frozen values: what a leaf declares once, and how leaves are joined.

A leaf criterion is one file of ``kinds``: a dataclass whose fields carry their types (``fields``). Parser, JSON,
canonical form, words, form, schema and the table of docs/criteria.md derive from that; only its SQL is written out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from functools import cache
from typing import Annotated, Any, ClassVar, Self, get_type_hints

from erios.extracts.criteria.fields import Day, FieldType, check_object, fail
from erios.extracts.criteria.sql import DUCKDB, Dialect, Query, all_of, join, touches


@dataclass(frozen=True)
class Leaf:
    """A criterion without others joined in it. ``NAME``: in JSON; ``BARE``: the field that is the whole JSON value."""

    NAME: ClassVar[str] = ""
    BARE: ClassVar[str] = ""

    @classmethod
    def parse(cls, value: Any, at: str) -> Self:
        """The leaf from its JSON; InputError names the place."""
        types = field_types(cls)
        if cls.BARE:
            return cls(**{cls.BARE: types[cls.BARE].parse(value, at)})
        required = [field.key for field in types.values() if field.required]
        given = check_object(value, at, [field.key for field in types.values()], required)
        values = {
            name: field.parse(given[field.key], f"{at}.{field.key}")
            for name, field in types.items()
            if field.key in given
        }
        leaf = cls(**values)
        leaf.check(at)
        return leaf

    def check(self, at: str) -> None:
        """InputError where the fields do not go together."""

    def dump(self) -> dict[str, Any]:
        """The JSON value, as ``parse`` reads it, under the leaf's name."""
        values = {field.key: field.dump(getattr(self, name)) for name, field in field_types(type(self)).items()}
        values = {key: value for key, value in values.items() if value is not None}
        return {self.NAME: next(iter(values.values())) if self.BARE else values}

    def canonical(self) -> Self:
        """The same for every leaf that means the same, as far as rearranging goes."""
        types = field_types(type(self))
        return replace(self, **{name: field.canonical(getattr(self, name)) for name, field in types.items()})

    def describe(self, words: Mapping[str, str]) -> str:
        """In the words of a language, without capital or full stop."""
        return words[self.NAME].format(**self.phrases(words))

    def phrases(self, words: Mapping[str, str]) -> dict[str, str]:
        """What the sentence of this leaf has a place for, by name."""
        return {name: field.describe(getattr(self, name), words) for name, field in field_types(type(self)).items()}

    def tables(self) -> frozenset[str]:
        """Names of the tables that are read besides ``patient``."""
        return frozenset()

    def patient_condition(self) -> Query | None:
        """Condition on the patient's own row ``p``; None where other tables are needed."""
        return None

    def members(self, dialect: Dialect) -> Query:
        """SELECT of the patients, each once, whom the leaf holds."""
        raise NotImplementedError


@dataclass(frozen=True)
class EventRows:
    """Where the rows of an event are: table, first and last day (SQL), and which rows count."""

    table: str
    first_day: str
    last_day: str
    condition: Query

    def select(self, start: date | None, end: date | None, dialect: Dialect, *, dated: bool) -> Query:
        """SELECT of patient_key, and the first and last day where they are asked for."""
        condition = all_of(self.condition, touches(start, end, self.first_day, self.last_day))
        days = f", {self.first_day} AS first_day, {self.last_day} AS last_day" if dated else ""
        return f"SELECT patient_key{days} FROM {dialect.column(self.table)} WHERE " + condition


@dataclass(frozen=True)
class Event(Leaf):
    """A leaf with days: rows of tables that touch the period from ``start`` to ``end``, both included; None: open."""

    start: Annotated[date | None, Day("from", "first day of the period")] = field(default=None, kw_only=True)
    end: Annotated[date | None, Day("to", "last day of the period")] = field(default=None, kw_only=True)

    def check(self, at: str) -> None:
        if self.start and self.end and self.start > self.end:
            fail(at, "'from' is after 'to'")

    def phrases(self, words: Mapping[str, str]) -> dict[str, str]:
        days = {name: text for name, text in super().phrases(words).items() if text}
        form = "both" if self.start and self.end else "from" if self.start else "to" if self.end else ""
        return {**super().phrases(words), "period": words[form].format(**days) if form else ""}

    def rows_of_tables(self, dialect: Dialect) -> list[EventRows]:
        """Where the rows are; one entry a table."""
        raise NotImplementedError

    def rows(self, dialect: Dialect, *, dated: bool) -> Query:
        """SELECT of the rows: patient_key, and first_day and last_day where they are asked for."""
        tables = self.rows_of_tables(dialect)
        return join(" UNION ALL ", (table.select(self.start, self.end, dialect, dated=dated) for table in tables))

    def tables(self) -> frozenset[str]:
        return frozenset(rows.table for rows in self.rows_of_tables(DUCKDB))

    def members(self, dialect: Dialect) -> Query:
        return "SELECT DISTINCT patient_key FROM (" + self.rows(dialect, dated=False) + ") rows_of_patient"


def field_types(leaf: Any) -> Mapping[str, FieldType]:
    """Attribute → type of each field of a class of leaves, in the order of JSON and form: a period comes last."""
    return _field_types(leaf)


@cache
def _field_types(leaf: Any) -> Mapping[str, FieldType]:
    hints = get_type_hints(leaf, include_extras=True)
    ordered = sorted(fields(leaf), key=lambda field: bool(field.kw_only))
    return {field.name: hints[field.name].__metadata__[0] for field in ordered}


@dataclass(frozen=True)
class And:
    """All of them; none is everybody."""

    all: tuple[Criterion, ...]


@dataclass(frozen=True)
class Or:
    """At least one of them."""

    any: tuple[Criterion, ...]


@dataclass(frozen=True)
class Not:
    """Those who do not meet it."""

    criterion: Criterion


Criterion = Leaf | And | Or | Not


def nodes(criterion: Criterion) -> Iterator[Criterion]:
    """The criterion and every criterion inside it, left to right."""
    yield criterion
    match criterion:
        case And(parts) | Or(parts):
            for part in parts:
                yield from nodes(part)
        case Not(inner):
            yield from nodes(inner)


def leaves(criterion: Criterion) -> Iterator[Leaf]:
    """Every leaf, left to right, as often as it is written."""
    return (node for node in nodes(criterion) if isinstance(node, Leaf))


def steps(criterion: Criterion) -> tuple[Criterion, ...]:
    """The parts of the top-level "and" in order; one part when it is another criterion."""
    return criterion.all if isinstance(criterion, And) else (criterion,)


def dump(criterion: Criterion) -> dict[str, Any]:
    """The JSON value of a criterion, as ``parse`` reads it."""
    match criterion:
        case And(parts):
            return {"and": [dump(part) for part in parts]}
        case Or(parts):
            return {"or": [dump(part) for part in parts]}
        case Not(inner):
            return {"not": dump(inner)}
        case Leaf():
            return criterion.dump()


def json_text(criterion: Criterion) -> str:
    """The JSON of a criterion in one spelling: sorted names, no spaces."""
    return json.dumps(dump(criterion), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
