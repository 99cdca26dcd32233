"""The catalogues: each text has its translation in each language, with the same values in it; all are compiled."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
from babel.messages.catalog import Message

from erios import translation
from erios.extracts.criteria import describe, parse
from erios.governance.study import Action, State
from erios.governance.words import Refusal, word
from erios.translation import LOCALE, SOURCE, format_day, format_number, format_percent, gettext, languages, using
from tests import texts

CATALOGUES = sorted(LOCALE.glob("*/LC_MESSAGES/*.po"))
_VALUES = re.compile(r"{\w*(?::\w+)?}|%\(\w+\)s|%d")


def test_there_are_two_languages_at_least() -> None:
    assert languages()[0] == SOURCE == "fr"
    assert "en" in languages()


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_no_entry_is_without_its_translation_or_uncertain(path: Path) -> None:
    entries = [entry for entry in texts.read_catalogue(path) if entry.id]
    assert len(entries) > 700
    assert [entry.id for entry in entries if entry.fuzzy or not all(_strings(entry))] == []


def _strings(entry: Message) -> list[str]:
    return [entry.string] if isinstance(entry.string, str) else list(entry.string or ())


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_a_translation_has_the_values_of_its_text(path: Path) -> None:
    for entry in texts.read_catalogue(path):
        for text in _strings(entry) if entry.id else []:
            source = entry.id if isinstance(entry.id, str) else entry.id[0]
            assert sorted(_VALUES.findall(text)) == sorted(_VALUES.findall(source)), source


@pytest.mark.parametrize("code", [code for code in languages() if code != SOURCE])
def test_a_catalogue_holds_the_texts_of_the_code_and_no_other(code: str) -> None:
    catalogue = texts.read_catalogue(LOCALE / code / "LC_MESSAGES" / "django.po")
    held = {(entry.id, entry.context) for entry in catalogue if entry.id}
    assert {(text, context) for text, context in texts.texts()} - held == set()
    assert held - {(text, context) for text, context in texts.texts()} == set()


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_the_compiled_catalogue_is_that_of_the_source(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.parts[-3] / "LC_MESSAGES" / path.name
    copy.parent.mkdir(parents=True)
    copy.write_bytes(path.read_bytes())
    texts.compile_catalogue(copy)
    assert copy.with_suffix(".mo").read_bytes() == path.with_suffix(".mo").read_bytes()


def test_numbers_and_days_are_written_as_the_language_does() -> None:
    with using("fr"):
        assert (format_number(0.5, 2), format_percent(0.125), format_day(date(2031, 2, 1))) == (
            "0,50",
            "12,5 %",
            "01/02/2031",
        )
    with using("en"):
        assert (format_number(0.5, 2), format_percent(0.125), format_day(date(2031, 2, 1))) == (
            "0.50",
            "12.5%",
            "2031-02-01",
        )
    assert format_percent(None) == "–"


def test_a_text_without_its_translation_is_shown_as_it_is() -> None:
    with using("en"):
        assert gettext("Un texte que nul catalogue ne tient : {n}", n=1) == "Un texte que nul catalogue ne tient : 1"
        assert gettext("") == ""


def test_a_further_language_is_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts.make_pseudo_language(tmp_path, "de")
    monkeypatch.setattr(translation, "LOCALE", tmp_path)
    assert "de" in languages()
    with using("de"):
        assert word("rejected") == "[refusé]"
        refusal = Refusal("not-now", {"action": Action.VOTE, "state": State.ACTIVE})
        assert str(refusal) == "[« [voter] » n'est pas possible à l'état « [en cours] »]"
        assert describe(parse({"and": [{"sex": "male"}]})) == "[sexe : [homme]]"
    with using("en"):
        assert str(refusal) == "'vote' is not possible while it is active"
