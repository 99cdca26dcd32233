"""Models: forms that open without running anything, with nothing beside the weights.

Owns the checks of exported graphs (pt2), safetensors and XGBoost's JSON. How well a model tells its training patients
from others is measured in ``erios.airlock.membership``. Sources: the format of safetensors (Hugging Face); XGBoost's
model schema.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from erios.airlock.findings import Finding
from erios.airlock.identifiers import identifiers_in, invisible_in
from erios.settings_sections import AirlockSettings
from experiments.errors import SandboxError
from experiments.sandbox.model_file import check_model

_DTYPES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8,
}  # fmt: skip
_MOST_HEADER = 16 * 2**20
_NAME = re.compile(r"[\w./:-]{1,200}")
_COUNTED = ("reg:squarederror", "reg:absoluteerror", "reg:quantileerror", "reg:pseudohubererror")
_LOCAL_HEADER = 30


def check_graph(path: Path) -> Iterator[Finding]:
    """An exported graph: nothing that unpickles, nothing between the entries, no identifiers in its descriptions."""
    try:
        check_model(path)
    except SandboxError:
        yield Finding("model-runs-code")
        return
    with zipfile.ZipFile(path) as archive:
        yield from _gaps(archive, path.stat().st_size)
        for entry in archive.infolist():
            if entry.filename.endswith(".json"):
                yield from _strings(json.loads(archive.read(entry)))
            elif "/data/" not in entry.filename and entry.file_size > 200:
                yield Finding("model-extra")


def _gaps(archive: zipfile.ZipFile, size: int) -> Iterator[Finding]:
    """Bytes that belong to no entry: before, between (but for alignment) or in comments."""
    entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
    end = 0
    for entry in entries:
        gap, end = entry.header_offset - end, _end(archive, entry)
        if gap < 0 or gap > 24 or entry.comment:
            yield Finding("model-extra")
            return
    directory = sum(46 + len(entry.filename.encode()) + len(entry.extra) for entry in entries)
    if archive.comment or not 0 <= size - end - directory <= 150:
        yield Finding("model-extra")


def _end(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """Where an entry's data end; its padding must be one letter over and over."""
    stream: Any = archive.fp
    stream.seek(entry.header_offset + 26)
    name, extra = (int.from_bytes(stream.read(2), "little") for _ in range(2))
    stream.seek(name, 1)
    padding = stream.read(extra)
    if len(set(padding[4:])) > 1:
        return -(2**40)
    return entry.header_offset + _LOCAL_HEADER + name + extra + entry.compress_size


def _strings(value: Any) -> Iterator[Finding]:
    """Names of people, pseudonyms and hidden letters in any name or text of a description."""
    for text in _texts(value):
        if next(invisible_in(text), None) is not None:
            yield Finding("invisible")
        for name, _ in identifiers_in(text, code=True):
            yield Finding(name)


def _texts(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, str):
            yield here
        elif isinstance(here, Mapping):
            waiting += [*here.keys(), *here.values()]
        elif isinstance(here, list):
            waiting += here


def is_safetensors(content: bytes) -> bool:
    """By its length and the beginning of its header."""
    length = int.from_bytes(content[:8], "little")
    return len(content) > 9 and content[8:9] == b"{" and length <= len(content) - 8


def check_safetensors(content: bytes) -> Iterator[Finding]:
    """The header is JSON of known keys, the tensors lie one after the other and fill the file."""
    try:
        length = int.from_bytes(content[:8], "little")
        if length > _MOST_HEADER:
            raise ValueError
        header = json.loads(content[8 : 8 + length], object_pairs_hook=_once)
        yield from _tensors(header, len(content) - 8 - length)
        if set(header.get("__metadata__", {})) - {"format"} or content[8 : 8 + length].rstrip(b" ")[-1:] != b"}":
            yield Finding("model-extra")
        yield from _strings(header)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        yield Finding("unreadable")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError
    return dict(pairs)


def _tensors(header: Mapping[str, Any], size: int) -> Iterator[Finding]:
    end = 0
    tensors = [value for name, value in header.items() if name != "__metadata__"]
    for tensor in sorted(tensors, key=lambda each: each["data_offsets"]):
        start, stop = tensor["data_offsets"]
        items = 1
        for side in tensor["shape"]:
            items *= side
        if (
            start != end
            or stop - start != items * _DTYPES[tensor["dtype"]]
            or set(tensor) != {"dtype", "shape", "data_offsets"}
        ):
            raise ValueError
        end = stop
    if end != size:
        yield Finding("model-extra")
    if not all(_NAME.fullmatch(name) for name in header):
        yield Finding("model-extra")


def is_xgboost(value: Any) -> bool:
    """By the keys of XGBoost's JSON."""
    return isinstance(value, dict) and {"learner", "version"} <= set(value)


def check_xgboost(value: Mapping[str, Any], settings: AirlockSettings) -> Iterator[Finding]:
    """Closed keys; no leaf of few patients, as far as the sum of its hessians tells."""
    learner = value["learner"]
    allowed = {"attributes", "feature_names", "feature_types", "gradient_booster", "learner_model_param", "objective"}
    if set(value) != {"learner", "version"} or not isinstance(learner, dict) or set(learner) - allowed:
        yield Finding("model-extra")
        return
    if set(learner.get("attributes", {})) - {"best_iteration", "best_score"}:
        yield Finding("model-extra")
    yield from _strings(value)
    yield from _leaves(learner, settings)


def _leaves(learner: Mapping[str, Any], settings: AirlockSettings) -> Iterator[Finding]:
    """A squared error's hessian is 1 a patient, a logistic one's a quarter at most."""
    objective = str(learner.get("objective", {}).get("name", ""))
    least = settings.threshold if objective in _COUNTED else settings.threshold / 4
    booster = learner.get("gradient_booster", {})
    trees = booster.get("model", booster.get("gbtree", {}).get("model", {})).get("trees", [])
    for tree in trees:
        leaves = [
            hessian for left, hessian in zip(tree["left_children"], tree["sum_hessian"], strict=True) if left == -1
        ]
        if any(float(hessian) < least for hessian in leaves) and len(leaves) > 1:
            yield Finding("small-leaf", values={"threshold": settings.threshold})
            return
