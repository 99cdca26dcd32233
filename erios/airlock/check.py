"""The checks of one file: which form it is, and what the checks of that form see in it."""

from __future__ import annotations

import hashlib
import mmap
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from erios.airlock.cells import Shape, read_cell
from erios.airlock.code import check_code
from erios.airlock.figures import check_figure, note_picture
from erios.airlock.findings import Finding, Form, Report, ordered
from erios.airlock.forms import Reading, read_form
from erios.airlock.grids import MOST_CELLS, Grid, read_grid, tables_in
from erios.airlock.identifiers import PATTERNS
from erios.airlock.membership import check_membership
from erios.airlock.models import check_graph, check_safetensors, check_xgboost
from erios.airlock.notebooks import check_notebook
from erios.airlock.protection import protect_table
from erios.airlock.table_checks import check_tables
from erios.airlock.tables import Table, tables_of
from erios.airlock.texts import check_text
from erios.errors import InputError
from erios.settings_sections import AirlockSettings

_MIB = 2**20
_STUMBLES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a hostile file may make a reader raise."""
_FORMULA = re.compile(r"\s*(?:[=@]|[+-](?=\s*[A-Za-z]+[\d(!]))")


@dataclass(frozen=True)
class Released:
    """A file that the study or its team had out before: its name and bytes."""

    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Context:
    """What the checks must know beside the file.

    ``earlier``: files that study and team had out; ``attachments``: the data behind a figure, the predictions of a
    model; ``columns``: what the author declares a column to be (header → "count", "label", "measure", …);
    ``pseudonyms``: those of the extract, where they are at hand.
    """

    earlier: Sequence[Released] = ()
    attachments: Sequence[Path] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    pseudonyms: Collection[str] = field(default=(), repr=False)
    settings: AirlockSettings = field(default_factory=AirlockSettings)

    @cached_property
    def earlier_tables(self) -> list[Table]:
        """Tables in what left before, and in its texts."""
        return [table for each in self.earlier for table in _tables_of_file(Path(each.name), each.content, {})]

    @cached_property
    def attached_tables(self) -> list[Table]:
        """The tables that were given with a file; what cannot be read is not given."""
        files = [path for path in self.attachments if path.is_file() and path.stat().st_size <= 64 * _MIB]
        return [table for path in files for table in _tables_of_file(path, path.read_bytes(), self.columns)]


def check_file(path: Path, context: Context = Context()) -> Report:
    """What the checks see in a file; InputError where there is no such file. A hostile file is a finding, no error."""
    size = _size(path)
    with path.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    if not size:
        return Report(Form.TEXT, digest, 0, (Finding("empty"),))
    with path.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as content:
        form, findings = _check(path, content, context)
    return Report(form, digest, size, ordered(findings))


def _size(path: Path) -> int:
    if path.is_symlink() or not path.is_file():
        raise InputError(f"{path} is no file: the airlock checks one file at a time")
    return path.stat().st_size


def _check(path: Path, content: mmap.mmap, context: Context) -> tuple[Form, list[Finding]]:
    settings = context.settings
    limit = _limit(content[:8], path, settings)
    if len(content) > limit * _MIB:
        return Form.OTHER, [Finding("size", values={"limit": limit})]
    try:
        reading = read_form(path, content[:] if limit < settings.model_mb else content)  # type: ignore[arg-type]
    except _STUMBLES:
        return Form.OTHER, [Finding("unreadable")]
    return reading.form, [
        *([Finding(reading.fault)] if reading.fault else []),
        *_safely(path, content, reading, context),
    ]


def _limit(start: bytes, path: Path, settings: AirlockSettings) -> int:
    """MiB that a file of this kind may have."""
    if start == b"\x89PNG\r\n\x1a\n":
        return settings.figure_mb
    is_model = start[:4] == b"PK\x03\x04" or path.suffix.lower() in (".safetensors", ".pt2", ".json")
    return settings.model_mb if is_model else settings.text_mb


def _safely(path: Path, content: mmap.mmap, reading: Reading, context: Context) -> list[Finding]:
    """What a form's checks see; one that stumbles over a file holds it."""
    findings: list[Finding] = []
    try:
        findings += _CHECKS.get(reading.form, _nothing)(path, content, reading, context)
    except _STUMBLES:
        findings.append(Finding("unreadable"))
    return findings


def _nothing(_path: Path, _content: mmap.mmap, _reading: Reading, _context: Context) -> list[Finding]:
    return []


def _check_table(_path: Path, _content: mmap.mmap, reading: Reading, context: Context) -> list[Finding]:
    if len(reading.text) > context.settings.text_mb * _MIB:
        return [Finding("size", values={"limit": context.settings.text_mb})]
    if reading.grid is not None and sum(map(len, reading.grid)) > MOST_CELLS:
        return [Finding("too-many-rows", values={"limit": context.settings.rows})]
    if reading.grid is None:
        return list(_texts(reading.text, context))
    tables = tables_of(reading.grid, context.columns)
    if max(map(len, reading.grid)) == 1 and any(map(_is_mixed, reading.grid)):
        return [Finding("one-column")]
    findings = [*_letters(reading.text, context), *_grid_texts(reading.grid, context)]
    return [*findings, *check_tables(tables, context.earlier_tables, context.attached_tables, context.settings)]


