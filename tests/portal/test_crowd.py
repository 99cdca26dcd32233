"""Many people at once, on the real portal: no fault, and nothing lost of what they wrote."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.test import override_settings

from erios.accounts.models import User
from erios.audit import read_events, verify
from erios.governance.roles import Role
from erios.keys import derive_key
from erios.settings import Settings
from erios.studies import actions
from erios.studies.models import Study
from tests.portal.conftest import seal_everything

ROOT = Path(__file__).resolve().parents[2]
PAIRS, FEW = 25, 8
CROWDS = [("postgresql", PAIRS), ("sqlite", FEW), pytest.param("sqlite", PAIRS, marks=pytest.mark.long)]
"""Database and pairs of people: fifty are a hospital's crowd, and a hospital has PostgreSQL."""
PATIENCE = 600
"""Seconds to wait for an answer: a busy machine is slow, not wrong."""
BACKEND = "erios.portal.login_backend.SealedBackend"
QUESTION = json.dumps({"and": [{"age": {"min": 40, "at": "2026-01-01"}}]})
TOKEN = "t" * 32
"""Any token will do for the portal: the cookie and the header must say the same."""


Step = tuple[str, str, dict[str, str]]
"""Method, path, and what the form says."""


@dataclass(frozen=True)
class Seat:
    """One logged-in session at the portal, and the study it works on."""

    port: int
    session: str
    number: str
    writes: bool

    def ask(self, method: str, path: str, **said: str) -> tuple[int, str]:
        """Status and text of a page, over a connection of its own as a browser would."""
        headers = {
            "Cookie": f"sessionid={self.session}; csrftoken={TOKEN}",
            "X-CSRFToken": TOKEN,
            "HX-Request": "true",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, urllib.parse.urlencode(said) if said else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def work(self) -> list[tuple[str, int, str]]:
        """Read, write, count, read again: what each step was answered."""
        here = f"/etudes/{self.number}/v1"
        steps: list[Step] = [
            ("GET", "/accueil/", {}),
            *self._writing(here),
            ("POST", f"{here}/faisabilite/compte/", {"json": QUESTION}),
            ("GET", f"{here}/", {}),
        ]
        return [(path, *self.ask(method, path, **said)) for method, path, said in steps]

    def _writing(self, here: str) -> list[Step]:
        """The proposer fills in two pages of the wizard; the other one says a word, and starts a study of their own."""
        if not self.writes:
            word = ("POST", f"/etudes/{self.number}/commentaire/", {"text": "a word"})
            return [("POST", "/etudes/", {"title": "another"}), word]
        said = {"methode": "question", "cadre": "information"}
        return [("POST", f"{here}/{section}/", {field: section}) for section, field in said.items()]


def _seats(settings: Settings, port: int, pairs: int) -> list[Seat]:
    """A study for every pair of people: who proposes it, and who is on its team."""
    found = []
    for pair in range(pairs):
        one, other = (_account(f"{side}{pair}") for side in ("left", "right"))
        proposal = actions.start_study(by=one, title=f"Étude {pair}")
        actions.add_member(proposal=proposal, by=one, member=other)
        number = proposal.study.number
        found += [Seat(port, _session(settings, who), number, who is one) for who in (one, other)]
    return found


def _account(login: str) -> User:
    from allauth.mfa.models import Authenticator

    user = User(username=login)
    user.set_roles({Role.CLINICIAN})
    user.save()
    seal_everything()
    Authenticator.objects.create(user=user, type="totp", data={"secret": "x"})
    return user


def _session(settings: Settings, user: User) -> str:
    """A session as a login makes it, signed with the key that the portal of this home derives."""
    from erios.django_settings import PURPOSE

    with override_settings(SECRET_KEY=derive_key(settings.keyring, PURPOSE).secret.hex()):
        session = SessionStore()
        session[SESSION_KEY], session[BACKEND_SESSION_KEY] = str(user.pk), BACKEND
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.create()
    assert session.session_key
    return str(session.session_key)


@contextmanager
def serving(port: int, log: Path) -> Iterator[None]:
    """The portal as an administrator starts it, in processes of its own; its words go to ``log``."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "erios.django_settings"}
    command = [sys.executable, "-m", "erios", "portal", "--port", str(port)]
    with log.open("wb") as out:
        server = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        try:
            _await(port, server)
            yield
        finally:
            server.terminate()
            server.wait(60)


def _await(port: int, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the portal ended before it answered")


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
@pytest.mark.parametrize(("template", "pairs"), CROWDS, indirect=["template"], scope="session")
def test_many_people_at_once_meet_no_fault_and_lose_nothing(
    pairs: int, counted: Settings, port: int, tmp_path: Path
) -> None:
    log = tmp_path / "portal.log"
    seats = _seats(counted, port, pairs)
    start = threading.Barrier(len(seats))

    with serving(port, log), ThreadPoolExecutor(len(seats)) as crowd:
        answers = list(crowd.map(_together(start), seats))

    said = [step for one in answers for step in one]
    moving = {"/etudes/", *(f"/etudes/{seat.number}/commentaire/" for seat in seats)}
    assert [(path, status, _sentence(text)) for path, status, text in said if status != _expected(path, moving)] == []
    assert log.read_text(encoding="utf-8").splitlines()[1:] == []
    assert len({text.split("</p>")[0] for path, _, text in said if path.endswith("/compte/")}) == 1
    studies = Study.objects.filter(number__in={seat.number for seat in seats})
    assert (studies.count(), Study.objects.count()) == (pairs, 2 * pairs)
    for study in studies:
        content = study.proposals.get().content
        assert (content["question"], content["information"]) == ("methode", "cadre")
        assert study.comments.count() == 1
        answers_read = study.readings.values("answer").distinct().count()
        assert (answers_read, study.readings.count()) == (2, 4)  # two people were shown two answers each
    events = Counter(event.action for event in read_events(counted))
    kinds = [events[f"study.{kind}"] for kind in ("start", "edit", "count", "comment")]
    assert kinds == [2 * pairs, 2 * pairs, 2 * pairs, pairs]
    assert verify(counted).faults == ()


def _expected(path: str, moving: set[str]) -> int:
    return 302 if path in moving else 200


def _sentence(page: str) -> str:
    """What the page of a refusal says."""
    return page.partition('class="note bad">')[2].partition("</p>")[0] or page[-300:]


def _together(start: threading.Barrier) -> Callable[[Seat], list[tuple[str, int, str]]]:
    def work(seat: Seat) -> list[tuple[str, int, str]]:
        start.wait(PATIENCE)
        return seat.work()

    return work


def test_no_row_is_locked_against_the_foreign_keys_of_others() -> None:
    """PostgreSQL checks those at the commit: with the chain in hand, it must not wait for who waits for the chain."""
    sources = {path: path.read_text(encoding="utf-8") for path in (ROOT / "erios").rglob("*.py")}
    locked = {path: text.count("select_for_update(") for path, text in sources.items()}
    weakly = {path: text.count("select_for_update(no_key=True") for path, text in sources.items()}
    assert sum(locked.values()) > 5
    assert locked == weakly
