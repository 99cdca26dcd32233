"""Who came in, who left and who was turned away is on record; what somebody typed in the field of the login is not."""

from __future__ import annotations

import re
from typing import Any

from django.test import Client
from django.urls import reverse

from erios.audit import read_events, verify
from erios.settings import Settings
from erios.terminal_codes import use
from tests.portal.conftest import seal_everything
from tests.portal.stories import who
from tests.portal.test_pages import client

PASSWORD = "a long enough password"


def _browser(login: str, password: str) -> tuple[Client, Any]:
    browser = Client(headers={"host": "localhost"})
    return browser, browser.post(reverse("account_login"), {"login": login, "password": password}, secure=True)


def _logins(settings: Settings) -> list[tuple[str, str]]:
    return [(event.action, event.object) for event in read_events(settings, actions="login.")]


def test_a_login_and_a_logout_are_on_record(database: Settings) -> None:
    browser, answer = _browser("admin", PASSWORD)
    assert answer.status_code == 302
    browser.post(reverse("account_logout"), secure=True)

    assert _logins(database) == [("login.in", "admin"), ("login.out", "admin")]
    assert {event.actor for event in read_events(database, actions="login.")} == {"admin"}


def test_a_refused_login_is_on_record_under_the_account_that_exists(database: Settings) -> None:
    _, answer = _browser("admin", "a wrong password")

    assert answer.status_code == 200
    assert _logins(database) == [("login.fail", "admin")]


def test_what_is_typed_for_an_account_that_does_not_exist_is_kept_as_a_digest(database: Settings) -> None:
    """People type their password, or a patient's name, into the wrong field."""
    for typed in ("Correct-Horse-Battery", "Correct-Horse-Battery", "somebody"):
        _browser(typed, "a wrong password")

    (first, second, third) = (name for _, name in _logins(database))
    assert first == second != third
    assert first.startswith("unknown:")
    assert "Horse" not in "".join(event.details + event.object + event.reason for event in read_events(database))


def test_a_closed_account_does_not_come_in(database: Settings) -> None:
    account = who("admin")
    account.is_active = False
    account.save(update_fields=["is_active"])
    seal_everything()

    _browser("admin", PASSWORD)

    assert ("login.in", "admin") not in _logins(database)


def test_a_login_that_cannot_be_recorded_does_not_come_in(database: Settings) -> None:
    (database.identity / "audit-head.sealed").unlink()
    browser, answer = _browser("admin", PASSWORD)

    assert answer.status_code == 400
    assert "_auth_user_id" not in browser.session
    assert verify(database).faults


def test_a_code_for_the_terminal_is_shown_once_to_who_may_re_identify(database: Settings) -> None:
    page = client("dan").post("/code/")
    code = re.findall(r"<code>([a-z0-9]{4}-[a-z0-9]{4}-[a-z0-9]{4})</code>", page.content.decode())

    assert page["Cache-Control"] == "no-store"
    assert "-" not in re.findall(r"<code>(.*?)</code>", client("dan").get("/code/").content.decode())[0]
    assert use(database, code[0]) == "dan"
    assert client("ada").post("/code/").status_code == 403
