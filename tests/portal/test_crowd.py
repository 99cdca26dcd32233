"""Fifty people at once on the real server over SQLite: nobody sees an error, and nothing that was said is lost."""

from __future__ import annotations

import http.client
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from django.test import override_settings

from erios.audit import read_events, verify
from erios.governance.roles import Role
from erios.keys import derive_key
from erios.settings import load_settings
from erios.studies.models import Proposal, ShownCount
from tests.conftest import ROOT
from tests.portal.conftest import close_database, point_to

PEOPLE = 50
QUESTION = '{"and": [{"age": {"min": %d, "at": "2026-01-01"}}]}'


def _log_in(login: str) -> str:
    """A session of a new clinician with a second factor, as its cookie."""
    from allauth.mfa.models import Authenticator
    from django.test import Client

    from erios.accounts.models import User

    user = User(username=login, email=f"{login}@example.org")
    user.set_roles({Role.CLINICIAN})
    user.save()
    Authenticator.objects.create(user=user, type="totp", data={"secret": "x"})
    browser = Client(headers={"host": "localhost"})
    browser.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return str(browser.cookies["sessionid"].value)


@contextmanager
def _portal(home: Path) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    named = {"ERIOS_HOME": str(home), "PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "erios.site"}
    server = subprocess.Popen(
        [sys.executable, "-m", "erios", "portal", "--port", str(port)],
        env={**os.environ, **named},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await(port)
        yield port
    finally:
        server.terminate()
        server.wait(30)


def _await(port: int) -> None:
    for _ in range(240):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.25)
    raise AssertionError("the portal does not answer")


class Visitor:
    """A person's browser, without pictures."""

    def __init__(self, port: int, session: str) -> None:
        self.port, self.token = port, secrets.token_hex(16)
        self.cookies = f"sessionid={session}; csrftoken={self.token}"

    def ask(self, path: str, **fields: str) -> tuple[int, str, str]:
        """Status, address of a redirection, page; with fields it is a POST."""
        body = urllib.parse.urlencode({**fields, "csrfmiddlewaretoken": self.token}) if fields else None
        headers = {"Cookie": self.cookies, "Host": "localhost", "Content-Type": "application/x-www-form-urlencoded"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("POST" if body else "GET", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers.get("Location", ""), answer.read().decode()
        finally:
            connection.close()

    def work(self, number: int) -> list[int]:
        """Start a study, write its summary, count, read it again; answers every status."""
        first = self.ask("/accueil/")
        start = self.ask("/etudes/", title=f"Étude {number}")
        study = re.search(r"/etudes/(E\d+-\d+)/", start[1])
        assert study, start
        here = f"/etudes/{study[1]}"
        saved = self.ask(f"{here}/v1/presentation/", title=f"Étude {number}", summary=f"résumé de {number}")
        count = self.ask(f"{here}/v1/faisabilite/compte/", json=QUESTION % (20 + number % 10))
        assert 'class="big"' in count[2], count[2][:400]
        page = self.ask(f"{here}/")
        assert f"résumé de {number}" in page[2]
        return [first[0], start[0], saved[0], count[0], page[0]]


def test_fifty_sessions_at_once_see_no_error_and_lose_nothing(loaded: Path, erios_home: Path) -> None:
    shutil.copytree(loaded, erios_home)
    settings = load_settings()
    point_to(settings)
    secret = derive_key(settings.keyring, b"erios portal: signing of sessions and forms").secret.hex()
    with override_settings(SECRET_KEY=secret):  # the portal's own, by which it knows a session
        sessions = [_log_in(f"visitor{number}") for number in range(PEOPLE)]
    close_database()

    with _portal(erios_home) as port, ThreadPoolExecutor(PEOPLE) as crowd:
        visitors = [Visitor(port, session) for session in sessions]
        found = list(crowd.map(lambda pair: pair[1].work(pair[0]), enumerate(visitors)))

    assert found == [[200, 302, 302, 200, 200]] * PEOPLE
    point_to(settings)
    summaries = {proposal.content["summary"] for proposal in Proposal.objects.all()}
    assert summaries == {f"résumé de {number}" for number in range(PEOPLE)}
    assert len(set(ShownCount.objects.values_list("study", flat=True))) == PEOPLE
    actions = [event.action for event in read_events(settings)]
    assert [actions.count(name) for name in ("study.start", "study.edit", "study.count")] == [PEOPLE] * 3
    assert verify(settings).faults == ()
    close_database()
