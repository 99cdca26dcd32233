"""What the catalogue shows of a table's columns: how full each is, and a picture of what lies in it.

Owns the rules that keep small groups out of it. Whoever reads the catalogue learns rounded shares, of cells in each of
which at least ``threshold`` patients are; a cell with fewer is drawn into its neighbour, or left out with the whole
that it could be reckoned from. Shares are rounded so that a step is at least twice the threshold of patients:
crossed with noisy counts they say no more than those. A rare value, the first and the last of an order, or a true count
must never leave this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import floor, log10
from typing import TYPE_CHECKING, Any

from erios.extracts.generalisation.columns import Kind, kind_of
from erios.extracts.specification import PATIENT_KEY
from etl.sql import literal

if TYPE_CHECKING:
    from etl.tables import WarehouseTable
    from etl.views import Column

VALUES, BINS, TAIL = 8, 12, 0.02
"""Values that are named, bins of a number's picture, and the share at each end of it that is one open bin."""
STEPS = (1, 2, 5, 10, 20, 25, 50)
"""Percents that shares may be rounded to multiples of."""
SILENT = (Kind.KEY, Kind.NOTHING)


@dataclass(frozen=True)
class Bar:
    """A cell of a picture and its share of the filled rows shown, in percent; ``where``: SQL of its rows, empty of the
    cell of all other values."""

    label: str
    share: int
    where: str = ""


