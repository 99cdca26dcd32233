"""What rules ask of a warehouse, as data: requirements, and what a look at the running system may find.

Owns the form of ``conf/compliance.toml`` and the words of its answers. It looks at nothing itself: the checks are named
here and live in ``erios.compliance``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from erios.errors import UsageError
from erios.translation import gettext


class Status(StrEnum):
    """What stands behind a requirement now."""

    MET = "met"
    NOT_MET = "not met"
    NOT_APPLICABLE = "not applicable"
    ORGANISATIONAL = "organisational"


@dataclass(frozen=True)
class Finding:
    """What a check saw: ``values`` fill the text's ``{names}``, of a list the first five; never a patient's value, or a
    count under the limit."""

    status: Status
    text: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """The sentence in the current language."""
        shown = {name: _listed(v) if isinstance(v, list) else v for name, v in self.values.items()}
        return gettext(self.text, **shown)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def met(text: str, /, **values: Any) -> Finding:
    """A finding that satisfies."""
    return Finding(Status.MET, text, values)


def not_met(text: str, /, **values: Any) -> Finding:
    """A finding that does not."""
    return Finding(Status.NOT_MET, text, values)


def not_applicable(text: str, /, **values: Any) -> Finding:
    """Nothing here that the requirement is about."""
    return Finding(Status.NOT_APPLICABLE, text, values)


@dataclass(frozen=True)
class Requirement:
    """One requirement: what is asked, how it is met, and the check that shows it (none: organisation).

    ``text`` and ``how`` are in French; ``gettext`` translates them.
    """

    id: str
    theme: str
    text: str
    how: str
    check: str = ""


@dataclass(frozen=True)
class Framework:
    """A text that asks: its name, where it is published, its title, its themes by code, and its requirements."""

    name: str
    source: str
    title: str
    themes: Mapping[str, str]
    requirements: tuple[Requirement, ...]


def read_frameworks(file: Path, checks: Sequence[str]) -> tuple[Framework, ...]:
    """The frameworks of a file; UsageError names the requirement whose form, theme or check is unknown."""
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from None
    try:
        return tuple(_framework(framework, checks) for framework in raw["framework"])
    except KeyError as error:
        raise UsageError(f"{file}: {error} is missing") from None


def _framework(raw: Mapping[str, Any], checks: Sequence[str]) -> Framework:
    themes = raw["themes"]
    requirements = tuple(_requirement(requirement, themes, checks) for requirement in raw["requirement"])
    return Framework(raw["name"], raw["source"], raw["title"], themes, requirements)


def _requirement(raw: Mapping[str, Any], themes: Mapping[str, Any], checks: Sequence[str]) -> Requirement:
    name = raw["id"]
    if unknown := set(raw) - {field.name for field in fields(Requirement)}:
        raise UsageError(f"requirement {name}: unknown {', '.join(sorted(unknown))}")
    if raw["theme"] not in themes:
        raise UsageError(f"requirement {name}: unknown theme '{raw['theme']}'; known are {', '.join(themes)}")
    if raw.get("check", "") not in ("", *checks):
        raise UsageError(f"requirement {name}: unknown check '{raw['check']}'; known are {', '.join(checks)}")
    return Requirement(**raw)
