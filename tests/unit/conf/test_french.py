"""The French catalogue of the views: every text of conf/views has its French, and no entry is left over."""

from __future__ import annotations

import json
import re

import pytest

from erios.checkout import PROJECT
from erios.governance.words import WORDS
from erios.view_texts import ViewTexts, view_texts
from etl.privacy import RULES
from etl.tables import load_tables

VIEWS = PROJECT / "conf" / "views"
FRENCH = view_texts(VIEWS, "fr")
RAW = [json.loads(path.read_text("utf-8")) for path in sorted(VIEWS.glob("*.json"))]
COLUMNS = [column for table in load_tables(VIEWS) for column in table.view.columns]
TITLES = {*(raw["title"] for raw in RAW), *(column.tags["erios/title"] for column in COLUMNS)}
TEXTS = {*(raw["description"] for raw in RAW), *(column.description or "" for column in COLUMNS)}


@pytest.mark.parametrize("text", sorted(TEXTS))
def test_every_description_is_said_in_french(text: str) -> None:
    said = FRENCH.text(text)
    assert said != text
    assert not re.search(r"\b(the|of|and|when|which|with)\b", said), said
    assert {*re.findall(r"\b[a-z]+_[a-z_]+\b", text)} == {*re.findall(r"\b[a-z]+_[a-z_]+\b", said)}


def test_every_title_is_said_in_french() -> None:
    assert [title for title in TITLES if FRENCH.known_title(title) is None] == []


def test_no_line_is_left_over() -> None:
    every = "\n".join(TEXTS)
    lines = [line for line in FRENCH.sentences if not re.search(_of(line), every)]
    titles = [line for line in FRENCH.titles if not re.search(f"(?m)^{_of(line)}( \\(|:|$)", "\n".join(TITLES))]
    assert lines + titles + [noun for noun in FRENCH.nouns if noun not in every] == []


def _of(line: str) -> str:
    return re.escape(line).replace(r"\{x\}", ".+").replace(r"\{y\}", ".+")


def test_a_text_with_an_unknown_sentence_stays_whole() -> None:
    texts = ViewTexts(sentences={"One.": "Un."})
    assert texts.text("One. Two.") == "One. Two."
    assert texts.text("One. One.") == "Un. Un."


def test_a_pattern_takes_names_as_they_are_and_nouns_only_when_known() -> None:
    texts = ViewTexts(sentences={"Key of {x}.": "Clé {x}."}, nouns={"the stay": "du séjour"})
    assert texts.text("Key of the stay.") == "Clé du séjour."
    assert texts.text("Key of stay_id.") == "Clé stay_id."
    assert texts.text("Key of the house.") == "Key of the house."


def test_every_privacy_rule_has_its_words() -> None:
    assert RULES.keys() <= WORDS.keys()
