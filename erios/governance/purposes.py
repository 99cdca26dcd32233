"""Purposes that no study may have, each with the law that forbids it.

Owns the list and the rule: a purpose that is declared is refused; words that speak of one are refused too, unless the
proposer has written what they mean there, for the reviewers to read. Sources: GDPR (EU) 2016/679; EU AI Act (EU)
2024/1689, article 5; Code de la santé publique (CSP), articles L1461-1 and L1460-1.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from erios.governance.words import Refusal


@dataclass(frozen=True)
class ForbiddenPurpose:
    """``code`` names it; ``words``: what text that speaks of it matches, without accents and in lower case."""

    code: str
    law: str
    words: re.Pattern[str]


def _purpose(code: str, law: str, words: str) -> ForbiddenPurpose:
    return ForbiddenPurpose(code, law, re.compile(words))


FORBIDDEN: tuple[ForbiddenPurpose, ...] = (
    _purpose(
        "biometric-identification",
        "EU AI Act, article 5(1)(e), (g) and (h); GDPR, article 9(1)",
        r"\b(reconnaissance (faciale|des visages?)|(facial|face) recognition"
        r"|(identification|categori[sz]ation) biometrique|biometric (identification|categori[sz]ation))",
    ),
    _purpose(
        "re-identification",
        "CSP, article L1461-1; GDPR, articles 5(1)(c) and 89(1)",
        r"\b(re-?identif(ication|ier|y)|identifier les (patients|personnes) nommement|lever l.anonymat)",
    ),
    _purpose(
        "promotion",
        "CSP, article L1461-1 V 1°",
        r"\b(promotion (de|d.un|du|des) (produits?|medicaments?|dispositifs?)|demarchage|publicite ciblee"
        r"|marketing|targeted advertis)",
    ),
    _purpose(
        "insurance-selection",
        "CSP, article L1461-1 V 2°",
        r"\b(primes? d.assurance|tarification (de l.)?assurance|selection (des )?(assures|risques d.assurance)"
        r"|insurance (premium|selection|underwriting))",
    ),
    _purpose(
        "social-scoring",
        "EU AI Act, article 5(1)(c)",
        r"\b(notation sociale|credit social|score social|social scor)",
    ),
    _purpose(
        "manipulation",
        "EU AI Act, article 5(1)(a) and (b)",
        r"\b(manipulation (des personnes|des patients|subliminale)|technique subliminale|subliminal)",
    ),
    _purpose(
        "crime-prediction",
        "EU AI Act, article 5(1)(d)",
        r"\b(prediction (d.infractions?|de recidive|de la delinquance)|police predictive|predict(ing|ion of) crime)",
    ),
    _purpose(
        "emotion-at-work",
        "EU AI Act, article 5(1)(f)",
        r"\b((reconnaissance|detection) des emotions|emotion (recognition|detection))",
    ),
)
BY_CODE: Mapping[str, ForbiddenPurpose] = {purpose.code: purpose for purpose in FORBIDDEN}


@dataclass(frozen=True)
class Declaration:
    """What the proposal says of one forbidden purpose.

    ``declared``: it has this purpose. ``mentioned``: its words speak of it. ``explanation``: what they mean there.
    """

    code: str
    declared: bool = False
    mentioned: bool = False
    explanation: str = ""


def forbidden(declaration: Declaration) -> Refusal | None:
    """Why the proposal may not be submitted for this purpose's sake, or None."""
    purpose = BY_CODE[declaration.code]
    values = {"purpose": declaration.code, "law": purpose.law}
    if declaration.declared:
        return Refusal("declared", values)
    if declaration.mentioned and not declaration.explanation.strip():
        return Refusal("mentioned", values)
    return None


def mentions(texts: Iterable[str]) -> Iterator[str]:
    """Codes of the forbidden purposes that the texts speak of."""
    plain = _plain(" \n ".join(texts))
    yield from (purpose.code for purpose in FORBIDDEN if purpose.words.search(plain))


def _plain(text: str) -> str:
    """Lower case, without accents, every blank one space."""
    letters = unicodedata.normalize("NFKD", text.lower().replace("’", "'"))
    return " ".join("".join(char for char in letters if not unicodedata.combining(char)).split())
