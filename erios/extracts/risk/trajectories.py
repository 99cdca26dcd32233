"""Longitudinal facts of patients: what happened with which value, how often, at what time of day and how far apart.

Owns which facts lie in the rows of an event table, read from the columns that the extract has, whatever they are
called: values of every column, pairs of code and number, numbers of rows, days between events, clock times; and the
whole record of a patient, for one who has it from elsewhere. Dates that were moved are no facts, their distances are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from erios.extracts.risk.extract_tables import KEY, Extract, Table
from erios.extracts.risk.figures import wilson
from erios.extracts.risk.patient_facts import Pair, Source
from erios.extracts.risk.report import Trajectory
from etl.sql import identifier, literal

_DAY = r"^\d{4}-\d{2}-\d{2}"
_CLOCK = r"^\d{4}-\d{2}-\d{2}[T ](\d{2}:\d{2})"
_NUMBERS = ("DECIMAL", "DOUBLE", "FLOAT", "INTEGER", "BIGINT", "HUGEINT", "SMALLINT")
_IMAGE = "voxels_sha256"
_KEYS = ("_key", "_keys", _IMAGE)
_SAMPLE = 2000
_UNIT = "pow(10, floor(log10(greatest(abs({0}), 1e-9))))"
ROUNDINGS: Mapping[str, str] = {
    "": "{0}",
    "bands of 5": "floor({0} / 5) * 5",
    "bands of 10": "floor({0} / 10) * 10",
    "2 digits": f"round({{0}} / {_UNIT} * 10) * {_UNIT} / 10",
    "1 digit": f"round({{0}} / {_UNIT}) * {_UNIT}",
}
"""Roundings on which two extracts may meet, as SQL of a number."""


@dataclass(frozen=True)
class _Columns:
    """Columns of a table by what they hold; ``code``: that of the texts with most values."""

    dates: tuple[str, ...]
    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    code: str | None

    @property
    def values(self) -> tuple[str, ...]:
        """Those that are no dates."""
        return (*self.texts, *self.numbers)


def trajectory_sources(
    extract: Extract,
    *,
    dates_known: bool,
    besides: Collection[tuple[str, str]] = (),
    roundings: Sequence[str] = ("",),
) -> list[Source]:
    """Where longitudinal facts come from; ``dates_known``: the days are the true ones; ``besides``: table and column of
    values that are facts already."""
    sources: list[Source] = []
    for table in extract.tables.values():
        if table.has_patients:
            columns = _columns(extract, table)
            sources += _values(table, columns, besides)
            sources += _events(table, columns, roundings) if _has_events(extract, table) else ()
            sources += [_whole(table, columns, dates_known)]
    return sources


def shared_sources(a: Extract, b: Extract, roundings: Sequence[str]) -> list[tuple[Source, Source]]:
    """Longitudinal facts that two extracts have both, on every rounding on which they may meet."""
    pairs: list[tuple[Source, Source]] = []
    for name in a.tables:
        tables = (a.tables[name], b.tables[name]) if name in b.tables else ()
        if all(table.has_patients for table in tables) and tables:
            types = {column: kind for column, kind in tables[0].types.items() if column in tables[1].types}
            first, second = (Table(table.name, table.view, {c: table.types[c] for c in types}) for table in tables)
            columns = _columns(a, first)
            ours, theirs = (
                [
                    *_values(table, columns, ()),
                    *_events(table, columns, roundings),
                    _whole(table, columns, False),
                ]
                for table in (first, second)
            )
            pairs += zip(ours, theirs, strict=True)
    return pairs


def _has_events(extract: Extract, table: Table) -> bool:
    """May a patient have several rows?"""
    return bool(extract.scalar(f"SELECT count(*) > count(DISTINCT {KEY}) FROM {table.view}"))


def _columns(extract: Extract, table: Table) -> _Columns:
    names = [name for name in table.types if name != KEY and not name.endswith(_KEYS)]
    dates = [name for name in names if _is_date(extract, table, name)]
    numbers = [name for name in names if table.types[name].startswith(_NUMBERS)]
    texts = [name for name in names if name not in (*dates, *numbers)]
    return _Columns(tuple(dates), tuple(numbers), tuple(texts), _richest(extract, table, texts))


def _is_date(extract: Extract, table: Table, name: str) -> bool:
    if table.types[name] == "DATE" or table.types[name].startswith("TIMESTAMP"):
        return True
    sample = f"SELECT {identifier(name)} AS v FROM {table.view} WHERE {identifier(name)} IS NOT NULL LIMIT {_SAMPLE}"
    share = f"SELECT avg(CAST(regexp_matches(v, '{_DAY}') AS INTEGER)) FROM ({sample})"
    return table.types[name] == "VARCHAR" and (extract.scalar(share) or 0) > 0.5


def _richest(extract: Extract, table: Table, texts: Sequence[str]) -> str | None:
    """The text column with most different values: what the rows are about."""
    if not texts:
        return None
    counts = ", ".join(f"approx_count_distinct({table.text(name)})" for name in texts)
    row = extract.rows(f"SELECT {counts} FROM {table.view}")[0]
    return max(zip(row, texts, strict=True))[1]


def _values(table: Table, columns: _Columns, besides: Collection[tuple[str, str]]) -> Iterator[Source]:
    for name in columns.values:
        if (table.name, name) not in besides:
            yield _source(table, f"each {name}", f"SELECT {KEY}, {table.text(name)} AS v FROM {table.view}")


def _events(table: Table, columns: _Columns, roundings: Sequence[str]) -> Iterator[Source]:
    code = table.text(columns.code) if columns.code else "''"
    for number in columns.numbers:
        for rounding in roundings:
            value = ROUNDINGS[rounding].format(f"CAST({identifier(number)} AS DOUBLE)")
            fact = f"{code} || '=' || CAST({value} AS VARCHAR)"
            label = f"{columns.code or 'row'} with {number}" + (f" ({rounding})" if rounding else "")
            yield _source(table, label, f"SELECT {KEY}, {fact} AS v FROM {table.view}")
    count = f"SELECT {KEY}, {code} || '×' || CAST(count(*) AS VARCHAR) AS v FROM {table.view} GROUP BY {KEY}, {code}"
    yield _source(table, f"number of rows by {columns.code or 'patient'}", count)
    yield from _times(table, columns)


def _times(table: Table, columns: _Columns) -> Iterator[Source]:
    """Distances of events, lengths of periods, and clock times."""
    for name in columns.dates[:1]:
        days = (
            f"SELECT DISTINCT {KEY}, {_day(table, name)} AS day FROM {table.view} WHERE {_day(table, name)} IS NOT NULL"
        )
        gap = f"day - lag(day) OVER (PARTITION BY {KEY} ORDER BY day)"
        yield _source(table, "days between", f"SELECT {KEY}, CAST({gap} AS VARCHAR) AS v FROM ({days})")
    if len(columns.dates) > 1:
        first, second = (_day(table, name) for name in columns.dates[:2])
        code = f"{table.text(columns.code)} || '='" if columns.code else "''"
        length = f"SELECT {KEY}, {code} || CAST({second} - {first} AS VARCHAR) AS v FROM {table.view}"
        yield _source(table, f"days from {columns.dates[0]} to {columns.dates[1]}", length)
    for name in columns.dates:
        clock = f"nullif(regexp_extract({table.text(name)}, '{_CLOCK}', 1), '')"
        yield _source(
            table, f"clock time of {name}", f"SELECT {KEY}, {clock} AS v FROM {table.view} WHERE {clock} <> '00:00'"
        )


def _day(table: Table, name: str) -> str:
    return f"TRY_CAST(left({table.text(name)}, 10) AS DATE)"


def _source(table: Table, label: str, select: str) -> Source:
    return Source(f"{table.name} {label}", table.name, label, select, (), single=False, dated=False, exact=False)


def _whole(table: Table, columns: _Columns, dates_known: bool) -> Source:
    """Every row as it is, with the day since the patient's first one, and how often it is there; an image is known to
    whoever has it from elsewhere, whatever its file is called."""
    days = [_day(table, name) for name in columns.dates]
    first = "" if dates_known else f" - min({days[0]}) OVER (PARTITION BY {KEY})" if days else ""
    texts = [f"coalesce({table.text(name)}, '')" for name in columns.values]
    texts += [f"coalesce(CAST({day}{first} AS VARCHAR), '')" for day in days]
    texts += [f"coalesce({table.text(_IMAGE)}, '')"] if _IMAGE in table.types else []
    row = " || chr(31) || ".join(texts) or "''"
    rows = f"SELECT {KEY}, {row} AS r FROM {table.view}"
    select = f"SELECT {KEY}, r || '×' || CAST(count(*) AS VARCHAR) AS v FROM ({rows}) GROUP BY {KEY}, r"
    return Source(f"{table.name} rows", table.name, WHOLE, select, (), single=False, dated=False, exact=False)


WHOLE = "whole rows"
"""The column of a source whose facts are rows as a whole: known to one who has the full trajectory alone."""


def full_trajectory(extract: Extract, pairs: Sequence[Pair], patients: int) -> Trajectory | None:
    """What one who has a patient's whole record finds: among those whose records are the same, one is drawn."""
    if not patients:
        return None
    parts = [f"SELECT pid, hash({literal(pair.table)}, c) AS h FROM {pair.table}" for pair in pairs]
    union = " UNION ALL ".join(parts) or "SELECT 0 AS pid, 0::UBIGINT AS h LIMIT 0"
    records = f"SELECT pid, sum(CAST(h AS HUGEINT)) AS record FROM ({union}) GROUP BY pid"
    sizes = f"SELECT count(*) AS n FROM person LEFT JOIN ({records}) USING (pid) GROUP BY record"
    classes, uniques = extract.rows(f"SELECT count(*), count(*) FILTER (n = 1) FROM ({sizes})")[0]
    return Trajectory(patients, int(classes), int(uniques), *wilson(int(classes), patients))
