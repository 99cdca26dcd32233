"""What a grid says: its tables, their headers and labels, and what each figure is.

Owns the reading of structure; a grid may hold several tables, titles and notes, headers of several rows with merged
cells, and totals anywhere. It must not judge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from math import inf

from erios.airlock.cells import Cell, Figure, Shape, fold, read_cell
from erios.airlock.column_kinds import Kind, declared_kind, is_total, kind_of_name, names_rows, sizes_in
from erios.airlock.grids import Grid

Place = tuple[int, int]
"""(row, column) in the grid, from 0."""
_MEASURES = (Kind.STATISTIC, Kind.QUANTILE, Kind.EXTREME, Kind.SUM, Kind.LARGEST, Kind.SECOND)
_YEAR = re.compile(r"(?:19|20)\d\d")
_DECIMAL_COMMA = re.compile(r"(?<![\d.,])\d+,(?:\d{1,2}|\d{4,})(?![\d,])")
_DECIMAL_POINT = re.compile(r"(?<![\d.,])\d+\.(?:\d{1,2}|\d{4,})(?![\d.])")


@dataclass(frozen=True)
class Interval:
    """What whoever reads a table knows of a number of patients."""

    low: float
    high: float = inf
    hidden: bool = False
    structural: bool = False

    def plus(self, other: Interval) -> Interval:
        """Of both together."""
        return Interval(self.low + other.low, self.high + other.high)


@dataclass(frozen=True)
class Table:
    """One table of a grid: ``rows`` of its body, ``headers`` rows above, ``labels`` columns, in the grid's numbers."""

    grid: Grid
    headers: tuple[int, ...]
    rows: tuple[int, ...]
    columns: Mapping[str, str] = field(default_factory=dict, repr=False)
    notes: str = ""
    follows: bool = False
    """No blank row stands between it and the table above: where one ends and the other begins is a guess."""

    @cached_property
    def width(self) -> int:
        """Columns."""
        return max((len(self.grid[row]) for row in (*self.headers, *self.rows)), default=0)

    @cached_property
    def decimal_comma(self) -> bool:
        """Whether its decimals have a comma."""
        texts = [self.text(row, column) for row in self.rows for column in range(self.width)]
        commas = sum(1 for text in texts if _DECIMAL_COMMA.search(text))
        return commas > sum(1 for text in texts if _DECIMAL_POINT.search(text))

    def text(self, row: int, column: int) -> str:
        """A cell as it stands in the file; empty beyond the end of its row."""
        cells = self.grid[row]
        return cells[column] if column < len(cells) else ""

    def cell(self, row: int, column: int) -> Cell:
        """A cell, read."""
        return read_cell(self.text(row, column), self.decimal_comma)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The headers of each column, merged ones carried on to the right."""
        parts: list[list[str]] = [[] for _ in range(self.width)]
        for row in self.headers:
            carried = ""
            for column in range(self.width):
                carried = self.text(row, column).strip() or (carried if len(self.headers) > 1 else "")
                parts[column].append(carried)
        return tuple(" ".join(filter(None, name)) for name in parts)

    @cached_property
    def labels(self) -> tuple[int, ...]:
        """The columns that say what a row is."""
        labels = [column for column in range(self.width) if self._is_label(column)]
        if len(labels) == self.width > 1:
            labels = [column for column in labels if not self._has_numbers(column)] or labels[:1]
        return tuple(labels)

    def _counts_up(self, column: int) -> bool:
        """Numbers that tell rows apart rise, or begin again."""
        figures = [cell.figures[0].value for row in self.rows if (cell := self.cell(row, column)).figures]
        steps = [after - before for before, after in pairwise(figures)]
        return sum(step < 0 for step in steps) * 4 <= len(steps)

    def _has_numbers(self, column: int) -> bool:
        shapes = [self.cell(row, column).shape for row in self.rows]
        return 2 * sum(shape == Shape.NUMBER for shape in shapes) > len(shapes)

    def label(self, row: int) -> tuple[str, ...]:
        """What a row is: a text a label column, with the heading that stands above it in the first."""
        filled = self._filled.get(row, {})
        return tuple(filled.get(column, "") for column in self.labels)

    @cached_property
    def _filled(self) -> dict[int, dict[int, str]]:
        """Labels by row; a blank one below another is merged with it, a heading goes before those that follow."""
        filled: dict[int, dict[int, str]] = {}
        above: dict[int, str] = {}
        heading = ""
        for row in self.rows:
            if self._is_heading(row):
                heading = self.text(row, 0).strip() if self.labels else ""
                continue
            own = {column: self.text(row, column).strip() for column in self.labels}
            above = {
                column: text or (above.get(column, "") if len(self.labels) > 1 and column != self.labels[-1] else "")
                for column, text in own.items()
            }
            filled[row] = {column: fold(text) for column, text in above.items()}
            if heading and self.labels:
                filled[row][self.labels[0]] = fold(f"{heading} {filled[row][self.labels[0]]}")
        return filled

    @cached_property
    def body(self) -> tuple[int, ...]:
        """Rows with figures."""
        return tuple(row for row in self.rows if not self._is_heading(row))

    def _is_heading(self, row: int) -> bool:
        cells = [self.text(row, column).strip() for column in range(self.width)]
        return self.width > 2 and bool(cells[0]) and not any(cells[1:]) and self.cell(row, 0).shape == Shape.WORDS

    def _is_label(self, column: int) -> bool:
        kind = declared_kind(self.names[column], self.columns)
        if kind is not None:
            return kind == Kind.LABEL and (column == 0 or not self._has_numbers(column) or self._counts_up(column))
        cells = [self.cell(row, column) for row in self.rows if self.text(row, column).strip()]
        shapes = [cell.shape for cell in cells]
        words = sum(cell.shape == Shape.WORDS and _is_wordy(cell) for cell in cells)
        named = kind_of_name(self.names[column])
        if 2 * words > len(cells):
            return True
        if named not in (Kind.LABEL, None):
            return column == 0 and words > 0 and words * 3 >= len(cells) and named != Kind.COUNT
        ranges = sum(shape in (Shape.BOUND, Shape.WORDS) for shape in shapes)
        if 2 * ranges >= len(cells) and cells and (column == 0 or names_rows(self.names[column])):
            return True
        return names_rows(self.names[column]) or (column == 0 and named is None and self._is_index(cells))

    def _is_index(self, cells: list[Cell]) -> bool:
        """0, 1, 2 … or years, or 1 to n: what pandas writes before a row."""
        values = [cell.figures[0].value for cell in cells if cell.shape == Shape.NUMBER]
        if len(values) != len(cells) or len(cells) < 2 or self.width < 2:
            return False
        first = values[0]
        counted = all(value == first + place for place, value in enumerate(values)) and first in (0, 1)
        years = all(1900 <= value <= 2100 and value.as_tuple().exponent == 0 for value in values)
        return counted or (years and len(set(values)) == len(values))

    @cached_property
    def _kinds(self) -> dict[Place, Kind]:
        return {}

    def kind(self, row: int, column: int) -> Kind:
        """What the figures of a cell are."""
        if (row, column) not in self._kinds:
            self._kinds[row, column] = self._judged_kind(row, column)
        return self._kinds[row, column]

    def _judged_kind(self, row: int, column: int) -> Kind:
        declared = self._declared(row, column)
        if declared is not None:
            return declared
        by_column, by_row = self.column_kinds[column], self._row_kind(row)
        cell = self.cell(row, column)
        if cell.shape in (Shape.NUMBER, Shape.BOUND) and any(figure.percent for figure in cell.figures):
            return Kind.SHARE
        named = self._named(by_column, by_row)
        if named == Kind.LABEL:
            return Kind.COUNT if self._whole(column) or self._whole_row(row) else Kind.UNKNOWN
        if named in (Kind.STATISTIC, Kind.SHARE, Kind.SUM) and self._looks_counted(row, column, named):
            return Kind.COUNT
        if named == Kind.COUNT and cell.shape == Shape.NUMBER and not cell.figures[0].is_whole:
            return Kind.UNKNOWN
        if named is not None:
            return named
        return Kind.COUNT if self._whole(column) or self._whole_row(row) else Kind.UNKNOWN

    def _declared(self, row: int, column: int) -> Kind | None:
        """A declaration holds for a column, or a row of a table that stands on its side; not against a count's name."""
        if not self.columns:
            return None
        names = (self.names[column], self.column_kinds[column]), (self._first(row), self._row_kind(row))
        for name, named in names:
            kind = declared_kind(name, self.columns)
            if kind is not None and not (kind == Kind.LABEL and column not in self.labels):
                lied = kind == Kind.STATISTIC and self._looks_counted(row, column, kind)
                counted = kind != Kind.STRUCTURAL and (named == Kind.COUNT or lied)
                return Kind.COUNT if counted else kind
        return None

    def _first(self, row: int) -> str:
        return self.text(row, self.labels[0]).strip() if self.labels else ""

    @cached_property
    def column_kinds(self) -> tuple[Kind | None, ...]:
        """What each header says its figures are."""
        return tuple(kind_of_name(name) for name in self.names)

    def _row_kind(self, row: int) -> Kind | None:
        kinds = [kind_of_name(label) for label in self.label(row)]
        return next(
            (kind for kind in kinds if kind not in (None, Kind.LABEL, Kind.EXTREME, Kind.QUANTILE)), None
        ) or next((kind for kind in kinds if kind is not None), None)

    def _named(self, by_column: Kind | None, by_row: Kind | None) -> Kind | None:
        """A row's name counts where the column has none, or where it is of no count."""
        by_column = None if by_column == Kind.LABEL and by_row != Kind.LABEL else by_column
        if by_column in (None, Kind.COUNT) and by_row in (*_MEASURES, Kind.SHARE):
            return by_row if by_column is None or by_row in (Kind.STATISTIC, Kind.QUANTILE, Kind.EXTREME) else by_column
        if by_column is None and by_row == Kind.LABEL:
            return None
        return by_row if by_column is None else by_column

    def _whole(self, column: int) -> bool:
        return self._whole_columns[column]

    def _whole_row(self, row: int) -> bool:
        return self._whole_rows[row]

    @cached_property
    def _whole_columns(self) -> tuple[bool, ...]:
        return tuple(_are_whole(self.cell(row, column) for row in self.body) for column in range(self.width))

    @cached_property
    def _whole_rows(self) -> dict[int, bool]:
        figures = [column for column in range(self.width) if column not in self.labels]
        return {row: _are_whole(self.cell(row, column) for column in figures) for row in self.rows}

    def _looks_counted(self, row: int, column: int, kind: Kind) -> bool:
        """Nothing but whole numbers, written as such, under the name of something else: small counts go by any name."""
        cells = [self.cell(each, column) for each in self.rows]
        if self._named(None, self._row_kind(row)) == kind and self.column_kinds[column] != kind:
            cells = [self.cell(row, each) for each in range(self.width) if each not in self.labels]
        figures = [cell.figures[0] for cell in cells if cell.shape == Shape.NUMBER]
        return (
            bool(figures)
            and kind == Kind.STATISTIC
            and all(not figure.places and not figure.percent for figure in figures)
        )

    @cached_property
    def counts(self) -> dict[Place, Interval]:
        """What is known of each number of patients in it, as far as its own cell tells."""
        counts = {}
        for row in self.body:
            for column in range(self.width):
                if column not in self.labels:
                    interval = _count(self.cell(row, column), self.kind(row, column))
                    if interval is not None:
                        counts[row, column] = interval
        return counts

    def figures(self, *kinds: Kind) -> Iterator[tuple[Place, Cell]]:
        """Cells of these kinds that hold figures."""
        for row in self.body:
            for column in range(self.width):
                if column not in self.labels and self.cell(row, column).figures and self.kind(row, column) in kinds:
                    yield (row, column), self.cell(row, column)

    @cached_property
    def says_rounded(self) -> bool:
        """Whether its author says that the counts are rounded."""
        return re.search(r"arrondi|rounded", fold(" ".join((self.notes, *self.names)))) is not None

    @cached_property
    def sizes(self) -> dict[int, int]:
        """Numbers of patients in a column's header, "(n = 120)"."""
        return {column: sizes[-1] for column, name in enumerate(self.names) if (sizes := sizes_in(name))}

    def is_total_row(self, row: int) -> bool:
        """Whether one of its labels says so."""
        return any(is_total(label) for label in self.label(row))


