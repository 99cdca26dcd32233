"""What a proposal says, and what reviewers refuse most: the linter that speaks before they do.

Owns the names of a proposal's fields and the findings about them. ``block`` findings stop the submission; ``advise``
findings are what reviewers most often send back. Sources: CNIL reference methodologies MR-003 and MR-004
(deliberations 2018-154 and 2018-155 of 3 May 2018); GDPR articles 5, 13, 14 and 89; EU AI Act articles 5, 6, 50.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from erios.governance.purposes import FORBIDDEN, Declaration, mentions
from erios.translation import mark

TEXTS = ("title", "summary", "question", "method", "interest")
"""Fields in which the words of forbidden purposes are looked for."""


class AiClass(StrEnum):
    """The class of an AI system under Regulation (EU) 2024/1689."""

    NONE = "none"
    MINIMAL = "minimal"
    LIMITED = "limited"
    HIGH = "high"
    PROHIBITED = "prohibited"


@dataclass(frozen=True)
class LegalRoute:
    """A legal way to do a study, as dated data (conf/legal_routes.toml); days as ISO dates, ``until`` empty if open."""

    code: str
    version: str
    title: str
    source: str
    since: str
    until: str = ""
    max_retention_years: int = 0
    needs: tuple[str, ...] = ()

    def holds_on(self, day: str) -> bool:
        return self.since <= day and (not self.until or day <= self.until)


@dataclass(frozen=True)
class Finding:
    """One thing to mend: the field, whether it stops the submission, and the sentence's code in ``FINDINGS``."""

    field: str
    code: str
    blocks: bool


FINDINGS: Mapping[str, str] = {
    "empty": mark("à remplir"),
    "short": mark("trop court pour être jugé : quelques phrases sont nécessaires"),
    "jargon": mark("le public doit comprendre : évitez les sigles ({words})"),
    "unjustified": mark("chaque table et chaque colonne demandée doit être justifiée"),
    "no-data": mark("aucune donnée n'est demandée"),
    "no-cohort": mark("la cohorte n'est pas définie"),
    "unknown-route": mark("voie juridique inconnue ou plus en vigueur"),
    "too-long": mark("la conservation dépasse ce que permet la voie juridique"),
    "prohibited-ai": mark("pratique interdite par l'article 5 du règlement européen sur l'IA"),
    "unclassed-ai": mark("l'usage d'IA est annoncé sans sa classe de risque"),
    "dates": mark("la fin doit suivre le début"),
    "alone": mark("personne d'autre dans l'équipe : un méthodologiste est d'ordinaire attendu"),
    "precise-dates": mark("des dates exactes sont demandées : le mois ou l'année suffit-il ?"),
}
_REQUIRED = ("title", "summary", "question", "method", "interest", "route", "information", "retention_years")
_MINIMUM = {"summary": 200, "question": 80, "method": 150, "interest": 80, "information": 40}


def lint(content: Mapping[str, Any], *, routes: Sequence[LegalRoute], team: int, today: str) -> list[Finding]:
    """Everything to mend in a proposal, what stops it first."""
    findings = [*_blocking(content, routes, today), *_advice(content, team)]
    return sorted(findings, key=lambda finding: not finding.blocks)


def _blocking(content: Mapping[str, Any], routes: Sequence[LegalRoute], today: str) -> Iterator[Finding]:
    for name in _REQUIRED:
        if not str(content.get(name) or "").strip():
            yield Finding(name, "empty", True)
    yield from _route(content, routes, today)
    yield from _data(content)
    yield from _ai(content.get("ai") or {})
    if content.get("starts") and content.get("ends") and content["ends"] <= content["starts"]:
        yield Finding("ends", "dates", True)
    for name in ("starts", "ends"):
        if not content.get(name):
            yield Finding(name, "empty", True)


def _route(content: Mapping[str, Any], routes: Sequence[LegalRoute], today: str) -> Iterator[Finding]:
    if not content.get("route"):
        return
    route = next((route for route in routes if route.code == content["route"] and route.holds_on(today)), None)
    if route is None:
        yield Finding("route", "unknown-route", True)
    elif route.max_retention_years and float(content.get("retention_years") or 0) > route.max_retention_years:
        yield Finding("retention_years", "too-long", True)


def _data(content: Mapping[str, Any]) -> Iterator[Finding]:
    tables = content.get("data") or []
    if not tables:
        yield Finding("data", "no-data", True)
    wanting = [table for table in tables if not _is_justified(table)]
    if wanting:
        yield Finding("data", "unjustified", True)
    if not content.get("cohort"):
        yield Finding("cohort", "no-cohort", True)


def _is_justified(table: Mapping[str, Any]) -> bool:
    columns = table.get("columns") or []
    return bool(columns) and all(str(column.get("why") or table.get("why") or "").strip() for column in columns)


def _ai(ai: Mapping[str, Any]) -> Iterator[Finding]:
    if ai.get("used") and ai.get("class") in (None, "", AiClass.NONE):
        yield Finding("ai", "unclassed-ai", True)
    if ai.get("class") == AiClass.PROHIBITED:
        yield Finding("ai", "prohibited-ai", True)


def _advice(content: Mapping[str, Any], team: int) -> Iterator[Finding]:
    for name, least in _MINIMUM.items():
        if 0 < len(str(content.get(name) or "").strip()) < least:
            yield Finding(name, "short", False)
    if abbreviations(str(content.get("summary") or "")):
        yield Finding("summary", "jargon", False)
    if not team:
        yield Finding("team", "alone", False)
    if any(
        column.get("dates") == "exact" for table in content.get("data") or [] for column in table.get("columns", ())
    ):
        yield Finding("data", "precise-dates", False)


def abbreviations(text: str) -> list[str]:
    """Words of capitals that the public may not know, each once."""
    words = [word.strip(".,;:()«»'’") for word in text.split()]
    return list(dict.fromkeys(word for word in words if len(word) > 1 and word.isalpha() and word.isupper()))


def declarations(content: Mapping[str, Any]) -> tuple[Declaration, ...]:
    """What the proposal says of each forbidden purpose."""
    answers = content.get("purposes") or {}
    mentioned = set(mentions(str(content.get(name) or "") for name in TEXTS))
    return tuple(
        Declaration(
            purpose.code,
            declared=bool((answers.get(purpose.code) or {}).get("declared")),
            mentioned=purpose.code in mentioned,
            explanation=str((answers.get(purpose.code) or {}).get("explanation") or ""),
        )
        for purpose in FORBIDDEN
    )
