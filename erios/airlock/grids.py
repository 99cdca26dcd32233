"""A table's cells as they stand in the file: rows of texts, whatever separates them.

Owns the readers of delimited text and of the JSON shapes that are tables, and the search for tables in texts. It must
not judge: every cell of the file is in the grid, notes and titles included.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeAlias

from erios.airlock.cells import Shape, read_cell

Grid: TypeAlias = tuple[tuple[str, ...], ...]
SEPARATORS = "\t;|,"
_RULE = re.compile(r"[\s|:+=\-]*")
_COLUMNS = re.compile(r"\s{2,}|\t")
MOST_CELLS = 200_000


def read_grid(content: bytes) -> Grid | None:
    """The cells of a table, delimited or JSON, row by row, as a page shows them; None where it is none."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return grid_of_json(text) if text.lstrip()[:1] in ("{", "[") else grid_of_text(text)


def grid_of_text(text: str, *, least: float = 0.5) -> Grid | None:
    """A delimited table: at least this share of the lines that are not blank has as many cells as most, two or more."""
    best: tuple[int, Grid] | None = None
    lines = sum(1 for line in text.splitlines() if line.strip())
    for separator in SEPARATORS:
        grid = _split(text, separator)
        widths = Counter(len(row) for row in grid if len(row) > 1 and any(cell.strip() for cell in row))
        regular = sum(times for times in widths.values() if times > 1)
        if regular >= 2 and regular >= least * lines and (best is None or regular > best[0]):
            best = (regular, grid)
    return best[1] if best else None


def _split(text: str, separator: str) -> Grid:
    if separator == "|":
        text = "\n".join(line.strip().removeprefix("|").removesuffix("|") for line in text.splitlines())
    try:
        return tuple(tuple(row) for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error:
        return ()


def one_column(text: str) -> Grid:
    """A table of one column."""
    return tuple((line,) for line in text.splitlines())


def grid_of_json(text: str) -> Grid | None:
    """A table of one of the shapes that pandas and people write; None for another, or what is no JSON."""
    try:
        return _grid_of(json.loads(text, parse_int=_as_written, parse_float=_as_written))
    except (ValueError, RecursionError, TypeError):
        return None


class _Written(str):
    """A number as the file has it: 3.0 is not 3."""


def _as_written(text: str) -> _Written:
    return _Written(text)


def _grid_of(value: Any) -> Grid | None:
    if isinstance(value, dict):
        return _grid_of_object(value)
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return _grid_of_records(value)
    if isinstance(value, list) and value and all(isinstance(row, list) for row in value):
        return _grid_of_rows(value)
    return None


def _grid_of_object(value: dict[str, Any]) -> Grid | None:
    names = set(value)
    if {"columns", "data"} <= names <= {"columns", "data", "index", "title", "notes"}:
        return _grid_of_split(value)
    if value and all(isinstance(column, list) for column in value.values()):
        lengths = {len(column) for column in value.values()}
        columns = list(value.values())
        return _grid_of_rows([list(value), *map(list, zip(*columns, strict=True))]) if len(lengths) == 1 else None
    if value and all(isinstance(column, dict) for column in value.values()):
        return _grid_of_records([{"": name, **row} for name, row in value.items()])
    return _grid_of_records([value]) if value else None


def _grid_of_split(value: dict[str, Any]) -> Grid | None:
    rows = value["data"]
    index = value.get("index", [])
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows) or "notes" in value:
        return None
    if index:
        rows = [[name, *row] for name, row in zip(index, rows, strict=True)]
    return _grid_of_rows([[*([""] if index else []), *value["columns"]], *rows])


def _grid_of_records(rows: list[dict[str, Any]]) -> Grid | None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return _grid_of_rows([names, *([row.get(name, "") for name in names] for row in rows)])


def _grid_of_rows(rows: list[list[Any]]) -> Grid | None:
    if any(isinstance(cell, dict | list) for row in rows for cell in row):
        return None
    return tuple(tuple(_cell(cell) for cell in row) for row in rows)


def _cell(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def tables_in(text: str) -> Iterator[tuple[int, Grid]]:
    """(line of its first row, from 0; cells) of each table that stands in a text: Markdown, LaTeX, delimited,
    aligned."""
    lines = text.splitlines()
    for separator in (*SEPARATORS, "&", " "):
        run: list[tuple[str, ...]] = []
        for number, line in enumerate([*lines, ""]):
            cells = _cells_of(line, separator)
            if len(cells) > 1 or (run and _is_rule(line)):
                run.append(cells)
                continue
            if _is_table(run):
                yield number - len(run), tuple(run)
            run = []


def _is_rule(line: str) -> bool:
    return bool(line.strip()) and _RULE.fullmatch(line) is not None


def _cells_of(line: str, separator: str) -> tuple[str, ...]:
    if _is_rule(line):
        return ()
    if separator == " ":
        return tuple(_COLUMNS.split(line.strip()))
    plain = line.strip().removesuffix("\\\\").strip()
    if separator == "|":
        plain = plain.removeprefix("|").removesuffix("|")
    return tuple(cell.strip().strip("\"'") for cell in plain.split(separator))


def _is_table(run: list[tuple[str, ...]]) -> bool:
    rows = [row for row in run if row]
    if len(rows) < 2:
        return False
    width, times = Counter(map(len, rows)).most_common(1)[0]
    figures = sum(1 for row in rows if any(_is_figure(cell) for cell in row))
    return width > 1 and times * 2 >= len(rows) and figures * 2 >= len(rows)


def _is_figure(cell: str) -> bool:
    return read_cell(cell).shape in (Shape.NUMBER, Shape.TWO, Shape.RATIO, Shape.BOUND)