def _is_wordy(cell: Cell) -> bool:
    """Letters, and not around one number alone."""
    return any(map(str.isalpha, cell.text)) and not _holds_count(cell)


def _holds_count(cell: Cell) -> bool:
    """Words around one small number, as "3 patients"."""
    return bool(re.match(r"\s*[~≈]?\s*\d[\d ]*(?:\s*[a-zé]+)?\s*$", cell.text))


def _are_whole(cells: Iterator[Cell]) -> bool:
    figures = [figure for cell in cells if cell.shape in (Shape.NUMBER, Shape.TWO) for figure in cell.figures[:1]]
    return all(figure.is_whole and not figure.percent for figure in figures)


def _count(cell: Cell, kind: Kind) -> Interval | None:
    """The number of patients in a cell, if it has one."""
    structural = kind == Kind.STRUCTURAL
    if cell.shape == Shape.RATIO:
        return _exact(cell.figures[0]) if all(figure.is_whole for figure in cell.figures) else None
    if kind not in (Kind.COUNT, Kind.STRUCTURAL):
        return None
    match cell.shape:
        case Shape.NUMBER | Shape.TWO:
            return (
                Interval(*_exact_bounds(cell.figures[0]), structural=structural) if cell.figures[0].is_whole else None
            )
        case Shape.BOUND:
            return Interval(cell.low, cell.high, hidden=True)
        case Shape.HIDDEN | Shape.EMPTY:
            return Interval(0, inf, hidden=True)
        case Shape.WORDS if cell.figures and _holds_count(cell):
            return _exact(cell.figures[0])
    return None


