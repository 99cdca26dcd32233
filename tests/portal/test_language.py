"""Both languages: every text of the pages has its English, and the pages speak the reader's language."""

from __future__ import annotations

import gettext
import re
from pathlib import Path

import pytest
from django.test import Client

import erios.portal
from tests.portal.test_pages import client

FOLDER = Path(erios.portal.__file__).parent
LOCALE = FOLDER / "locale" / "en" / "LC_MESSAGES"


def translations() -> dict[str, str]:
    with (LOCALE / "django.mo").open("rb") as compiled:
        return dict(gettext.GNUTranslations(compiled)._catalog)  # type: ignore[attr-defined]


def test_the_compiled_texts_are_those_of_the_source() -> None:
    source = (LOCALE / "django.po").read_text(encoding="utf-8")
    pairs = re.findall(r'^msgid "(.+)"\nmsgstr "(.*)"$', source, re.MULTILINE)
    known = translations()
    assert len(pairs) > 200
    for french, english in pairs:
        assert english, french
        assert known[french.replace('\\"', '"')] == english.replace('\\"', '"')


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.html")), ids=lambda path: path.stem)
def test_every_text_of_a_page_has_its_english(path: Path) -> None:
    marked = re.findall(r'{% translate ["\'](.+?)["\'] %}', path.read_text(encoding="utf-8"))
    assert [text for text in marked if text not in translations()] == []


def test_a_reader_of_english_reads_english(database: object) -> None:
    browser = Client(headers={"host": "localhost", "accept-language": "en"})
    assert "What are the hospital" in browser.get("/", secure=True).content.decode()
    assert 'lang="en"' in browser.get("/droits/", secure=True).content.decode()


def test_whoever_asks_for_no_language_reads_french(database: object) -> None:
    page = Client(headers={"host": "localhost"}).get("/", secure=True).content.decode()
    assert "À quoi servent les données" in page
    assert 'lang="fr"' in page


def test_the_catalogue_speaks_the_readers_language(database: object) -> None:
    french, english = (client("ada"), client("ada"))
    page = french.get("/catalogue/patient/", secure=True).content.decode()
    assert "Date de naissance, réduite au mois." in page
    assert "réduit au mois" in page
    page = english.get("/catalogue/patient/", secure=True, headers={"accept-language": "en"}).content.decode()
    assert "Birth date, cut to the month." in page
    assert "cut to the month" in page
