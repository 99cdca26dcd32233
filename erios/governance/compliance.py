"""What rules ask of a warehouse, as data: requirements, and what a look at the running system may find.

Owns the form of ``conf/compliance.toml`` and the words of its answers. It looks at nothing itself: the checks are named
here and live in ``erios.compliance``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from erios.errors import UsageError

LANGUAGES = ("fr", "en")


class Status(StrEnum):
    """What stands behind a requirement now."""

    MET = "met"
    NOT_MET = "not met"
    NOT_APPLICABLE = "not applicable"
    ORGANISATIONAL = "organisational"


@dataclass(frozen=True)
class Finding:
    """What a check saw, in a sentence for each language; never a patient's value, never a count under the threshold."""

    status: Status
    fr: str
    en: str

    def say(self, language: str) -> str:
        return self.en if language == "en" else self.fr


def met(fr: str, en: str) -> Finding:
    """A finding that satisfies."""
    return Finding(Status.MET, fr, en)


def not_met(fr: str, en: str) -> Finding:
    """A finding that does not."""
    return Finding(Status.NOT_MET, fr, en)


def not_applicable(fr: str, en: str) -> Finding:
    """Nothing here that the requirement is about."""
    return Finding(Status.NOT_APPLICABLE, fr, en)


@dataclass(frozen=True)
class Requirement:
    """One requirement: what is asked, how it is met, and the check that shows it (none: organisation)."""

    id: str
    theme: str
    fr: str
    en: str
    how_fr: str
    how_en: str
    check: str = ""

    def asks(self, language: str) -> str:
        return self.en if language == "en" else self.fr

    def how(self, language: str) -> str:
        return self.how_en if language == "en" else self.how_fr


@dataclass(frozen=True)
class Framework:
    """A text that asks: its name, where it is published, its themes in both languages, and its requirements."""

    name: str
    source: str
    fr: str
    en: str
    themes: Mapping[str, Mapping[str, str]]
    requirements: tuple[Requirement, ...]

    def about(self, language: str) -> str:
        return self.en if language == "en" else self.fr


def read_frameworks(file: Path, checks: Sequence[str]) -> tuple[Framework, ...]:
    """The frameworks of a file; UsageError names the requirement whose form, theme or check is unknown."""
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from None
    try:
        return tuple(_framework(one, checks) for one in raw["framework"])
    except KeyError as error:
        raise UsageError(f"{file}: {error} is missing") from None


def _framework(raw: Mapping[str, Any], checks: Sequence[str]) -> Framework:
    themes = raw["themes"]
    asked = tuple(_requirement(one, themes, checks) for one in raw["requirement"])
    return Framework(raw["name"], raw["source"], raw["fr"], raw["en"], themes, asked)


def _requirement(raw: Mapping[str, Any], themes: Mapping[str, Any], checks: Sequence[str]) -> Requirement:
    name = raw["id"]
    if unknown := set(raw) - {field.name for field in fields(Requirement)}:
        raise UsageError(f"requirement {name}: unknown {', '.join(sorted(unknown))}")
    if raw["theme"] not in themes:
        raise UsageError(f"requirement {name}: unknown theme '{raw['theme']}'; known are {', '.join(themes)}")
    if raw.get("check", "") not in ("", *checks):
        raise UsageError(f"requirement {name}: unknown check '{raw['check']}'; known are {', '.join(checks)}")
    return Requirement(**raw)
