"""Facts of patients as the attacks see them: one value of one column, as (pid, value) pairs on disk.

Owns which columns are facts: every quasi-identifier and sensitive column of conf/risk.toml that the extract has, dates
as precise as ``fact`` says; and for a number of rows, that number. A null is no fact: nobody knows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from erios.extracts.risk.knowledge import Knowledge, Quasi, Sensitive
from erios.extracts.risk.ladders import EXACT, rung_sql
from erios.extracts.risk.patients import present
from erios.extracts.risk.reading import KEY, Extract, Table


@dataclass(frozen=True)
class Source:
    """A column that facts come from; ``select`` is SQL of its distinct (pid, value).

    ``single``: a patient has one such fact; ``dated``: it is a day; ``exact``: it is the value as it is.
    """

    name: str
    table: str
    column: str
    select: str
    ladder: tuple[str, ...]
    single: bool
    dated: bool
    exact: bool


@dataclass(frozen=True)
class Pair:
    """The table of a source's facts."""

    source: Source
    table: str


def sources(extract: Extract, knowledge: Knowledge, person: str = "person") -> list[Source]:
    """The columns that facts come from, each once; a column's twins are left out, since they say the same."""
    entries: list[Quasi | Sensitive] = [*present(extract, knowledge.quasi), *present(extract, knowledge.sensitive)]
    found: dict[tuple[str, str], Source] = {}
    for entry in entries:
        source = _source(extract.tables[entry.table], entry, knowledge, person)
        found.setdefault((source.table, source.column), source)
    return list(found.values())


def _source(table: Table, entry: Quasi | Sensitive, knowledge: Knowledge, person: str) -> Source:
    ladder = entry.ladder if isinstance(entry, Quasi) else (EXACT,)
    if entry.how in ("count", "distinct"):
        what = "count(*)" if entry.how == "count" else f"count(DISTINCT {table.text(entry.columns[0])})"
        rows = f"SELECT {KEY}, CAST({what} AS VARCHAR) AS v FROM {table.view} GROUP BY {KEY}"
        column = f"{entry.how} {entry.columns[0] if entry.columns else 'rows'}"
        return Source(
            entry.name, table.name, column, _select(rows, person), ladder, single=True, dated=False, exact=False
        )
    fact = entry.fact if isinstance(entry, Quasi) else EXACT
    value = rung_sql(fact, table.text(entry.columns[0]), knowledge.hierarchies)
    rows = f"SELECT {KEY}, {value} AS v FROM {table.view}"
    single = entry.how == "value" and not (isinstance(entry, Sensitive) and entry.kind == "set")
    return Source(
        entry.name,
        table.name,
        entry.columns[0],
        _select(rows, person),
        ladder,
        single=single,
        dated=fact == "day",
        exact=fact == EXACT,
    )


def _select(rows: str, person: str) -> str:
    return f"SELECT DISTINCT pid, v FROM ({rows}) JOIN {person} USING ({KEY}) WHERE v IS NOT NULL"


def make_pairs(extract: Extract, found: Sequence[Source], prefix: str = "pair") -> list[Pair]:
    """The tables ``<prefix><n>`` of (pid, v), one a source."""
    for n, source in enumerate(found):
        extract.run(f"CREATE TABLE {prefix}{n} AS {source.select}")
    return [Pair(source, f"{prefix}{n}") for n, source in enumerate(found)]
