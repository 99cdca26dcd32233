"""Facts of patients as the attacks see them: one value of one column, as pairs of numbers on disk.

Owns which columns are facts: every quasi-identifier and sensitive column of conf/risk.toml that the extract has, dates
as precise as ``fact`` says; and for a number of rows, that number. A null is no fact: nobody knows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from erios.extracts.generalisation.values import level_sql
from erios.extracts.generalisation.vocabulary import KEEP
from erios.extracts.risk.attacker_knowledge import Knowledge, Quasi, Sensitive
from erios.extracts.risk.extract_tables import KEY, Extract, Table
from erios.extracts.risk.quasi_identifiers import present


@dataclass(frozen=True)
class Source:
    """A column that facts come from; ``select`` is SQL of (patient_key, v), in which rows repeat.

    ``single``: a patient has one such fact; ``dated``: it is a day; ``exact``: it is the value as it is.
    """

    name: str
    table: str
    column: str
    select: str
    hierarchy: tuple[str, ...]
    single: bool
    dated: bool
    exact: bool


@dataclass(frozen=True)
class Pair:
    """A source's facts: ``table`` has the distinct (pid, c), ``words`` what each number c stands for, (c, v), in order
    of v."""

    source: Source
    table: str

    @property
    def words(self) -> str:
        """The table of values."""
        return f"{self.table}_words"

    @property
    def spelled(self) -> str:
        """SELECT of the distinct (pid, v)."""
        return f"SELECT pid, v FROM {self.table} JOIN {self.words} USING (c)"


def sources(extract: Extract, knowledge: Knowledge) -> list[Source]:
    """The columns that facts come from, each once; a column's twins are left out, since they say the same."""
    entries: list[Quasi | Sensitive] = [*present(extract, knowledge.quasi), *present(extract, knowledge.sensitive)]
    by_column: dict[tuple[str, str], Source] = {}
    for entry in entries:
        source = _source(extract.tables[entry.table], entry, knowledge)
        by_column.setdefault((source.table, source.column), source)
    return list(by_column.values())


def _source(table: Table, entry: Quasi | Sensitive, knowledge: Knowledge) -> Source:
    hierarchy = entry.hierarchy if isinstance(entry, Quasi) else (KEEP,)
    if entry.how in ("count", "distinct"):
        what = "count(*)" if entry.how == "count" else f"count(DISTINCT {table.text(entry.columns[0])})"
        rows = f"SELECT {KEY}, CAST({what} AS VARCHAR) AS v FROM {table.view} GROUP BY {KEY}"
        column = f"{entry.how} {entry.columns[0] if entry.columns else 'rows'}"
        return Source(entry.name, table.name, column, rows, hierarchy, single=True, dated=False, exact=False)
    fact = entry.fact if isinstance(entry, Quasi) else KEEP
    value = level_sql(fact, table.text(entry.columns[0]), knowledge.groupings)
    rows = f"SELECT {KEY}, {value} AS v FROM {table.view}"
    single = entry.how == "value" and not (isinstance(entry, Sensitive) and entry.kind == "set")
    return Source(
        entry.name,
        table.name,
        entry.columns[0],
        rows,
        hierarchy,
        single=single,
        dated=fact == "day",
        exact=fact == KEEP,
    )


def make_pairs(extract: Extract, columns: Sequence[Source], prefix: str = "pair", person: str = "person") -> list[Pair]:
    """The tables of each source; numbers, since making text distinct takes several times as long."""
    pairs = [Pair(source, f"{prefix}{n}") for n, source in enumerate(columns)]
    for pair in pairs:
        extract.run(
            f"CREATE TABLE {pair.words} AS SELECT v, CAST(row_number() OVER (ORDER BY v) AS INTEGER) AS c"
            f" FROM (SELECT DISTINCT v FROM ({pair.source.select}) WHERE v IS NOT NULL)"
        )
        extract.run(
            f"CREATE TABLE {pair.table} AS SELECT DISTINCT pid, c FROM ({pair.source.select})"
            f" JOIN {pair.words} USING (v) JOIN {person} USING ({KEY})"
        )
    return pairs
