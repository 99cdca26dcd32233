"""The pages speak the reader's language, and a further language is one more folder of catalogues."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client, override_settings

from erios import translation
from erios.django_settings import named_languages
from erios.governance.study import State
from erios.settings import Settings
from erios.studies.models import Notification
from tests import texts
from tests.portal.stories import at
from tests.portal.test_letters import only_sqlite, written
from tests.portal.test_pages import client


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


@only_sqlite
def test_a_further_language_is_one_folder(database: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its texts are on a page, in a criterion, a refusal and a letter, and its name is among the choices."""
    texts.make_pseudo_language(tmp_path, "de")
    monkeypatch.setattr(translation, "LOCALE", tmp_path)
    monkeypatch.setenv("ERIOS_PORTAL__LANGUAGE", "de")
    proposal = at(State.SUBMITTED)
    with override_settings(LOCALE_PATHS=[tmp_path], LANGUAGES=named_languages()):
        browser = client("dan")
        page = browser.get("/accueil/", secure=True, headers={"accept-language": "de"}).content.decode()
        assert 'lang="de"' in page
        assert "[Mon travail]" in page
        assert "[soumis]" in page
        assert 'value="de" lang="de">Deutsch' in browser.get("/accueil/", secure=True).content.decode()
        address = f"/etudes/{proposal.study.number}/v1/"
        page = browser.get(address, secure=True, headers={"accept-language": "de"}).content.decode()
        assert "[diagnostic CIM-10 I50]" in page
        vote = f"/etudes/{proposal.study.number}/v1/action/vote/"
        refused = browser.post(vote, {"opinion": "favourable"}, secure=True, headers={"accept-language": "de"})
        assert "[« [voter] » n&#x27;est pas possible à l&#x27;état « [soumis] »]" in refused.content.decode()
    (letter, *_) = written(*Notification.objects.values_list("pk", flat=True))
    assert letter.subject.startswith("[[Erios]")
    assert "« [soumis] »" in letter.body
