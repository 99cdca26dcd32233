"""A file of the airlock as its checkers see it: as it is, with the cells that the checks hold marked.

Owns what of a file may come to a page. Every text goes through the templates' escaping; a figure is the only thing that
is served as it is, to be drawn by ``<img>`` and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse

from erios.airlock.findings import Form, Report, Verdict
from erios.airlock.grids import read_grid
from erios.studies.airlock_models import AirlockFile
from erios.translation import gettext, mark

MOST_ROWS, MOST_CHARACTERS = 300, 200_000
"""Of a table or text on a page."""
TYPES = {Form.TABLE: "text/csv; charset=utf-8", Form.FIGURE: "image/png", Form.TEXT: "text/plain; charset=utf-8"}


@dataclass(frozen=True)
class Cell:
    """A cell of a table; ``marks``: numbers, from 1, of the findings about it."""

    text: str
    marks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Attack:
    """What an attack tells of a model's patients: upper 95 % bounds, and whether they hold the model."""

    name: str
    auc: float
    tpr: float
    held: bool


@dataclass(frozen=True)
class Content:
    """What is shown of a file: one of the fields, by its form; ``left`` rows or characters are not."""

    header: tuple[Cell, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    texts: tuple[str, ...] = ()
    figure: bool = False
    attacks: tuple[Attack, ...] = ()
    left: int = 0


def content_of(file: AirlockFile, content: bytes, report: Report) -> Content:
    """A file's content for its page; of a model what was measured, nothing of an unknown form."""
    match Form(file.form):
        case Form.TABLE:
            return _table(content, report)
        case Form.FIGURE:
            return Content(figure=True)
        case Form.TEXT | Form.CODE:
            text = content.decode(errors="replace")
            return Content(texts=(text[:MOST_CHARACTERS],), left=max(0, len(text) - MOST_CHARACTERS))
        case Form.NOTEBOOK:
            return Content(texts=_cells(content))
        case Form.MODEL:
            return Content(attacks=tuple(_attacks(report)))
    return Content()


def _table(content: bytes, report: Report) -> Content:
    grid: Any = read_grid(content) or []
    marks: dict[tuple[int, int], list[int]] = {}
    for number, finding in enumerate(report.findings, 1):
        if finding.cell is not None:
            marks.setdefault(finding.cell, []).append(number)
    rows = [
        tuple(Cell(text, tuple(marks.get((row, column), ()))) for column, text in enumerate(cells))
        for row, cells in enumerate(grid[: MOST_ROWS + 1])
    ]
    return Content(rows[0] if rows else (), tuple(rows[1:]), left=max(0, len(grid) - 1 - MOST_ROWS))


_ATTACKS = {
    "attack-threshold": mark("par un seuil"),
    "attack-forest": mark("par une forêt"),
    "attack-boosting": mark("par des arbres"),
    "attack-lira": mark("LiRA"),
}


def _attacks(report: Report) -> Iterator[Attack]:
    """A model is not shown; what was measured of it is."""
    for finding in report.findings:
        if finding.check in _ATTACKS:
            held = finding.verdict is Verdict.HELD
            yield Attack(gettext(_ATTACKS[finding.check]), finding.values["auc"], finding.values["tpr"], held)


def _cells(content: bytes) -> tuple[str, ...]:
    """The sources of a notebook's cells; outputs are no part of what leaves, nor of what is shown."""
    try:
        cells: list[Any] = json.loads(content)["cells"]
        return tuple("".join(cell["source"]) for cell in cells[:MOST_ROWS])
    except (ValueError, LookupError, TypeError):
        return ()


def attachment(name: str, form: str, content: bytes) -> HttpResponse:
    """A file to keep, or to be drawn by ``<img>``: never a page of this site, whatever it holds."""
    response = HttpResponse(content, content_type=TYPES.get(Form(form), "application/octet-stream"))
    response.headers["Content-Disposition"] = f'attachment; filename="{name.encode("ascii", "replace").decode()}"'
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response.headers["Cache-Control"] = "private, no-store"
    return response
