"""Hidden cells reckoned from totals: the equations of a table, and the exact bounds that they leave.

Owns the search for totals (named or not, of rows, columns, groups of rows, or in a table of one row a combination)
and the integer programme behind each bound (HiGHS through SciPy): what an attacker with pencil and paper finds is
found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import gcd, inf

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import lil_array

from erios.airlock.column_kinds import is_total
from erios.airlock.tables import Interval, Place, Table

_MOST_CELLS = 5_000
_MOST_BOUNDS = 120
_MOST_UNNAMED = 40
_LEAST_ROUNDED = 6


@dataclass(frozen=True)
class Equation:
    """``total`` is the sum of ``parts``, and of patients in none of them where ``others``; ``named``: a label says
    so."""

    total: Place
    parts: tuple[Place, ...]
    others: bool = False
    named: bool = True


@dataclass(frozen=True)
class Sums:
    """Lines (rows or columns) whose sum is another; ``named``: its label says so."""

    total: int
    parts: tuple[int, ...]
    named: bool


def rounding_of(table: Table) -> int:
    """The base to which all counts are rounded, where a title, note or header says that they are; else 1.

    Round figures alone are no proof: a table of few counts may have none but such.
    """
    shown = [int(count.low) for count in table.counts.values() if not count.hidden and count.low > 0]
    base = reduce(gcd, shown, 0)
    return base if table.says_rounded and len(set(shown)) >= _LEAST_ROUNDED and base >= 5 else 1


def equations_of(table: Table) -> list[Equation]:
    """What sums up in a table, rows and columns."""
    base = rounding_of(table)
    places = set(table.counts)
    rows = sorted({row for row, _ in places})
    columns = sorted({column for _, column in places})
    equations = []
    for sums in _sums_of_rows(table, rows):
        lines = [((sums.total, column), [(row, column) for row in sorted(sums.parts)]) for column in columns]
        equations += _accepted(table.counts, lines, sums.named, base, len(sums.parts) == len(rows) - 1)
    for sums in _sums_of_columns(table, columns):
        lines = [((row, sums.total), [(row, column) for column in sorted(sums.parts)]) for row in rows]
        equations += _accepted(table.counts, lines, sums.named, base, len(sums.parts) == len(columns) - 1)
    return list(dict.fromkeys(equations))


def _accepted(
    counts: Mapping[Place, Interval],
    lines: Sequence[tuple[Place, Sequence[Place]]],
    named: bool,
    base: int,
    whole: bool,
) -> list[Equation]:
    """The equations of parallel lines that the figures bear out: each, where it is named, else all of them or none."""
    present = [(total, [part for part in parts if part in counts]) for total, parts in lines if total in counts]
    present = [(total, parts) for total, parts in present if len(parts) > 1 or (named and parts)]
    judged = [(total, parts, _fit(counts, total, parts, base)) for total, parts in present]
    if named:
        return [Equation(total, tuple(parts), fit == "others") for total, parts, fit in judged if fit != "none"]
    if not judged or any(fit not in ("exact", "hidden") for _, _, fit in judged):
        return []
    tight = whole and all(_is_tight(counts, total, parts) for total, parts, _ in judged)
    exact = any(fit == "exact" for _, _, fit in judged)
    return [Equation(total, tuple(parts), named=False) for total, parts, _ in judged] if exact or tight else []


def _fit(counts: Mapping[Place, Interval], total: Place, parts: Sequence[Place], base: int) -> str:
    """Whether a sum holds: exactly, with hidden cells, with patients left over, or not."""
    whole, slack = counts[total], (len(parts) + 1) * (base // 2)
    shown = sum(counts[part].low for part in parts if not counts[part].hidden)
    hidden = any(counts[part].hidden for part in parts)
    if whole.hidden:
        return "hidden"
    left = whole.low - shown
    if left < -slack:
        return "none"
    if hidden:
        return "hidden"
    return "exact" if left <= slack else "others"


def _is_tight(counts: Mapping[Place, Interval], total: Place, parts: Sequence[Place]) -> bool:
    """Without a name it is a total only where what is hidden could make up for what is missing."""
    hidden = [counts[part] for part in parts if counts[part].hidden]
    left = counts[total].low - sum(counts[part].low for part in parts if not counts[part].hidden)
    return not counts[total].hidden and bool(hidden) and 0 <= left <= sum(cell.high for cell in hidden) < inf


def _sums_of_rows(table: Table, rows: Sequence[int]) -> Iterator[Sums]:
    labels = {row: table.label(row) for row in rows}
    totals = [row for row in rows if any(map(is_total, labels[row]))]
    yield from _sums_of_combinations(rows, labels)
    yield from _windows(rows, totals, _hides(table) and len(rows) <= _MOST_UNNAMED)


def _sums_of_combinations(rows: Sequence[int], labels: Mapping[int, tuple[str, ...]]) -> Iterator[Sums]:
    """A total in one label column, over the rows that agree in the others."""
    for row in rows:
        for place, label in enumerate(labels[row]):
            if len(labels[row]) > 1 and is_total(label):
                parts = tuple(
                    other
                    for other in rows
                    if _agree(labels[row], labels[other], place) and not is_total(labels[other][place])
                )
                if parts:
                    yield Sums(row, parts, True)


def _agree(labels: tuple[str, ...], others: tuple[str, ...], but: int) -> bool:
    return all(a == b for place, (a, b) in enumerate(zip(labels, others, strict=True)) if place != but)


def _windows(lines: Sequence[int], totals: Sequence[int], unnamed: bool) -> Iterator[Sums]:
    """Lines beside a total, before or after it, up to the next; all that are no totals; all that are; and, without a
    name, every stretch of lines beside another line."""
    single = [line for line in lines if line not in totals]
    for total in totals:
        place = lines.index(total)
        before = _until(lines[:place][::-1], totals)
        after = _until(lines[place + 1 :], totals)
        others = tuple(line for line in totals if line != total)
        for parts in (before, after, tuple(single), others):
            if parts:
                yield Sums(total, parts, True)
    for place, line in enumerate(lines) if unnamed else ():
        for end in range(2, len(lines)):
            for stretch in (lines[max(place - end, 0) : place], lines[place + 1 : place + 1 + end]):
                if len(stretch) == end and (end < 12 or len(stretch) == len(lines) - 1):
                    yield Sums(line, tuple(stretch), False)


def _until(lines: Sequence[int], totals: Sequence[int]) -> tuple[int, ...]:
    stop = next((place for place, line in enumerate(lines) if line in totals), len(lines))
    return tuple(lines[:stop])


def _sums_of_columns(table: Table, columns: Sequence[int]) -> Iterator[Sums]:
    totals = [column for column in columns if is_total(table.names[column])]
    yield from _windows(columns, totals, _hides(table) and len(columns) <= _MOST_UNNAMED)


def _hides(table: Table) -> bool:
    """Whether a sum could tell anything that is not shown."""
    return any(count.hidden for count in table.counts.values())


class System:
    """Numbers of patients that are known, hidden and bound to each other, as one integer programme."""

    def __init__(self, counts: Mapping[Place, Interval], equations: Sequence[Equation], base: int = 1) -> None:
        self.places = list(counts)
        self._numbers = {place: number for number, place in enumerate(self.places)}
        self._base = base
        self.equations = equations
        self._limits = [self._limit(count) for count in counts.values()]
        if not self._is_feasible():
            self._limits = [self._limit(count, bounded=False) for count in counts.values()]

    def _limit(self, count: Interval, bounded: bool = True) -> tuple[float, float]:
        """A hidden cell may be hidden for another's sake: where "<11" cannot be, it is taken for hidden alone."""
        if count.hidden:
            return (count.low, count.high) if bounded else (0, inf)
        reach = self._base // 2 if self._base > 1 else 0
        return max(count.low - reach, 0), count.high + reach

    def _programme(self, objective: Mapping[Place, float]) -> float | None:
        """The least value of a sum of cells; None where there is none."""
        size = len(self.places) + len(self.equations)
        matrix, goal = lil_array((len(self.equations), size)), np.zeros(size)
        upper = [high for _, high in self._limits] + [inf if each.others else 0.0 for each in self.equations]
        lower = [low for low, _ in self._limits] + [0.0] * len(self.equations)
        for row, equation in enumerate(self.equations):
            matrix[row, self._numbers[equation.total]] = 1
            for part in equation.parts:
                matrix[row, self._numbers[part]] = -1
            matrix[row, len(self.places) + row] = -1
        for place, weight in objective.items():
            goal[self._numbers[place]] = weight
        constraints = [LinearConstraint(matrix.tocsr(), 0, 0)] if self.equations else []
        solved = milp(goal, constraints=constraints, integrality=np.ones(size), bounds=Bounds(lower, upper))
        return None if solved.status not in (0, 3) else -inf if solved.status == 3 else float(solved.fun)

    def _is_feasible(self) -> bool:
        return self._programme({}) is not None

    def bounds(self, cells: Sequence[Place]) -> Interval | None:
        """Between what numbers the patients of these cells together lie; None where nothing fits."""
        low = self._programme(dict.fromkeys(cells, 1.0))
        high = self._programme(dict.fromkeys(cells, -1.0))
        return None if low is None or high is None else Interval(round(low), inf if high == -inf else round(-high))