def _exact_bounds(figure: Figure) -> tuple[float, float]:
    return abs(float(figure.value)), abs(float(figure.value))


def _exact(figure: Figure) -> Interval:
    return Interval(*_exact_bounds(figure))


def tables_of(grid: Grid, columns: Mapping[str, str] | None = None) -> list[Table]:
    """The tables of a grid: parted by blank rows, and where a row of headers follows a body."""
    notes = "\n".join(
        text for row in grid if sum(1 for cell in row if cell.strip()) == 1 for text in row if text.strip()
    )
    blocks = list(_blocks(grid))
    return [
        replace(_table(grid, block, columns or {}, notes), follows=place > 0 and blocks[place - 1][-1] == block[0] - 1)
        for place, block in enumerate(blocks)
    ]


def _blocks(grid: Grid) -> Iterator[list[int]]:
    block: list[int] = []
    for number, row in enumerate(grid):
        is_new = bool(block) and _is_header(row) and any(_has_figure(grid[before]) for before in block)
        if not any(cell.strip() for cell in row) or is_new:
            if block:
                yield block
            block = []
        if any(cell.strip() for cell in row):
            block.append(number)
    if block:
        yield block


def _is_header(row: tuple[str, ...]) -> bool:
    """Two texts or more, no figure, and nothing that stands for a hidden one."""
    filled = [cell for cell in row if cell.strip()]
    plain = not any(letter.isdigit() for cell in row[1:] for letter in cell)
    return len(filled) > 1 and plain and all(read_cell(cell).shape == Shape.WORDS for cell in filled)


