"""Every page: whom it is for, what it says, and that it says no more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from erios.accounts.models import User
from erios.governance.roles import Permission, Role
from erios.governance.study import State
from erios.portal.access import PUBLIC, STAFF
from tests.portal.conftest import CAST, seal_everything
from tests.portal.stories import at, who

ADDRESSES = {
    "number": "E2099-001",
    "version": 1,
    "section": "presentation",
    "action": "triage",
    "name": "patient",
    "release_id": "r000001",
    "page": "index.html",
    "request_number": "E2099-001-S01",
    "login": "ada",
}


def own_patterns() -> Iterator[URLPattern]:
    """The portal's own pages; those of the accounts library are its own business."""
    for found in get_resolver().url_patterns:
        if isinstance(found, URLPattern):
            yield found
        else:
            assert isinstance(found, URLResolver)
            assert str(found.pattern) == "compte/"


def client(login: str | None) -> Client:
    """A browser in which this member of the cast is logged in, with a second factor."""
    from allauth.mfa.models import Authenticator

    browser = Client(headers={"host": "localhost"})
    if login:
        user = who(login)
        Authenticator.objects.get_or_create(user=user, type="totp", defaults={"data": {"secret": "x"}})
        browser.force_login(user)
    return browser


def address(pattern: URLPattern) -> str:
    arguments = {name: ADDRESSES[name] for name in pattern.pattern.converters}
    return reverse(str(pattern.name), kwargs=arguments)


def test_every_page_says_whom_it_is_for() -> None:
    for pattern in own_patterns():
        audience = getattr(pattern.callback, "audience", None)
        assert audience in (PUBLIC, STAFF, *Permission), pattern.name


ONE_OF_A_ROLE = {role: next(login for login, roles in CAST.items() if roles == {role}) for role in Role}


@pytest.mark.parametrize("role", Role)
def test_a_page_is_closed_to_roles_that_it_is_not_for(role: Role, database: Any) -> None:
    """403 for those it is not for; whatever else for those it is for: 404 of a study they may not see, 405 of a GET."""
    browser = client(ONE_OF_A_ROLE[role])
    for pattern in own_patterns():
        audience = pattern.callback.audience  # type: ignore[attr-defined]
        is_open = audience in (PUBLIC, STAFF) or audience in role.permissions
        for method in ("get", "post"):
            found = getattr(browser, method)(address(pattern), secure=True).status_code
            assert (found == 403) == (not is_open), (pattern.name, method, found)


def test_a_page_that_is_not_public_asks_to_log_in(database: Any) -> None:
    browser = client(None)
    for pattern in own_patterns():
        found = browser.get(address(pattern), secure=True)
        is_public = pattern.callback.audience == PUBLIC  # type: ignore[attr-defined]
        assert ("/compte/login/" in found.headers.get("Location", "")) == (not is_public), pattern.name


def test_an_account_without_a_role_sees_nothing(database: Any) -> None:
    user = User.objects.create(username="nobody")
    seal_everything()
    browser = client("nobody")
    assert user.roles == frozenset()
    assert browser.get("/accueil/", secure=True).status_code == 403


def test_a_closed_account_is_out_at_the_next_click(database: Any) -> None:
    from erios.accounts.actions import close_account

    browser = client("ada")
    assert browser.get("/accueil/", secure=True).status_code == 200
    close_account(by=who("admin"), user=who("ada"), reason="left the hospital")
    assert browser.get("/accueil/", secure=True).status_code == 302


def test_a_local_account_sets_up_a_second_factor_before_anything_else(database: Any) -> None:
    browser = Client(headers={"host": "localhost"})
    browser.force_login(who("ada"))
    found = browser.get("/accueil/", secure=True)
    assert found.headers["Location"] == reverse("mfa_activate_totp")


def test_five_wrong_passwords_lock_the_login_for_a_while(database: Any) -> None:
    user = who("ada")
    user.set_password("the right long password")
    user.save()
    seal_everything()
    browser = Client(headers={"host": "localhost"})
    for _ in range(5):
        browser.post("/compte/login/", {"login": "ada", "password": "wrong"}, secure=True)
    found = browser.post("/compte/login/", {"login": "ada", "password": "the right long password"}, secure=True)
    assert "_auth_user_id" not in browser.session
    assert found.status_code == 200


