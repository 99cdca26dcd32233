"""Whether an exported graph (pt2) can be opened without running what a training put into it.

Owns the check of the archive, by its entries and by JSON alone: nothing of it is loaded. `torch.export.load` unpickles
whatever an entry calls pickled, and its sample inputs, and reads expressions of sizes with SymPy, which evaluates them.

Source: the archive of ``torch.export.pt2_archive`` (torch 2.13).
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.errors import SandboxError

_MEMBER = re.compile(
    r"[\w.-]+/(data/(weights/(weight_\d+|model_weights_config\.json)"
    r"|constants/(tensor_\d+|model_constants_config\.json)|sample_inputs/model\.pt)"
    r"|models/model\.json|archive_format|archive_version|\.data/(version|serialization_id)|byteorder|\.format_version)"
)
_TOKENS = re.compile(r"'[A-Za-z]\w*'|[A-Za-z]\w*|[\d\s+\-*/(),<>=&|~%]")
_WORDS = frozenset(
    [
        "Symbol",
        "Integer",
        "Rational",
        "Add",
        "Mul",
        "Pow",
        "Mod",
        "PythonMod",
        "FloorDiv",
        "CeilDiv",
        "CleanDiv",
        "ModularIndexing",
        "Max",
        "Min",
        "Where",
        "Eq",
        "Ne",
        "Lt",
        "Le",
        "Gt",
        "Ge",
        "LessThan",
        "GreaterThan",
        "StrictLessThan",
        "StrictGreaterThan",
        "Equality",
        "Unequality",
        "And",
        "Or",
        "Not",
        "Identity",
        "positive",
        "nonnegative",
        "integer",
        "negative",
        "zero",
        "True",
        "False",
        "true",
        "false",
        "oo",
        "int_oo",
    ]
)
"""Of what SymPy and torch write sizes with."""
_MOST_JSON = 200 * 2**20


def check_model(path: Path) -> None:
    """SandboxError where opening the graph would run code, or where it is no graph."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check(archive)
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError, AttributeError, RecursionError, NotImplementedError):
        raise SandboxError("the training's model is no exported graph (pt2)") from None


def _check(archive: zipfile.ZipFile) -> None:
    entries = archive.infolist()
    if len({entry.filename for entry in entries}) != len(entries) or any(entry.compress_type for entry in entries):
        raise SandboxError("the training's model is no exported graph (entries that are packed or twice there)")
    for entry in entries:
        if not _MEMBER.fullmatch(entry.filename):
            raise SandboxError("the training's model holds more than a graph and its weights")
        if entry.filename.endswith(".json"):
            _check_json(_read(archive, entry))
        elif entry.filename.endswith("sample_inputs/model.pt") and entry.file_size:
            raise SandboxError("the training's model has sample inputs: opening it would unpickle them")


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Any:
    if entry.file_size > _MOST_JSON:
        raise SandboxError("the training's model has too large a description")
    return json.loads(archive.read(entry))


def _check_json(content: Any) -> None:
    for name, value in _pairs(content):
        if name == "use_pickle" and value is not False:
            raise SandboxError("the training's model is pickled: opening it would run what is in it")
        if name == "expr_str" and not _is_size(value):
            raise SandboxError("the training's model has an expression that is none of sizes")


def _is_size(expression: Any) -> bool:
    """Nothing but known words, symbols (s77), numbers and operators."""
    if not isinstance(expression, str) or _TOKENS.sub("", expression):
        return False
    names = (token for token in _TOKENS.findall(expression) if token[0].isalpha())
    return all(name in _WORDS or re.fullmatch(r"[suz]\d+", name) for name in names)


def _pairs(content: Any) -> Iterator[tuple[str, Any]]:
    """Every name and value, however deep."""
    waiting = [content]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            yield from here.items()
            waiting += here.values()
        elif isinstance(here, list):
            waiting += here