def _has_figure(row: tuple[str, ...]) -> bool:
    return any(read_cell(cell).shape in (Shape.NUMBER, Shape.TWO, Shape.RATIO) for cell in row)


def _table(grid: Grid, block: list[int], columns: Mapping[str, str], notes: str) -> Table:
    """Rows above the first with a figure are headers, and so is a first row of years or names."""
    first = next((place for place, row in enumerate(block) if _has_figure(grid[row])), len(block))
    if first == len(block):
        first = 1  # no plain figure anywhere: whatever stands below a row of headers is looked at
    if first == 0 and len(block) > 1 and _is_row_of_names(grid[block[0]], grid[block[1]]):
        first = 1
    while first > 1 and _is_body(grid[block[first - 1]]):
        first -= 1
    first = max(first, 1) if first and not _is_body(grid[block[0]]) else first
    return Table(grid, tuple(block[:first]), tuple(block[first:]), columns, notes)


def _is_body(row: tuple[str, ...]) -> bool:
    """Only hidden cells beside its label, or a label alone: no header."""
    shapes = [read_cell(cell).shape for cell in row[1:] if cell.strip()]
    return bool(shapes) and all(shape in (Shape.HIDDEN, Shape.BOUND) for shape in shapes) and bool(row[0].strip())


def _is_row_of_names(row: tuple[str, ...], after: tuple[str, ...]) -> bool:
    """Years over figures that are none, or a text beside them where the next row has a figure below."""
    filled = [cell.strip() for cell in row if cell.strip()]
    numbers = [cell for cell in filled if read_cell(cell).shape == Shape.NUMBER]
    years = bool(numbers) and all(_YEAR.fullmatch(cell) for cell in numbers)
    below = [cell.strip() for cell in after if read_cell(cell).shape == Shape.NUMBER]
    return years and not all(_YEAR.fullmatch(cell) for cell in below)
