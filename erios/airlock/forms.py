"""Which form a file is, by its bytes; its name may not promise another.

Owns the list of forms that may leave: whatever is not in it is held. A form is a way to be read, so a file that two
programs would read in two ways is none.
"""

from __future__ import annotations

import json
import re
import tomllib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erios.airlock.code import parse_python
from erios.airlock.figures import MAGIC
from erios.airlock.findings import Form
from erios.airlock.grids import Grid, grid_of_json, grid_of_text, one_column
from erios.airlock.models import is_safetensors, is_xgboost

CODE_SUFFIXES = frozenset((".py", ".r", ".sql", ".toml", ".yaml", ".yml"))
TABLE_SUFFIXES = frozenset((".csv", ".tsv", ".tab"))
TEXT_SUFFIXES = frozenset((".md", ".txt", ".rst", ""))
_SAFE_NAME = re.compile(r"[A-Za-z0-9À-ÿ][\w.() À-ÿ'-]{0,120}")


@dataclass(frozen=True)
class Reading:
    """What a file was read as. ``kind``: which of a form's kinds; ``fault``: the check that holds it for its form."""

    form: Form
    kind: str = ""
    text: str = ""
    grid: Grid | None = None
    value: Any = None
    fault: str = ""


def read_form(path: Path, content: bytes) -> Reading:
    """The form of a file: what its bytes are, and whether its name says the same."""
    reading = _binary(path, content) or _text(path.suffix.lower(), content)
    if reading.fault:
        return reading
    named = _SAFE_NAME.fullmatch(path.name) is not None and path.suffix.lower() in _suffixes(reading)
    return reading if named else Reading(**{**vars(reading), "fault": "misnamed"})


def _suffixes(reading: Reading) -> frozenset[str]:
    by_kind: Mapping[str, frozenset[str]] = {
        "png": frozenset((".png",)),
        "pt2": frozenset((".pt2",)),
        "safetensors": frozenset((".safetensors",)),
        "xgboost": frozenset((".json", ".ubj")),
        "json": frozenset((".json",)),
        "ipynb": frozenset((".ipynb",)),
        "delimited": TABLE_SUFFIXES | TEXT_SUFFIXES,
        "text": TEXT_SUFFIXES,
        "code": CODE_SUFFIXES,
    }
    return by_kind[reading.kind]


def _binary(path: Path, content: bytes) -> Reading | None:
    if content[:8] == MAGIC:
        return Reading(Form.FIGURE, "png")
    if content[:4] == b"PK\x03\x04":
        return Reading(Form.MODEL, "pt2") if _is_graph(path) else Reading(Form.OTHER, fault="form")
    if is_safetensors(content):
        return Reading(Form.MODEL, "safetensors")
    return None


def _is_graph(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/models/model.json") for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return False


def _text(suffix: str, content: bytes) -> Reading:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or (
        content[:200].count(0) > 20 and suffix in TABLE_SUFFIXES | TEXT_SUFFIXES
    ):
        return Reading(Form.OTHER, fault="encoding")
    try:
        text = bytes(content).decode("utf-8-sig")
    except UnicodeDecodeError:
        legible = suffix in TABLE_SUFFIXES | TEXT_SUFFIXES | CODE_SUFFIXES
        return Reading(Form.OTHER, fault="encoding" if legible else "form")
    if "\0" in text:
        return Reading(Form.OTHER, fault="form")
    if not text.strip():
        return Reading(Form.TEXT, fault="empty")
    return _json(text, suffix) or _legible(text, suffix)


def _json(text: str, suffix: str) -> Reading | None:
    if suffix not in (".json", ".ipynb") and text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return Reading(Form.OTHER, fault="unreadable") if suffix in (".json", ".ipynb") else None
    if isinstance(value, dict) and isinstance(value.get("cells"), list) and "nbformat" in value:
        return Reading(Form.NOTEBOOK, "ipynb", text, value=value)
    if is_xgboost(value):
        return Reading(Form.MODEL, "xgboost", text, value=value)
    grid = grid_of_json(text)
    return Reading(Form.TABLE, "json", text, grid, value, "" if grid else "json-shape")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """One value a name: another program would read the other."""
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError
    return dict(pairs)


def _legible(text: str, suffix: str) -> Reading:
    if suffix in CODE_SUFFIXES:
        return Reading(Form.CODE, "code", text, fault="" if _PARSERS.get(suffix, _any)(text) else "unreadable")
    if suffix in TABLE_SUFFIXES:
        return Reading(Form.TABLE, "delimited", text, grid_of_text(text) or one_column(text))
    if suffix in TEXT_SUFFIXES:
        grid = grid_of_text(text, least=0.8)
        return Reading(Form.TABLE, "delimited", text, grid) if grid else Reading(Form.TEXT, "text", text)
    return Reading(Form.OTHER, text=text, fault="form")


def _any(_text: str) -> bool:
    return True


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


_PARSERS: Mapping[str, Callable[[str], bool]] = {
    ".py": lambda text: parse_python(text) is not None,
    ".toml": _is_toml,
}