def recoverable(
    counts: Mapping[Place, Interval], equations: Sequence[Equation], threshold: int, base: int = 1
) -> Iterator[tuple[Place, Interval]]:
    """Hidden cells, and hidden cells together, that lie within bounds which ``is_disclosed`` refuses.

    Sums that no label names may be chance: they are tried beside those that one does, which are tried alone first.
    """
    telling = [each for each in equations if _tells(counts, each)]
    named = [each for each in telling if each.named]
    yield from _recovered(counts, named, threshold, base)
    if len(named) < len(telling):
        yield from _recovered(counts, telling, threshold, base)


def _recovered(
    counts: Mapping[Place, Interval], telling: Sequence[Equation], threshold: int, base: int
) -> Iterator[tuple[Place, Interval]]:
    linked = {place for each in telling for place in (each.total, *each.parts)}
    if not telling or len(linked) > _MOST_CELLS:
        return
    system = System({place: counts[place] for place in linked}, telling, base)
    targets: list[tuple[Place, ...]] = [(place,) for place in sorted(linked) if counts[place].hidden]
    groups = (tuple(part for part in each.parts if counts[part].hidden) for each in telling)
    targets += [hidden for hidden in groups if len(hidden) > 1]
    if len(targets) > _MOST_BOUNDS:
        yield targets[0][0], Interval(0, 0)  # too many to reckon: nobody knows what they tell
        return
    for cells in dict.fromkeys(targets):
        interval = system.bounds(cells)
        if interval is not None and is_disclosed(interval, threshold):
            yield cells[0], interval
    yield from _left_over(counts, telling, threshold, base)


def _left_over(
    counts: Mapping[Place, Interval], equations: Sequence[Equation], threshold: int, base: int
) -> Iterator[tuple[Place, Interval]]:
    """A line left out of a table stands in its total: patients in none of the lines that are shown."""
    for equation in equations:
        if equation.others and not any(counts[place].hidden for place in (equation.total, *equation.parts)):
            reach = (len(equation.parts) + 1) * (base // 2)
            left = counts[equation.total].low - sum(counts[part].low for part in equation.parts)
            interval = Interval(max(left - reach, 0), left + reach)
            if is_disclosed(interval, threshold):
                yield equation.total, interval


def _tells(counts: Mapping[Place, Interval], equation: Equation) -> bool:
    return equation.others or any(counts[place].hidden for place in (equation.total, *equation.parts))


def is_disclosed(interval: Interval, threshold: int) -> bool:
    """Below the threshold and known better than "fewer than the threshold" says, with or without the zero."""
    return interval.high < threshold and interval.high - interval.low < threshold - 2
