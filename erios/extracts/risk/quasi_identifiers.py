"""One row a patient: every quasi-identifier as a code, and what stands above each code in its hierarchy.

Owns how many rows of a patient become one value, and the tables ``person`` (pid, key), ``coded`` (pid, c0, c1, …) and
``dim<n>`` (code of an exact value, its codes at each level, patients). Values stay in the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from erios.extracts.generalisation.values import Groupings, level_sql
from erios.extracts.generalisation.vocabulary import KEEP, SUPPRESS
from erios.extracts.risk.attacker_knowledge import Knowledge, Quasi, Sensitive
from erios.extracts.risk.extract_tables import KEY, Extract, Table
from etl.sql import identifier

Entry = TypeVar("Entry", Quasi, Sensitive)
_BETWEEN, _LATE = "chr(31)", "chr(1114111)"


@dataclass(frozen=True)
class Level:
    """A generalisation that changes something: distinct values on it, and what it loses (0 to 1), two ways."""

    name: str
    distinct: int
    ncp: float
    entropy: float


@dataclass(frozen=True)
class Dimension:
    """A quasi-identifier that the extract has; ``levels`` from the values as they are to suppression."""

    quasi: Quasi
    levels: tuple[Level, ...]

    @property
    def top(self) -> int:
        """Place of the last level."""
        return len(self.levels) - 1


def present(extract: Extract, entries: Sequence[Entry]) -> list[Entry]:
    """The entries whose columns the extract has, with only those columns."""
    kept: list[Entry] = []
    for entry in entries:
        table = extract.tables.get(entry.table)
        if table is None or not table.has_patients:
            continue
        columns = tuple(column for column in entry.columns if column in table.types)
        if columns or entry.how == "count":
            order = tuple(column for column in entry.order if column in table.types)
            kept.append(replace(entry, columns=columns, order=order))
    return kept


def make_persons(extract: Extract, person: str = "person") -> int:
    """The table ``person`` of everybody whom a row is about; how many they are."""
    parts = [f"SELECT {KEY} FROM {table.view}" for table in extract.tables.values() if table.has_patients]
    union = " UNION ALL ".join(f"SELECT DISTINCT {KEY} FROM ({part})" for part in parts) or f"SELECT NULL AS {KEY}"
    extract.run(
        f"CREATE TABLE {person} AS SELECT CAST(row_number() OVER (ORDER BY {KEY}) - 1 AS INTEGER) AS pid, {KEY}"
        f" FROM (SELECT DISTINCT CAST({KEY} AS VARCHAR) AS {KEY} FROM ({union})) WHERE {KEY} IS NOT NULL"
    )
    return int(extract.scalar(f"SELECT count(*) FROM {person}"))


def value_sql(entry: Quasi | Sensitive, table: Table, column: str) -> str:
    """SQL aggregate of one column over the rows of a patient: text, or null where no row says anything."""
    text = table.text(column)
    if entry.how == "distinct":
        return f"CAST(count(DISTINCT {text}) AS VARCHAR)"
    if entry.how in ("first", "last"):
        return _placed(entry, table, text)
    return f"min({text})"


def _placed(entry: Quasi | Sensitive, table: Table, text: str) -> str:
    """The value of the earliest (or latest) row that has one; the smallest (greatest) of several, or without a date."""
    choose, missing = ("arg_min", _LATE) if entry.how == "first" else ("arg_max", "''")
    if not entry.order:
        return f"{'min' if entry.how == 'first' else 'max'}({text})"
    when = ", ".join(table.text(column) for column in entry.order)
    order = f"coalesce({when}, {missing}) || {_BETWEEN} || {text}"
    return f"{choose}({text}, {order}) FILTER ({text} IS NOT NULL)"


def make_coded(extract: Extract, knowledge: Knowledge, patients: int) -> list[Dimension]:
    """The tables ``coded`` and ``dim<n>``; the quasi-identifiers in their order."""
    entries = present(extract, knowledge.quasi)
    _make_values(extract, entries)
    dimensions = [_make_dimension(extract, n, quasi, knowledge.groupings, patients) for n, quasi in enumerate(entries)]
    codes = "".join(f", d{n}.r0 AS c{n}" for n in range(len(entries)))
    joins = " ".join(f"JOIN dim{n} d{n} ON d{n}.x = v.x{n}" for n in range(len(entries)))
    extract.run(f"CREATE TABLE coded AS SELECT pid{codes} FROM valued v {joins}")
    extract.run("DROP TABLE valued")
    return dimensions


def _make_values(extract: Extract, entries: Sequence[Quasi]) -> None:
    """``valued``: pid and the text x<n> of every quasi-identifier, never null."""
    names = sorted({quasi.table for quasi in entries})
    for name in names:
        _aggregate(
            extract, extract.tables[name], [(n, quasi) for n, quasi in enumerate(entries) if quasi.table == name]
        )
    texts = "".join(f", {_text(quasi, n)} AS x{n}" for n, quasi in enumerate(entries))
    joins = " ".join(f"LEFT JOIN {identifier('of_' + name)} USING ({KEY})" for name in names)
    extract.run(f"CREATE TABLE valued AS SELECT pid{texts} FROM person {joins}")
    for name in names:
        extract.run(f"DROP TABLE {identifier('of_' + name)}")


def _aggregate(extract: Extract, table: Table, wanted: Sequence[tuple[int, Quasi]]) -> None:
    columns = [KEY]
    for n, quasi in wanted:
        if quasi.how == "count":
            columns.append(f"CAST(count(*) AS VARCHAR) AS v{n}_0")
        else:
            columns += [f"{value_sql(quasi, table, c)} AS v{n}_{part}" for part, c in enumerate(quasi.columns)]
    extract.run(
        f"CREATE TABLE {identifier('of_' + table.name)} AS SELECT {', '.join(columns)} FROM {table.view} GROUP BY {KEY}"
    )


def _parts(quasi: Quasi) -> int:
    return 1 if quasi.how == "count" else len(quasi.columns)


def _text(quasi: Quasi, n: int) -> str:
    """One text of the columns' values that tells null from every text."""
    zero = "'0'" if quasi.how in ("count", "distinct") else "NULL"
    parts = (f"coalesce('=' || replace(coalesce(v{n}_{p}, {zero}), {_BETWEEN}, ' '), '')" for p in range(_parts(quasi)))
    return f" || {_BETWEEN} || ".join(parts)


