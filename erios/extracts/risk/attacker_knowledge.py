"""What an attacker may know and what may harm: quasi-identifiers, sensitive columns, and how each may be generalised.

Owns the form of conf/risk.toml, which pydantic checks. Holds no data: names of tables and columns, labels and levels.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from erios.errors import InputError, UsageError
from erios.extracts.generalisation.values import Groupings, check_level
from erios.extracts.generalisation.vocabulary import KEEP, SUPPRESS

_FORM = ConfigDict(extra="forbid")
Text = Annotated[str, Field(min_length=1)]
How = Literal["value", "first", "last", "count", "distinct"]


@dataclass(frozen=True, config=_FORM)
class Quasi:
    """One thing that an outsider may know of a patient: those of ``columns`` that the extract has, taken together.

    ``how`` makes one value a patient of many rows; ``hierarchy`` lists its levels, the last is suppression; ``fact`` is
    how precisely the attacks take a single value of it.
    """

    name: Text
    table: Text
    columns: tuple[Text, ...]
    fr: Text
    en: Text
    how: How = "value"
    order: tuple[Text, ...] = ()
    hierarchy: tuple[Text, ...] = (SUPPRESS,)
    fact: str = KEEP


@dataclass(frozen=True, config=_FORM)
class Sensitive:
    """What must not be learnt of a patient; ``kind`` set: all the patient's distinct values, generalised to ``at``."""

    name: Text
    table: Text
    columns: tuple[Text, ...]
    fr: Text
    en: Text
    kind: Literal["category", "number", "set"] = "category"
    how: How = "value"
    order: tuple[Text, ...] = ()
    at: str = KEEP


def _check_limit(share: float) -> float:
    if not 0 <= share <= 0.2:
        raise ValueError("must be a share from 0 to 0.2")
    return share


@dataclass(frozen=True, config=_FORM)
class Knowledge:
    """All that conf/risk.toml says; ``suppression_limit``: share of patients that a proposal may leave out;
    ``reidentified_limit``: share of patients whom no attacker may exceed, or an exception is needed."""

    quasi: tuple[Quasi, ...] = ()
    sensitive: tuple[Sensitive, ...] = ()
    groupings: Groupings = field(default_factory=Groupings)
    suppression_limit: Annotated[float, AfterValidator(_check_limit)] = 0.05
    reidentified_limit: Annotated[float, AfterValidator(_check_limit)] = 0.09


def load_knowledge(file: Path) -> Knowledge:
    """The knowledge of a TOML file. InputError without it, UsageError (one sentence) when it is not as it must be."""
    values = _read(file)
    maps, ranges = (_section(values, name, file) for name in ("maps", "ranges"))
    groupings = Groupings.parse(maps, ranges, str(file))
    hierarchies = values.pop("hierarchies", {})
    for name, levels in hierarchies.items():
        _check_hierarchy(levels, groupings, f"{file}: hierarchy {name}")
    for entry in values.get("quasi", []):
        if name := entry.get("hierarchy"):
            entry["hierarchy"] = _hierarchy(name, hierarchies, f"{file}: quasi-identifier '{entry.get('name', '')}'")
    knowledge = _validated({**values, "groupings": groupings}, file)
    _check(knowledge, str(file))
    return knowledge


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise InputError(f"cannot read {file}; it says which columns may identify a patient") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file} is not TOML: {error}") from None


def _section(values: dict[str, Any], section: str, file: Path) -> dict[str, Any]:
    """Maps or ranges written in the file, or in other files that it names."""
    written = values.pop(section, {}).items()
    return {name: _read(file.parent / value) if isinstance(value, str) else value for name, value in written}


def _check_hierarchy(levels: Any, groupings: Groupings, at: str) -> None:
    if not isinstance(levels, list) or not levels or levels[-1] != SUPPRESS:
        raise UsageError(f"{at}: must be a list of generalisations that ends with '{SUPPRESS}'")
    for level in levels:
        check_level(level, groupings, at)


def _hierarchy(name: Any, hierarchies: Mapping[str, Any], at: str) -> Any:
    if name not in hierarchies:
        raise UsageError(f"{at}: unknown hierarchy '{name}'; known are {', '.join(sorted(hierarchies))}")
    return hierarchies[name]


def _validated(values: Mapping[str, Any], file: Path) -> Knowledge:
    try:
        return TypeAdapter(Knowledge).validate_python(values)
    except ValidationError as error:
        raise UsageError(f"{file}: {_sentence(error)}") from None


def _sentence(error: ValidationError) -> str:
    """One sentence for the first thing wrong."""
    first = error.errors(include_url=False)[0]
    *path, name = first["loc"]
    at = "".join(f"[{part}]" if isinstance(part, int) else str(part) for part in path)
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        form: Any = {"quasi": Quasi, "sensitive": Sensitive}.get(str(path[0]) if path else "", Knowledge)
        allowed = ", ".join(sorted({field.name for field in fields(form)} - {"groupings"}))
        return f"{at + ': ' if at else ''}unknown field '{name}'; allowed are {allowed}"
    problem = (
        f"field '{name}' is missing"
        if first["type"] == "missing"
        else f"{name}: {first['msg'].removeprefix('Value error, ')}"
    )
    return f"{at + ': ' if at else ''}{problem}"


def _check(knowledge: Knowledge, file: str) -> None:
    """What concerns several fields: columns are named, levels known, names used once."""
    for entries in (knowledge.quasi, knowledge.sensitive):
        names = [entry.name for entry in entries]
        for entry in entries:
            at = f"{file}: '{entry.name}'"
            if names.count(entry.name) > 1:
                raise UsageError(f"{at}: the name is there twice")
            if not entry.columns and entry.how != "count":
                raise UsageError(f"{at}: field 'columns' is missing")
            check_level(entry.fact if isinstance(entry, Quasi) else entry.at, knowledge.groupings, at)
