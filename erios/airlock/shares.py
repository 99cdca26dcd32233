"""Counts behind shares: what a percentage tells where its denominator is at hand, or can be guessed.

Owns the search for denominators: in the same row, in headers, titles and notes, and the smallest number that explains
all shares of a column. Source of the bound: a share written with d decimals lies within half a unit of its last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor

from erios.airlock.cells import Cell, Figure, Shape, fold
from erios.airlock.column_kinds import Kind, sizes_in
from erios.airlock.tables import Interval, Place, Table

_MOST_GUESSED = 400
_BY_CHANCE = 0.01
_ALMOST = 1e-9
_MEAN = re.compile(r"mean|moy|avg|average")
_PER = re.compile(r"(?:pour|per|/)\s*(1 ?000 ?000|100 ?000|10 ?000|1 ?000|mille)")


@dataclass(frozen=True)
class Share:
    """A share in a cell: between ``low`` and ``high``, of 1."""

    place: Place
    low: float
    high: float

    def of(self, low: float, high: float) -> Interval | None:
        """Whole numbers of patients that it may be of a denominator; None where there is none."""
        least, most = max(ceil(self.low * low - _ALMOST), 0), min(floor(self.high * high + _ALMOST), high)
        return Interval(least, most) if least <= most else None


def share_of(place: Place, figure: Figure, percent: bool) -> Share:
    """A figure as a share."""
    return _in_unit(place, figure, 100.0 if percent or figure.percent else 1.0)


def counts_behind(table: Table) -> Iterator[tuple[Place, Interval]]:
    """What whoever reads the table can reckon of the patients behind each share, and of those beside them."""
    cells: dict[int, list[tuple[Place, Cell]]] = {}
    for place, cell in table.figures(Kind.SHARE, Kind.STATISTIC):
        cells.setdefault(place[1], []).append((place, cell))
    for column, beside in cells.items():
        shares = _shares_in(table, column, beside)
        if not shares:
            continue
        numerators = [each for each in _count_columns(table) if _is_numerator(table, shares, each)]
        for counts in numerators:
            yield from _complements(table, shares, counts)
        if not numerators:
            yield from _of_denominators(table, column, shares)
    yield from _beside_counts(table)


def _shares_in(table: Table, column: int, all_cells: Sequence[tuple[Place, Cell]]) -> list[Share]:
    """The shares of a column, bounds as ">95 %" among them; a mean between 0 and 1 may be a share of yes and no."""
    means = _MEAN.search(fold(table.names[column])) is not None
    kinds = (Kind.SHARE, Kind.STATISTIC) if means else (Kind.SHARE,)
    shapes = (Shape.NUMBER, Shape.BOUND)
    cells = [(place, cell) for place, cell in all_cells if table.kind(*place) in kinds and cell.shape in shapes]
    figures = [cell.figures[0] for _, cell in cells]
    if means and not all(0 <= figure.value <= 1 for figure in figures):
        return []
    unit = 1.0 if all(figure.value <= 1 and not figure.percent for figure in figures) else 100.0
    named = _PER.search(fold(table.names[column]))
    unit = float(re.sub(r"\D", "", named[1]) or 1000) if named else unit
    return [
        Share(place, cell.low / unit, min(cell.high / unit, 1.0))
        if cell.shape == Shape.BOUND
        else _in_unit(place, cell.figures[0], unit)
        for place, cell in cells
    ]


def _in_unit(place: Place, figure: Figure, unit: float) -> Share:
    value = float(figure.value)
    return Share(place, (value - figure.half) / unit, (value + figure.half) / unit)


def _count_columns(table: Table) -> list[int]:
    return sorted({column for (_, column), count in table.counts.items() if not count.hidden})


def _count(table: Table, row: int, column: int) -> float | None:
    count = table.counts.get((row, column))
    return count.low if count and not count.hidden and count.low > 0 else None


def _is_numerator(table: Table, shares: Sequence[Share], column: int) -> bool:
    """Whether the counts are the shares' numerators: one denominator explains all rows, and they differ."""
    pairs = [(share, count) for share in shares if (count := _count(table, share.place[0], column)) is not None]
    if len({count for _, count in pairs}) < 2:
        return False
    low, high = _denominator(pairs)
    return floor(high) >= ceil(low)


