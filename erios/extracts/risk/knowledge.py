"""What an attacker may know and what may harm: quasi-identifiers, sensitive columns, and how each may be generalised.

Owns the form of conf/risk.toml and its checks. Holds no data: names of tables and columns, labels and ladders only.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from erios.errors import InputError, UsageError
from erios.extracts.risk.ladders import SUPPRESS, Hierarchies, check_rung

HOW = ("value", "first", "last", "count", "distinct")
KINDS = ("category", "number", "set")
_QUASI = {"name", "table", "columns", "how", "order", "ladder", "fact", "fr", "en"}
_SENSITIVE = {"name", "table", "columns", "kind", "how", "order", "at", "fr", "en"}


@dataclass(frozen=True)
class Quasi:
    """One thing that an outsider may know of a patient: those of ``columns`` that the extract has, taken together.

    ``how`` makes one value a patient of many rows; ``ladder`` lists its generalisations, the last is suppression;
    ``fact`` is how precisely the attacks take a single value of it.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    fr: str
    en: str
    how: str = "value"
    order: tuple[str, ...] = ()
    ladder: tuple[str, ...] = (SUPPRESS,)
    fact: str = "exact"


@dataclass(frozen=True)
class Sensitive:
    """What must not be learnt of a patient; ``kind`` set: all the patient's distinct values, generalised to ``at``."""

    name: str
    table: str
    columns: tuple[str, ...]
    fr: str
    en: str
    kind: str = "category"
    how: str = "value"
    order: tuple[str, ...] = ()
    at: str = "exact"


@dataclass(frozen=True)
class Knowledge:
    """All that conf/risk.toml says; ``suppression_limit``: share of patients that a proposal may leave out."""

    quasi: tuple[Quasi, ...]
    sensitive: tuple[Sensitive, ...] = ()
    hierarchies: Hierarchies = field(default_factory=Hierarchies)
    suppression_limit: float = 0.05


def load_knowledge(file: Path) -> Knowledge:
    """The knowledge of a TOML file. InputError without it, UsageError (one sentence) when it is not as it must be."""
    values = _read(file)
    for section in ("maps", "ranges"):
        values[section] = {name: _given(told, file) for name, told in values.get(section, {}).items()}
    return _knowledge(values, str(file))


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise InputError(f"cannot read {file}; it says which columns may identify a patient") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file} is not TOML: {error}") from None


def _given(told: Any, file: Path) -> Mapping[str, Any]:
    """A hierarchy that stands in the file, or in another file that it names."""
    return _read(file.parent / told) if isinstance(told, str) else told


def _knowledge(values: Mapping[str, Any], at: str) -> Knowledge:
    _check_names(values, {"suppression_limit", "maps", "ranges", "ladders", "quasi", "sensitive"}, at)
    hierarchies = Hierarchies.parse(values.get("maps", {}), values.get("ranges", {}), at)
    ladders = {name: _ladder(rungs, hierarchies, f"{at}: ladder {name}") for name, rungs in _named(values, "ladders")}
    quasi = tuple(_quasi(entry, ladders, hierarchies, at) for entry in values.get("quasi", []))
    sensitive = tuple(_sensitive(entry, hierarchies, at) for entry in values.get("sensitive", []))
    _check_unique([entry.name for entry in quasi], at)
    _check_unique([entry.name for entry in sensitive], at)
    limit = values.get("suppression_limit", 0.05)
    if not isinstance(limit, int | float) or not 0 <= limit <= 0.2:
        raise UsageError(f"{at}: suppression_limit is a share from 0 to 0.2")
    return Knowledge(quasi, sensitive, hierarchies, float(limit))


def _named(values: Mapping[str, Any], section: str) -> Collection[tuple[str, Any]]:
    return dict(values.get(section, {})).items()


def _ladder(rungs: Any, hierarchies: Hierarchies, at: str) -> tuple[str, ...]:
    if not isinstance(rungs, list) or not rungs or rungs[-1] != SUPPRESS:
        raise UsageError(f"{at}: must be a list of generalisations that ends with '{SUPPRESS}'")
    for rung in rungs:
        check_rung(rung, hierarchies, at)
    return tuple(rungs)


def _quasi(
    entry: Mapping[str, Any], ladders: Mapping[str, tuple[str, ...]], hierarchies: Hierarchies, file: str
) -> Quasi:
    at = f"{file}: quasi-identifier '{entry.get('name', '')}'"
    _check_names(entry, _QUASI, at)
    ladder = entry.get("ladder", "")
    if ladder and ladder not in ladders:
        raise UsageError(f"{at}: unknown ladder '{ladder}'; known are {', '.join(sorted(ladders))}")
    fact = entry.get("fact", "exact")
    check_rung(fact, hierarchies, at)
    return Quasi(**_common(entry, at), ladder=ladders.get(ladder, (SUPPRESS,)), fact=fact)


def _sensitive(entry: Mapping[str, Any], hierarchies: Hierarchies, file: str) -> Sensitive:
    at = f"{file}: sensitive column '{entry.get('name', '')}'"
    _check_names(entry, _SENSITIVE, at)
    kind, coarse = entry.get("kind", "category"), entry.get("at", "exact")
    if kind not in KINDS:
        raise UsageError(f"{at}: kind is one of {', '.join(KINDS)}")
    check_rung(coarse, hierarchies, at)
    return Sensitive(**_common(entry, at), kind=kind, at=coarse)


def _common(entry: Mapping[str, Any], at: str) -> dict[str, Any]:
    """The fields that both kinds of entry have."""
    for name in ("name", "table", "fr", "en"):
        if not isinstance(entry.get(name), str) or not entry[name]:
            raise UsageError(f"{at}: field '{name}' is missing")
    how = entry.get("how", "value")
    if how not in HOW:
        raise UsageError(f"{at}: how is one of {', '.join(HOW)}")
    columns, order = (_texts(entry.get(name, []), name, at) for name in ("columns", "order"))
    if not columns and how != "count":
        raise UsageError(f"{at}: field 'columns' is missing")
    labels = {name: entry[name] for name in ("name", "table", "fr", "en")}
    return {**labels, "columns": columns, "how": how, "order": order}


def _texts(value: Any, name: str, at: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise UsageError(f"{at}: {name} is a list of column names")
    return tuple(value)


def _check_names(values: Mapping[str, Any], allowed: Collection[str], at: str) -> None:
    for name in values:
        if name not in allowed:
            raise UsageError(f"{at}: unknown field '{name}'; allowed are {', '.join(sorted(allowed))}")


def _check_unique(names: list[str], at: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{at}: the name '{name}' is there twice")
