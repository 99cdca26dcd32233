"""What a check says of a file: findings, each with its place and what mends it, in the reader's language.

A finding keeps a code and figures, never a value of the file: its sentences are made when they are read, so that a
stored report is shown in any language.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from erios.airlock.sentences import CHECKS, PLACES
from erios.translation import gettext

MOST_FINDINGS = 200
"""A report has so many at most: a file with more is no better known by reading them."""


class Form(StrEnum):
    """What a file is, by its content."""

    TABLE = "table"
    FIGURE = "figure"
    MODEL = "model"
    TEXT = "text"
    CODE = "code"
    NOTEBOOK = "notebook"
    OTHER = "other"


class Verdict(StrEnum):
    """What a finding does: hold the file; leave to the checkers what could not be measured; tell them something."""

    HELD = "held"
    UNMEASURED = "not measurable"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One thing that a check saw. ``check``: its stable name, as "small-cell"; ``place``: a key of PLACES, whose
    numbers (from 1) are in ``values`` as the sentences' other figures are."""

    check: str
    verdict: Verdict = Verdict.HELD
    place: str = "file"
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cell(self) -> tuple[int, int] | None:
        """(row, column) of the grid that ``erios.airlock.grids`` reads, from 0, the row of headers included."""
        return (self.values["row"] - 1, self.values["column"] - 1) if self.place == "cell" else None

    @property
    def where(self) -> str:
        """The place, in the current language."""
        return gettext(PLACES[self.place], **self.values)

    @property
    def message(self) -> str:
        """What is wrong, in the current language."""
        return gettext(CHECKS[self.check][0], **self.values)

    @property
    def remedy(self) -> str:
        """What mends it, in the current language."""
        return gettext(CHECKS[self.check][1], **self.values)

    def as_json(self) -> dict[str, Any]:
        """As it is stored; ``Finding(**stored)`` is the same finding."""
        return {"check": self.check, "verdict": self.verdict, "place": self.place, "values": dict(self.values)}


@dataclass(frozen=True)
class Report:
    """What the checks say of one file: its form, SHA-256, size in bytes, and findings."""

    form: Form
    digest: str
    bytes: int
    findings: tuple[Finding, ...] = ()

    @property
    def held(self) -> bool:
        """Whether any finding holds it."""
        return any(finding.verdict == Verdict.HELD for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """As it is stored."""
        findings = [finding.as_json() for finding in self.findings]
        return {"form": self.form, "digest": self.digest, "bytes": self.bytes, "findings": findings}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Report:
        """The report that ``as_json`` wrote."""
        findings = (
            Finding(one["check"], Verdict(one["verdict"]), one["place"], one["values"]) for one in stored["findings"]
        )
        return cls(Form(stored["form"]), stored["digest"], stored["bytes"], tuple(findings))


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each once, what holds first, and not without end."""
    ranks = list(Verdict)
    once = {(one.check, one.place, tuple(sorted(map(str, one.values.items())))): one for one in findings}
    return tuple(sorted(once.values(), key=lambda one: ranks.index(one.verdict))[:MOST_FINDINGS])