def test_nobody_signs_up(database: Any) -> None:
    browser = Client(headers={"host": "localhost"})
    said = {"username": "intruder", "password1": "a long enough password"}
    browser.post("/compte/signup/", said, secure=True)
    assert not User.objects.filter(username="intruder").exists()


@pytest.mark.parametrize("login", ["bob", "com1", "ada"])
def test_a_draft_is_read_by_its_team_alone(login: str, database: Any) -> None:
    proposal = at(State.DRAFT)
    found = client(login).get(f"/etudes/{proposal.study.number}/", secure=True).status_code
    assert found == (404 if login == "com1" else 200)


def test_the_register_shows_decided_studies_and_nothing_of_others(database: Any) -> None:
    at(State.DRAFT)
    at(State.UNDER_REVIEW)
    shown = at(State.ACTIVE)
    browser = client(None)
    page = browser.get("/", secure=True).content.decode()
    feed = json.loads(browser.get("/registre.json", secure=True).content)
    assert [study["number"] for study in feed["studies"]] == [shown.study.number]
    assert page.count('class="number"') == 1
    assert shown.content["title"].split(" :")[0] in page
    for login in CAST:
        assert f">{login}<" not in page


def test_a_citizens_request_reaches_the_dpo_and_lies_sealed(database: Any) -> None:
    said = {"kind": "objection", "name": "Camille Étrange", "birth_date": "1950-01-31", "contact": "c@example.org"}
    found = client(None).post("/droits/", {**said, "text": ""}, secure=True)
    assert "Votre demande est enregistrée" in found.content.decode()
    page = client("dpo").get("/demandes/", secure=True).content.decode()
    assert "Camille Étrange" in page
    for zone in (database.governance, database.identity):
        for path in zone.rglob("*"):
            if path.is_file():
                assert "Étrange".encode() not in path.read_bytes(), path


def test_pages_carry_the_headers_that_keep_browsers_safe(database: Any) -> None:
    headers = client(None).get("/", secure=True).headers
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Strict-Transport-Security"].startswith("max-age=")


def test_no_template_has_a_script_or_style_of_its_own() -> None:
    from pathlib import Path

    import erios.portal

    for path in Path(erios.portal.__file__).parent.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert "<script" not in text, path
        assert " style=" not in text, path
        assert "https://" not in text, path


def test_the_wizard_saves_as_it_goes_and_says_what_is_missing(database: Any) -> None:
    browser = client("ada")
    browser.post("/etudes/", {"title": "Une étude"}, secure=True)
    number = who("ada").studies.get().number
    here = f"/etudes/{number}/v1/methode/"
    saved = browser.post(here, {"question": "Pourquoi ?"}, headers={"HX-Request": "true"}, secure=True)
    assert "Enregistré à" in saved.content.decode()
    page = browser.get(f"/etudes/{number}/", secure=True).content.decode()
    assert "Pourquoi ?" in page
    assert "à remplir" in page


def test_a_refusal_of_the_rules_is_a_sentence_in_french(database: Any) -> None:
    proposal = at(State.SUBMITTED)
    found = client("com1").post(f"/etudes/{proposal.study.number}/v1/action/triage/", secure=True)
    assert found.status_code == 409
    assert "« déclarer recevable » revient à : gestionnaire de données" in found.content.decode().replace("&#x27;", "'")


def test_the_dossier_is_a_pdf_and_json_with_its_decision(database: Any) -> None:
    proposal = at(State.ACTIVE)
    browser, here = client("dan"), f"/etudes/{proposal.study.number}/v1"
    said = json.loads(browser.get(f"{here}/dossier.json", secure=True).content)
    assert [one["part"] for one in said["reviews"]] == ["vote", "vote", "vote", "visa", "decision"]
    assert said["cohort"]
    assert len(said["record"]["audit_seal"]) == 64
    pdf = browser.get(f"{here}/dossier.pdf", secure=True)
    assert pdf.headers["Content-Type"] == "application/pdf"
    assert pdf.content.startswith(b"%PDF-")
    assert len(pdf.content) > 2000


def test_the_register_of_processing_has_every_study_in_force(database: Any) -> None:
    at(State.UNDER_REVIEW)
    shown = at(State.ACTIVE)
    register = json.loads(client("dpo").get("/journal/article-30.json", secure=True).content)
    (entry,) = register["activities"]
    assert entry["reference"] == f"{shown.study.number} v1"
    assert all(entry.values())
