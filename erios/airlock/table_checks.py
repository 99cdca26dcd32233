"""The checks of tables, together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from erios.airlock.cells import Cell, Shape
from erios.airlock.column_kinds import DECLARABLE, Kind
from erios.airlock.differences import between, nested_columns, nested_rows
from erios.airlock.findings import Finding
from erios.airlock.magnitudes import at, check_magnitudes
from erios.airlock.margins import equations_of, is_disclosed, recoverable, rounding_of
from erios.airlock.persons import check_persons
from erios.airlock.shares import counts_behind
from erios.airlock.tables import Interval, Place, Table
from erios.settings_sections import AirlockSettings

_CHOICES = ", ".join(DECLARABLE)
_AMBIGUOUS = frozenset(f"{count}{mark}000" for count in range(1, 11) for mark in ",.")


def check_tables(
    tables: Sequence[Table], earlier: Sequence[Table], behind: Sequence[Table], settings: AirlockSettings
) -> Iterator[Finding]:
    """What is seen in the tables of one file, each beside those above it and those that left before."""
    for place, table in enumerate(tables):
        yield from _cells(table, settings)
        yield from _reckoned(table, [*earlier, *tables[:place]], settings)
        yield from check_magnitudes(table, settings, list(behind))
        yield from check_persons(table, settings)


def _cells(table: Table, settings: AirlockSettings) -> Iterator[Finding]:
    limit = settings.threshold
    for place, count in table.counts.items():
        cell = table.cell(*place)
        if not count.hidden and count.low < limit and not (count.structural and count.low == 0):
            yield at(place, "zero" if count.low == 0 else "small-cell", threshold=limit)
        elif count.hidden and is_disclosed(count, limit):
            yield at(place, "narrow-bound", threshold=limit)
        elif cell.text.strip() in _AMBIGUOUS:
            yield at(place, "ambiguous-number")
    if table.follows:
        yield Finding("no-gap", place="row", values={"row": table.headers[0] + 1})
    for place, cell in _undeclared(table):
        is_number = cell.shape != Shape.WORDS
        yield at(place, "undeclared", choices=_CHOICES) if is_number else at(place, "text-in-figures")
    for column, size in table.sizes.items():
        if size < limit:
            yield Finding("small-cell", place="column", values={"column": column + 1, "threshold": limit})


def _undeclared(table: Table) -> Iterator[tuple[Place, Cell]]:
    """Figures of which nothing says what they are."""
    for place, cell in table.figures(Kind.UNKNOWN):
        if cell.shape in (Shape.NUMBER, Shape.BOUND):
            yield place, cell
    for row in table.body:
        for column in set(range(table.width)) - set(table.labels):
            cell = table.cell(row, column)
            if (
                cell.shape == Shape.WORDS
                and (row, column) not in table.counts
                and table.kind(row, column) == Kind.COUNT
            ):
                yield (row, column), cell


def _reckoned(table: Table, earlier: Sequence[Table], settings: AirlockSettings) -> Iterator[Finding]:
    limit = settings.threshold
    sources: tuple[tuple[str, Callable[[], Iterable[tuple[Place, Interval]]]], ...] = (
        ("share", lambda: counts_behind(table)),
        ("nested", lambda: nested_columns(table)),
        ("nested", lambda: nested_rows(table)),
        ("hidden-total", lambda: _from_totals(table, limit)),
        ("differencing", lambda: between(table, earlier, limit)),
    )
    for check, intervals in sources:
        for place, interval in intervals():
            if is_disclosed(interval, limit) and not _is_shown_zero(table, place, interval):
                yield at(place, "everyone" if check == "nested" and interval.high == 0 else check, threshold=limit)


def _from_totals(table: Table, threshold: int) -> Iterator[tuple[Place, Interval]]:
    yield from recoverable(table.counts, equations_of(table), threshold, rounding_of(table))


def _is_shown_zero(table: Table, place: Place, interval: Interval) -> bool:
    """Nobody, in a cell that is declared to hold nobody."""
    count = table.counts.get(place)
    return interval.high == 0 and count is not None and count.structural
