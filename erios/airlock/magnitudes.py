"""Sums, means and quantiles: whether few people make them, or one person's value can be read off.

Sources: dominance (n, k) and p % as the handbook of Eurostat's centre of excellence on statistical disclosure control
has them; a quantile is shown where at least ``threshold`` patients lie on either side of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from erios.airlock.cells import Cell, Shape, fold
from erios.airlock.column_kinds import Kind
from erios.airlock.findings import Finding, Verdict
from erios.airlock.tables import Place, Table
from erios.settings_sections import AirlockSettings

_TAIL = re.compile(r"(?<![a-z0-9])(?:p|q|c)? ?(\d\d?)(?: ?(?:e|th|%))?(?![0-9])")


def at(place: Place, check: str, verdict: Verdict = Verdict.HELD, **values: object) -> Finding:
    """A finding at a cell of the grid."""
    return Finding(check, verdict, "cell", {"row": place[0] + 1, "column": place[1] + 1, **values})


def check_magnitudes(table: Table, settings: AirlockSettings, behind: list[Table]) -> Iterator[Finding]:
    """All that is seen of figures that are no counts; ``behind``: tables given with it that tell contributions."""
    yield from _dominance(table, settings, behind)
    yield from _single_values(table)
    yield from _quantiles(table, settings)
    yield from _of_hidden_groups(table)
    for place, cell in table.figures(Kind.STATISTIC, Kind.SHARE, Kind.QUANTILE, Kind.UNKNOWN):
        if any(figure.digits > settings.digits and figure.places for figure in cell.figures):
            yield at(place, "precision", digits=settings.digits)


def _single_values(table: Table) -> Iterator[Finding]:
    for place, _ in table.figures(Kind.EXTREME):
        yield at(place, "extreme")
    for place, _ in table.figures(Kind.LARGEST, Kind.SECOND):
        yield at(place, "contribution")


def _dominance(table: Table, settings: AirlockSettings, behind: list[Table]) -> Iterator[Finding]:
    for place, cell in table.figures(Kind.SUM):
        largest, second = _contributions(table, place[0], behind)
        total = abs(float(cell.figures[0].value))
        if largest is None:
            yield at(place, "contributions-missing", Verdict.UNMEASURED)
        elif _is_dominated(total, largest, second or 0.0, settings):
            yield at(place, "dominance", share=round(100 * settings.share), p=round(100 * settings.accuracy))
        elif second is None and settings.largest > 1 and 2 * largest > total:
            yield at(place, "contributions-missing", Verdict.UNMEASURED)


def _is_dominated(total: float, largest: float, second: float, settings: AirlockSettings) -> bool:
    top = largest + (second if settings.largest > 1 else 0.0)
    return top > settings.share * total or total - largest - second < settings.accuracy * largest


def _contributions(table: Table, row: int, behind: list[Table]) -> tuple[float | None, float | None]:
    """The two largest contributions to a row's sum: in its own row, or in that of the same label in a table behind
    it."""
    for other in (table, *behind):
        rows = [row] if other is table else [each for each in other.body if other.label(each) == table.label(row)]
        values = [_value(other, each, kind) for each in rows for kind in (Kind.LARGEST, Kind.SECOND)]
        if values and values[0] is not None:
            return values[0], values[1]
    return None, None


def _value(table: Table, row: int, kind: Kind) -> float | None:
    cells = (cell for (each, _), cell in table.figures(kind) if each == row)
    return next((abs(float(cell.figures[0].value)) for cell in cells), None)


def _quantiles(table: Table, settings: AirlockSettings) -> Iterator[Finding]:
    for place, cell in table.figures(Kind.QUANTILE):
        size = _size(table, place)
        needed = settings.threshold / _tail(f"{table.names[place[1]]} {' '.join(table.label(place[0]))}", cell)
        if size is None:
            yield at(place, "size-missing", Verdict.UNMEASURED)
        elif size < needed:
            yield at(place, "quantile", needed=round(needed))


def _tail(name: str, cell: Cell) -> float:
    """The share of patients on the lesser side of a quantile, as its name says; a half for a median alone."""
    plain = fold(name)
    percents = [int(match[1]) for match in _TAIL.finditer(plain) if 0 < int(match[1]) < 100]
    if percents and re.search(r"(?<![a-z])(p|q|c)(er)?(c|centile\w*)? ?\d|percentile", plain):
        percent = min(min(value, 100 - value) for value in percents)
        return percent / 100 if percent > 4 or "percentile" in plain or re.search(r"p ?\d", plain) else 0.25
    quartile = re.search(r"(?<![a-z])(q[13]|iqr|eiq|quartiles?|interquartile)", plain) or len(cell.figures) > 1
    return 0.25 if quartile else 0.5


def _size(table: Table, place: Place) -> float | None:
    """How many patients a figure is of: the counts of its row, else the size in its column's header."""
    counts = [
        count.low
        for (row, column), count in table.counts.items()
        if row == place[0] and not count.hidden and column != place[1]
    ]
    beside = [count.low for (row, column), count in table.counts.items() if column == place[1] and not count.hidden]
    return max(counts, default=table.sizes.get(place[1]) or max(beside, default=None))


def _of_hidden_groups(table: Table) -> Iterator[Finding]:
    """A mean beside a count that is hidden for being small is a mean of few."""
    for row in table.body:
        counts = [count for (each, _), count in table.counts.items() if each == row]
        if counts and all(count.hidden for count in counts):
            for place, cell in table.figures(Kind.STATISTIC, Kind.QUANTILE, Kind.SUM, Kind.SHARE):
                if place[0] == row and cell.shape != Shape.BOUND:
                    yield at(place, "statistic-of-hidden")