def _denominator(pairs: Sequence[tuple[Share, float]]) -> tuple[float, float]:
    low = max(count / share.high for share, count in pairs if share.high > 0)
    high = min(count / share.low if share.low > 0 else 1e12 for share, count in pairs)
    return low - _ALMOST, high + _ALMOST


def _complements(table: Table, shares: Sequence[Share], column: int) -> Iterator[tuple[Place, Interval]]:
    """Everybody but those of the row, where the shares tell how many there are; rows whose own count is hidden too."""
    pairs = [(share, count) for share in shares if (count := _count(table, share.place[0], column)) is not None]
    low, high = _denominator(pairs)
    for share, count in pairs:
        if ceil(low) - count > 0:
            yield share.place, Interval(ceil(low) - count, floor(high) - count)
    for share in shares:
        hidden = table.counts.get((share.place[0], column))
        if hidden is not None and hidden.hidden and (interval := share.of(ceil(low), floor(high))):
            yield share.place, interval


def _of_denominators(table: Table, column: int, shares: Sequence[Share]) -> Iterator[tuple[Place, Interval]]:
    """With each denominator at hand; with the least that explains all rows where there is none."""
    candidates = list(_candidates(table, column, shares))
    if not candidates and (guessed := guess_denominator(shares)):
        candidates = [dict.fromkeys((share.place[0] for share in shares), guessed)]
    for sizes in candidates:
        for share in shares:
            size = sizes.get(share.place[0])
            if size and (interval := share.of(size, size)):
                yield share.place, interval
                yield share.place, Interval(size - interval.high, size - interval.low)


def _candidates(table: Table, column: int, shares: Sequence[Share]) -> Iterator[dict[int, float]]:
    rows = [share.place[0] for share in shares]
    for counts in _count_columns(table):
        sizes = {row: count for row in rows if (count := _count(table, row, counts)) is not None}
        if sizes:
            yield sizes
    if column in table.sizes:
        yield dict.fromkeys(rows, float(table.sizes[column]))
    for size in sizes_in(table.notes):
        yield dict.fromkeys(rows, float(size))
    for row in rows:
        for size in (size for label in table.label(row) for size in sizes_in(label)):
            yield {row: float(size)}


def guess_denominator(shares: Sequence[Share]) -> int | None:
    """The least number of patients of which all shares may be, where few numbers would fit by chance."""
    informative = [share for share in shares if share.low > 0 and share.high < 1]
    if not informative:
        return None
    for size in range(2, _MOST_GUESSED):
        chance = 1.0
        for share in informative:
            chance *= min(1.0, size * (share.high - share.low))
        if size * chance > _BY_CHANCE:
            return None
        if all(share.of(size, size) for share in informative):
            return size
    return None


def _beside_counts(table: Table) -> Iterator[tuple[Place, Interval]]:
    """Cells with a count and its share, as "115 (95.8 %)", and ratios: those who are not counted."""
    for (row, column), cell in table.figures(Kind.COUNT, Kind.STRUCTURAL, Kind.SHARE, Kind.UNKNOWN):
        if cell.shape == Shape.RATIO and all(figure.is_whole for figure in cell.figures):
            count, size = (float(figure.value) for figure in cell.figures)
            yield (row, column), Interval(size, size)
            if size > count:
                yield (row, column), Interval(size - count, size - count)
        elif cell.shape == Shape.TWO and (row, column) in table.counts:
            yield from _of_pair((row, column), cell.figures, table.sizes.get(column))


def _of_pair(place: Place, figures: Sequence[Figure], size: int | None) -> Iterator[tuple[Place, Interval]]:
    count, share = float(figures[0].value), share_of(place, figures[1], percent=True)
    if share.high > 1 + _ALMOST + figures[1].half / 100 or count == 0:
        return
    low, high = _denominator([(share, count)])
    low, high = (size, size) if size else (max(ceil(low), count), floor(high))
    if low - count > 0 and high >= low:
        yield place, Interval(low - count, high - count)
