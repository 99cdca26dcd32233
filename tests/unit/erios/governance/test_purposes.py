"""Forbidden purposes: declared ones are refused, and words that speak of one want an explanation."""

from __future__ import annotations

import pytest

from erios.governance.purposes import FORBIDDEN, Declaration, forbidden, mentions
from erios.governance.words import WORDS
from erios.translation import using

SPOKEN = {
    "biometric-identification": ["Reconnaissance  FACIALE des patients", "un modèle de facial recognition"],
    "re-identification": ["Réidentification des dossiers", "we re-identify the records"],
    "promotion": ["promotion de médicaments auprès des médecins", "marketing"],
    "insurance-selection": ["calcul de la prime d’assurance", "insurance underwriting"],
    "social-scoring": ["notation sociale"],
    "manipulation": ["technique subliminale"],
    "crime-prediction": ["prédiction de récidive", "predicting crime"],
    "emotion-at-work": ["reconnaissance des émotions des soignants"],
}
HARMLESS = [
    "Facteurs de risque d'insuffisance cardiaque chez les patients diabétiques",
    "promotion de la santé à l'école",
    "identification des facteurs pronostiques",
    "assurance qualité des comptes rendus",
    "la récidive du cancer du sein",
    "traumatismes faciaux",
]


@pytest.mark.parametrize(("code", "text"), [(code, text) for code, texts in SPOKEN.items() for text in texts])
def test_words_of_a_forbidden_purpose_are_seen(code: str, text: str) -> None:
    assert list(mentions(["Une étude", text])) == [code]


@pytest.mark.parametrize("text", HARMLESS)
def test_words_of_care_and_research_are_not(text: str) -> None:
    assert list(mentions([text])) == []


@pytest.mark.parametrize("purpose", FORBIDDEN, ids=lambda purpose: purpose.code)
def test_a_forbidden_purpose_is_refused_with_its_law(purpose) -> None:
    found = forbidden(Declaration(purpose.code, declared=True, explanation="but ours is good"))
    assert found is not None
    assert purpose.law in str(found)
    with using("fr"):
        assert WORDS[purpose.code] in str(found)


def test_a_mention_needs_an_explanation() -> None:
    said = Declaration("promotion", mentioned=True)
    found = forbidden(said)
    assert found is not None
    assert found.code == "mentioned"
    assert forbidden(Declaration("promotion", mentioned=True, explanation="compares two posters")) is None
    assert forbidden(Declaration("promotion")) is None


def test_a_blank_explanation_explains_nothing() -> None:
    refusal = forbidden(Declaration("promotion", mentioned=True, explanation=" \n\t"))
    assert refusal is not None
    assert refusal.code == "mentioned"


def test_every_forbidden_purpose_has_words_that_the_tests_speak() -> None:
    assert {purpose.code for purpose in FORBIDDEN} == set(SPOKEN)
