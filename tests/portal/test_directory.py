"""Who comes in by the hospital's directory, with which roles; and how fast whoever may no longer come is out."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.test import Client, override_settings

from erios.accounts.actions import close_account
from erios.accounts.models import User
from erios.audit import read_events
from erios.django_settings import providers_of
from erios.errors import UsageError
from erios.governance.roles import Role
from erios.settings import Settings, load_settings
from tests.portal.directory import CLIENT, SECRET, Directory, open_directory
from tests.portal.stories import who

ROLES = {"g-doctors": "clinician", "g-dpo": "dpo", "g-committee": "committee"}


@pytest.fixture
def directory(database: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Directory]:
    """The portal's settings name a directory that answers."""
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    with open_directory() as opened:
        named = {"ISSUER": opened.issuer, "CLIENT_ID": CLIENT, "SECRET_FILE": str(secret), "ROLES": json.dumps(ROLES)}
        for name, value in named.items():
            monkeypatch.setenv(f"ERIOS_PORTAL__DIRECTORY__{name}", value)
        with override_settings(SOCIALACCOUNT_PROVIDERS=providers_of(load_settings().portal)):
            yield opened


def come(directory: Directory, login: str, *groups: str) -> tuple[Client, int]:
    """Walk the whole way of the code flow as a browser does; the browser, and the status of the last answer."""
    directory.claims = {"sub": f"id-{login}", "preferred_username": login, "email": f"{login}@example.org"}
    directory.claims["groups"] = list(groups)
    browser = Client(headers={"host": "localhost"})
    there = browser.post("/compte/oidc/hospital/login/", secure=True).headers["Location"]
    assert there.startswith(f"{directory.issuer}/authorize?")
    back = urlsplit(_location(there))
    return browser, browser.get(f"{back.path}?{back.query}", secure=True).status_code


def _location(address: str) -> str:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        answer = connection.getresponse()
        answer.read()
        return answer.headers["Location"]
    finally:
        connection.close()


def is_in(browser: Client) -> bool:
    return browser.get("/accueil/", secure=True).status_code == 200


def test_somebody_new_comes_in_with_the_roles_of_the_claim(directory: Directory) -> None:
    browser, _status = come(directory, "newcomer", "g-doctors", "g-committee", "g-canteen")

    assert is_in(browser), "the directory asks for its own second factor"
    assert who("newcomer").roles == {Role.CLINICIAN, Role.COMMITTEE}
    assert not who("newcomer").has_usable_password()
    (event,) = read_events(load_settings(), actions="account.directory")
    assert (event.object, event.parsed_details()["after"]) == ("newcomer", ["clinician", "committee"])


def test_somebody_whose_groups_mean_no_role_gets_no_account(directory: Directory) -> None:
    browser, _status = come(directory, "cook", "g-canteen")

    assert not is_in(browser)
    assert not User.objects.filter(username="cook").exists()


def test_roles_go_with_the_claim_at_the_next_login(directory: Directory) -> None:
    come(directory, "newcomer", "g-doctors", "g-committee")
    come(directory, "newcomer", "g-committee")
    assert who("newcomer").roles == {Role.COMMITTEE}

    browser, _status = come(directory, "newcomer")

    assert who("newcomer").roles == frozenset()
    assert browser.get("/accueil/", secure=True).status_code == 403


def test_roles_that_exclude_each_other_are_refused_with_a_sentence(directory: Directory) -> None:
    browser, status = come(directory, "both", "g-dpo", "g-doctors")
    assert (status, is_in(browser)) == (400, False)
    assert not User.objects.filter(username="both").exists()

    come(directory, "newcomer", "g-doctors")
    browser, status = come(directory, "newcomer", "g-dpo", "g-doctors")
    assert (status, is_in(browser)) == (400, False)
    assert who("newcomer").roles == {Role.CLINICIAN}


def test_a_closed_account_stays_closed_whatever_the_directory_says(directory: Directory) -> None:
    browser, _status = come(directory, "newcomer", "g-doctors")
    close_account(by=who("admin"), user=who("newcomer"), reason="left")
    assert not is_in(browser), "its open session ends at once"
    events = len(list(read_events(load_settings())))

    again, _status = come(directory, "newcomer", "g-doctors")

    assert not is_in(again)
    assert not who("newcomer").is_active
    assert len(list(read_events(load_settings()))) == events


@pytest.mark.parametrize("wrong", ["state", "code"])
def test_an_answer_that_is_not_the_directorys_lets_nobody_in(wrong: str, directory: Directory) -> None:
    browser = Client(headers={"host": "localhost"})
    directory.claims = {"sub": "1", "preferred_username": "intruder", "groups": ["g-dpo"]}
    there = browser.post("/compte/oidc/hospital/login/", secure=True).headers["Location"]
    back = urlsplit(_location(there))
    if wrong == "state":
        browser = Client(headers={"host": "localhost"})  # another browser has not asked for this login
    else:
        directory.codes.clear()
    browser.get(f"{back.path}?{back.query}", secure=True)

    assert not is_in(browser)
    assert not User.objects.filter(username="intruder").exists()


def test_a_role_that_is_none_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERIOS_PORTAL__DIRECTORY__ROLES", '{"g": "emperor"}')

    with pytest.raises(UsageError, match=r"portal\.directory\.roles\.g.*clinician"):
        load_settings()