@dataclass(frozen=True)
class ColumnProfile:
    """``filled``: percent of rows with a value, None if unknown; 0 and 100 also stand for "hardly" and "nearly always".

    ``step``: what all shares are rounded to. ``ordered``: the bars are in the order of the values, else the largest
    first.
    """

    filled: int | None = None
    step: int = 1
    ordered: bool = False
    bars: tuple[Bar, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_profile(raw: Mapping[str, Any]) -> ColumnProfile:
    """A profile from what ``to_dict`` made of it."""
    return ColumnProfile(**{**raw, "bars": tuple(Bar(**bar) for bar in raw["bars"])})


@dataclass(frozen=True)
class Cell:
    """Rows between two labels; ``patients``: at least so many different ones are in it; ``where``: SQL of the rows."""

    low: str
    high: str
    rows: int
    patients: int
    where: str = ""


def profile_table(table: WarehouseTable, relation: Any, threshold: int) -> dict[str, ColumnProfile]:
    """Column → profile, of a DuckDB relation of the table's rows; rows of no patient count each for one."""
    who = f'"{PATIENT_KEY}"'
    if PATIENT_KEY not in table.column_types():
        relation, who = relation.project("*, row_number() OVER () AS _row"), "_row"
    return {column.name: _profile(table.name, column, relation, who, threshold) for column in table.view.columns}


def _profile(table: str, column: Column, rows: Any, who: str, threshold: int) -> ColumnProfile:
    filled, step = _filled(column.name, rows, who, threshold)
    kind = kind_of(table, column)
    if not filled or column.collection or column.privacy == "drop-unless-extract" or kind in SILENT:
        return ColumnProfile(filled, step)
    if kind in (Kind.DATE, Kind.BIRTH):
        return ColumnProfile(filled, step, True, _ends_open(_years(column.name, rows, who, threshold), threshold, step))
    if kind in (Kind.NUMBER, Kind.AGE):
        return ColumnProfile(filled, step, True, _ends_open(_bins(column.name, rows, who, threshold), threshold, step))
    return ColumnProfile(filled, step, False, _values(column.name, rows, who, threshold, step))


def _filled(name: str, rows: Any, who: str, threshold: int) -> tuple[int | None, int]:
    """Percent of rows with a value, and the step; a difference of fewer than ``threshold`` patients is none."""
    empty = f'"{name}" IS NULL'
    counts = f'count(*), count("{name}"), count(DISTINCT {who})'
    sql = f"{counts}, count(DISTINCT {who}) FILTER (NOT {empty}), count(DISTINCT {who}) FILTER ({empty})"
    total, with_value, patients, having, lacking = rows.aggregate(sql).fetchall()[0]
    if patients < threshold:
        return None, STEPS[-1]
    step = step_of(min(having, patients) or patients, threshold)
    if having < threshold:
        return 0, step
    return (100, step) if lacking < threshold else (rounded(with_value, total, step), step)


def step_of(patients: int, threshold: int) -> int:
    """The finest rounding whose step is twice the threshold of so many patients."""
    return next((step for step in STEPS if step * patients >= 200 * threshold), STEPS[-1])


def rounded(part: int, whole: int, step: int) -> int:
    """A share in percent, to a multiple of ``step``."""
    return step * round(100 * part / whole / step)


def _grouped(rows: Any, label: str, who: str, where: str) -> list[tuple[Any, int, int]]:
    """(label, rows, patients) by label, in its order."""
    groups = (
        rows.filter(where)
        .project(f"{label} AS label, {who} AS who")
        .aggregate("label, count(*) AS n, count(DISTINCT who) AS patients", "label")
    )
    return list(groups.order("label").fetchall())


def _years(name: str, rows: Any, who: str, threshold: int) -> list[Cell]:
    """By year, or by decade where no year is many people's."""
    for digits in (4, 3):
        label = f'left("{name}"::VARCHAR, {digits})'
        groups = _grouped(rows, label, who, f'"{name}" IS NOT NULL')
        cells = [
            Cell(f"{year:0<4}", f"{year:9<4}", n, patients, f"{label} = {literal(year)}")
            for year, n, patients in groups
        ]
        if len(absorbed(cells, threshold)) > 1:
            break
    return cells


def _bins(name: str, rows: Any, who: str, threshold: int) -> list[Cell]:
    """Twelve bins between rounded quantiles; the first and the last hold all that lies beyond."""
    sql = f'quantile_cont("{name}"::DOUBLE, [{TAIL}, {1 - TAIL}]), count(DISTINCT {who}) FILTER ("{name}" IS NOT NULL)'
    bounds, patients = rows.aggregate(sql).fetchall()[0]
    if bounds is None or patients < 2 * threshold:
        return []
    low, high = (_figures(float(bound)) for bound in bounds)
    if high <= low:
        return []
    step = (high - low) / BINS
    bin_index = f'least({BINS - 1}, greatest(0, floor(("{name}"::DOUBLE - {low}) / {step})))::INTEGER'
    groups = _grouped(rows, bin_index, who, f'"{name}" IS NOT NULL')
    edges = [f"{_figures(low + n * step, 3):g}" for n in range(BINS + 1)]
    return [
        Cell(edges[n], edges[n + 1], rows_in, patients_in, f"{bin_index} = {n}") for n, rows_in, patients_in in groups
    ]


def _figures(value: float, digits: int = 2) -> float:
    """With so many figures that count: a quantile is somebody's value."""
    return round(value, digits - 1 - floor(log10(abs(value)))) if value else 0.0


def _ends_open(cells: Sequence[Cell], threshold: int, step: int) -> tuple[Bar, ...]:
    """Bars of ordered cells, each with one in it that is large enough by itself; the ends name no first and no last."""
    groups = absorbed(cells, threshold)
    if len(groups) < 2:
        return ()
    first, last = groups[0], groups[-1]
    labels = [f"≤ {first.high}", *(_between(cell) for cell in groups[1:-1]), f"≥ {last.low}"]
    return _bars(labels, [cell.rows for cell in groups], [cell.where for cell in groups], step)


def _between(cell: Cell) -> str:
    return cell.low if cell.low == cell.high else f"{cell.low}–{cell.high}"


def absorbed(cells: Iterable[Cell], threshold: int) -> list[Cell]:
    """Ordered cells, each small one drawn into the one before it (those at the beginning: into the first large one)."""
    groups: list[Cell] = []
    for cell in cells:
        if groups and min(groups[-1].patients, cell.patients) < threshold:
            groups.append(_joined(groups.pop(), cell))
        else:
            groups.append(cell)
    return groups if groups and groups[-1].patients >= threshold else []


def _joined(before: Cell, cell: Cell) -> Cell:
    """Of two cells, at least as many patients as are in the larger one: some may be in both."""
    where, patients = f"{before.where} OR {cell.where}", max(before.patients, cell.patients)
    return Cell(before.low, cell.high, before.rows + cell.rows, patients, where)


def _values(name: str, rows: Any, who: str, threshold: int, step: int) -> tuple[Bar, ...]:
    """The commonest values, and one bar for all others where they are many people's."""
    groups = _grouped(rows, f'"{name}"::VARCHAR', who, f'"{name}" IS NOT NULL')
    common = sorted((group for group in groups if group[2] >= threshold), key=lambda group: (-group[1], group[0]))[
        :VALUES
    ]
    named = {label for label, _rows, _patients in common}
    rest = [group for group in groups if group[0] not in named]
    labels, counts = [label for label, _rows, _patients in common], [n for _label, n, _patients in common]
    wheres = [f'"{name}"::VARCHAR = {literal(label)}' for label in labels]
    if labels and max((patients for _label, _rows, patients in rest), default=0) >= threshold:
        labels, counts = [*labels, "…"], [*counts, sum(n for _label, n, _patients in rest)]
        wheres = [*wheres, ""]
    return _bars(labels, counts, wheres, step)


def _bars(labels: Sequence[str], counts: Sequence[int], wheres: Sequence[str], step: int) -> tuple[Bar, ...]:
    whole = sum(counts)
    return tuple(
        Bar(label, rounded(n, whole, step), where) for label, n, where in zip(labels, counts, wheres, strict=True)
    )
