"""Notebooks: sources alone. Outputs are results, and leave as tables and figures of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from erios.airlock.code import check_code
from erios.airlock.findings import Finding
from erios.airlock.texts import check_text
from erios.settings_sections import AirlockSettings

_KEYS = frozenset(("cells", "metadata", "nbformat", "nbformat_minor"))
_CELL_KEYS = frozenset(("cell_type", "source", "metadata", "outputs", "execution_count", "id"))
_METADATA: Mapping[str, frozenset[str]] = {
    "kernelspec": frozenset(("display_name", "language", "name")),
    "language_info": frozenset(
        ("name", "version", "mimetype", "file_extension", "pygments_lexer", "nbconvert_exporter", "codemirror_mode")
    ),
}
_CELL_METADATA = frozenset(
    ("tags", "collapsed", "scrolled", "editable", "deletable", "slideshow", "jupyter", "trusted")
)


def check_notebook(
    notebook: Mapping[str, Any],
    settings: AirlockSettings,
    pseudonyms: Collection[str],
    tables: Callable[[str], Iterator[Finding]],
) -> Iterator[Finding]:
    """What is in a notebook beside its sources, and what the sources say; places are cells from 1; ``tables``: what
    is seen in tables within a text."""
    yield from _metadata(notebook)
    for number, cell in enumerate(notebook["cells"], start=1):
        if not isinstance(cell, dict) or not isinstance(cell.get("source"), str | list):
            yield Finding("unreadable", place="notebook-cell", values={"cell": number})
            continue
        yield from (Finding(check, place="notebook-cell", values={"cell": number}) for check in _beside(cell))
        source = cell["source"] if isinstance(cell["source"], str) else "".join(map(str, cell["source"]))
        is_code = cell.get("cell_type") == "code"
        findings = (check_code if is_code else check_text)(source, settings, pseudonyms=pseudonyms)
        yield from (_in_cell(finding, number) for finding in (*findings, *tables(source)))


def _in_cell(finding: Finding, number: int) -> Finding:
    return replace(finding, place="notebook-line", values={"line": 1, **finding.values, "cell": number})


def _metadata(notebook: Mapping[str, Any]) -> Iterator[Finding]:
    metadata = notebook.get("metadata", {})
    strange = set(notebook) - _KEYS or not isinstance(metadata, dict) or set(metadata) - set(_METADATA)
    if strange or any(not _is_short(metadata.get(name, {}), keys) for name, keys in _METADATA.items()):
        yield Finding("notebook-metadata")


def _is_short(value: Any, keys: frozenset[str]) -> bool:
    return isinstance(value, dict) and set(value) <= keys and len(json.dumps(value)) < 600


def _beside(cell: Mapping[str, Any]) -> Iterator[str]:
    if cell.get("outputs"):
        yield "outputs"
    metadata = cell.get("metadata", {})
    strange = not isinstance(metadata, dict) or set(metadata) - _CELL_METADATA or len(json.dumps(metadata)) > 300
    if set(cell) - _CELL_KEYS or strange or len(str(cell.get("id", ""))) > 64:
        yield "notebook-metadata"