def _is_mixed(row: Sequence[str]) -> bool:
    """Words and figures in the one cell of a row: a separator that nobody knows."""
    return bool(row) and read_cell(row[0]).shape == Shape.WORDS and any(map(str.isdigit, row[0]))


def _letters(text: str, context: Context) -> Iterator[Finding]:
    """What the file's bytes hold beside its cells."""
    return (
        finding
        for finding in check_text(text, context.settings, code=True)
        if finding.check in ("invisible", "blob", "trailing-space")
    )


def _grid_texts(grid: Grid, context: Context) -> Iterator[Finding]:
    """Words in cells, in rows that are titles or notes, and what a spreadsheet would run."""
    for row, cells in enumerate(grid, start=1):
        shapes = [read_cell(cell).shape for cell in cells]
        for column, (cell, shape) in enumerate(zip(cells, shapes, strict=True), start=1):
            place = {"row": row, "column": column}
            if _FORMULA.match(cell) and (cell.lstrip()[:1] in "=@" or shape == Shape.WORDS):
                yield Finding("formula", place="cell", values=place)
            yield from (
                replace(finding, place="cell", values={**finding.values, **place})
                for finding in _words(cell, shape, context)
            )
        if Shape.NUMBER not in shapes and sum(shape == Shape.WORDS for shape in shapes) > 1:
            for finding in check_text(" ".join(cells), context.settings):
                if finding.check in ("few-patients", "share", "portrait", "old-age", "name"):
                    yield replace(finding, place="row", values={**finding.values, "row": row})


def _words(cell: str, shape: Shape, context: Context) -> Iterable[Finding]:
    if shape == Shape.WORDS or len(cell) > 24:
        return check_text(cell, context.settings, pseudonyms=context.pseudonyms)
    if PATTERNS["date"].fullmatch(cell.strip()) is not None:
        return [Finding("date")]
    return [Finding("long-number")] if re.fullmatch(r"\s*\d{9,}\s*", cell) else []


def _texts(text: str, context: Context) -> Iterator[Finding]:
    yield from check_text(text, context.settings, pseudonyms=context.pseudonyms)
    yield from _tables_in_text(text, context)


def _tables_in_text(text: str, context: Context) -> Iterator[Finding]:
    """Tables in prose or code are tables; their places are lines."""
    for start, grid in tables_in(text):
        tables = tables_of(grid, context.columns)
        for finding in check_tables(tables, context.earlier_tables, (), context.settings):
            line = start + int(finding.values.get("row", 1))
            yield replace(finding, place="line", values={**finding.values, "line": line})


def _check_prose(_path: Path, _content: mmap.mmap, reading: Reading, context: Context) -> list[Finding]:
    return list(_texts(reading.text, context))


def _check_program(_path: Path, _content: mmap.mmap, reading: Reading, context: Context) -> list[Finding]:
    findings = check_code(reading.text, context.settings, pseudonyms=context.pseudonyms)
    return [*findings, *_tables_in_text(reading.text, context)]


def _check_notebook(_path: Path, _content: mmap.mmap, reading: Reading, context: Context) -> list[Finding]:
    return list(
        check_notebook(reading.value, context.settings, context.pseudonyms, lambda text: _tables_in_text(text, context))
    )


def _check_picture(_path: Path, content: mmap.mmap, _reading: Reading, context: Context) -> list[Finding]:
    findings = [*check_figure(content[:], context.settings), note_picture()]
    tables = context.attached_tables
    if not tables:
        return [*findings, Finding("data-missing")]
    behind = check_tables(tables, context.earlier_tables, (), context.settings)
    return [*findings, *(replace(each, place="data" if each.place == "cell" else "data-file") for each in behind)]


def _check_model(path: Path, content: mmap.mmap, reading: Reading, context: Context) -> list[Finding]:
    seen: Callable[[], Iterator[Finding]] = {
        "pt2": lambda: check_graph(path),
        "safetensors": lambda: check_safetensors(content),  # type: ignore[arg-type]
        "xgboost": lambda: check_xgboost(reading.value, context.settings),
    }[reading.kind]
    return [*seen(), *check_membership(context.attached_tables, context.settings)]


_CHECKS: Mapping[Form, Callable[[Path, mmap.mmap, Reading, Context], list[Finding]]] = {
    Form.TABLE: _check_table,
    Form.TEXT: _check_prose,
    Form.CODE: _check_program,
    Form.NOTEBOOK: _check_notebook,
    Form.FIGURE: _check_picture,
    Form.MODEL: _check_model,
}


def hide_cells(path: Path, context: Context) -> Grid | None:
    """A table with cells hidden until nothing holds it; None where hiding cells mends it not; InputError for no
    table."""
    _size(path)
    grid = read_grid(path.read_bytes())
    if grid is None:
        raise InputError(f"{path.name} is no table: only tables are mended by hiding cells")
    return protect_table(grid, context.columns, context.earlier_tables, context.settings)


def _tables_of_file(path: Path, content: bytes, columns: Mapping[str, str]) -> list[Table]:
    """Tables, and tables in texts; none in what is neither."""
    try:
        reading = read_form(path, content)
    except (ValueError, RecursionError, MemoryError):
        return []
    if reading.grid is not None:
        return tables_of(reading.grid, columns)
    return [table for _, grid in tables_in(reading.text) for table in tables_of(grid, columns)]
