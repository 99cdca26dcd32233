"""The checks of one file: which form it is, and what the checks of that form see in it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from erios.airlock.findings import Finding, Form, Report, ordered
from erios.airlock.grids import read_grid
from erios.errors import InputError
from erios.settings_sections import AirlockSettings


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


def check_file(path: Path, context: Context = Context()) -> Report:
    """What the checks see in a file; InputError where there is no such file. A hostile file is a finding, no error."""
    if path.is_symlink() or not path.is_file():
        raise InputError(f"{path} is no file: the airlock checks one file at a time")
    content = path.read_bytes()
    form, findings = _check(content, context)
    return Report(form, hashlib.sha256(content).hexdigest(), len(content), ordered(findings))


def _check(content: bytes, context: Context) -> tuple[Form, list[Finding]]:
    grid = read_grid(content)
    if grid is None:
        return Form.OTHER, [Finding("form")]
    limit = context.settings.threshold
    return Form.TABLE, [
        Finding("small-cell", place="cell", values={"row": row, "column": column, "threshold": limit})
        for row, cells in enumerate(grid, start=1)
        for column, cell in enumerate(cells, start=1)
        if cell.strip().isdigit() and int(cell) < limit
    ]