def _make_dimension(extract: Extract, n: int, quasi: Quasi, groupings: Groupings, patients: int) -> Dimension:
    """``dim<n>``: x, r0 … r<top> (codes), n (patients); levels that change nothing are left out."""
    hierarchy = (KEEP, *(level for level in quasi.hierarchy if level not in (KEEP, SUPPRESS)), SUPPRESS)
    counted = f"SELECT x{n} AS x, count(*) AS n FROM valued GROUP BY x{n}"
    extract.run(f"CREATE TABLE hierarchy AS {_levels_sql(hierarchy, quasi, groupings, counted)}")
    sizes = [int(extract.scalar(f"SELECT count(DISTINCT t{level}) FROM hierarchy")) for level in range(len(hierarchy))]
    kept = [p for p in range(len(hierarchy)) if p in (0, len(hierarchy) - 1) or sizes[p] < sizes[p - 1]]
    levels = tuple(_level(extract, hierarchy[level], level, sizes[level], patients) for level in kept)
    codes = ", ".join(
        f"CAST(dense_rank() OVER (ORDER BY t{level}) AS INTEGER) AS r{new}" for new, level in enumerate(kept)
    )
    extract.run(f"CREATE TABLE dim{n} AS SELECT x, {codes}, n FROM hierarchy")
    extract.run("DROP TABLE hierarchy")
    return Dimension(quasi, levels)


def _levels_sql(hierarchy: Sequence[str], quasi: Quasi, groupings: Groupings, counted: str) -> str:
    """SELECT of x, n, t0, t1, …: each level is put on the one below it, so it never parts what that one joined.

    A subquery a level, since the expressions would double in length with each if they were put into each other.
    """
    parts = range(_parts(quasi))
    split = (f"split_part(x, {_BETWEEN}, {part + 1})" for part in parts)
    first = (f"CASE WHEN {e} = '' THEN NULL ELSE substr({e}, 2) END AS p0_{part}" for part, e in enumerate(split))
    select = f"SELECT x, n, {', '.join(first)} FROM ({counted})"
    for n, level in enumerate(hierarchy[1:]):
        higher = (f"{level_sql(level, f'p{n}_{part}', groupings)} AS p{n + 1}_{part}" for part in parts)
        select = f"SELECT *, {', '.join(higher)} FROM ({select})"
    texts = (
        f" || {_BETWEEN} || ".join(f"coalesce('=' || p{n}_{part}, '')" for part in parts) + f" AS t{n}"
        for n in range(len(hierarchy))
    )
    return f"SELECT x, n, {', '.join(texts)} FROM ({select})"


def _level(extract: Extract, name: str, n: int, distinct: int, patients: int) -> Level:
    """What a level loses: normalised certainty penalty, and the share of the entropy that is gone."""
    groups = f"SELECT sum(n) AS n, count(*) AS m FROM hierarchy GROUP BY t{n}"
    values, covered, left = extract.rows(
        f"SELECT sum(m), sum(n * (m - 1)), -sum(n / {patients}.0 * ln(n / {patients}.0)) FROM ({groups})"
    )[0]
    if not values or values == 1:
        return Level(name, distinct, 0.0, 0.0)
    (whole,) = extract.rows(f"SELECT -sum(n / {patients}.0 * ln(n / {patients}.0)) FROM hierarchy")[0]
    return Level(name, distinct, float(covered) / patients / (values - 1), 1 - float(left) / float(whole))
