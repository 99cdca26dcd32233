"""Letters: each step tells whoever is next, by the hospital's mail server or the console, and tells no more."""

from __future__ import annotations

import base64
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from smtplib import SMTPServerDisconnected
from typing import Any

import pytest
from django.core import mail

from erios.accounts.models import User, holding
from erios.checkout import PROJECT
from erios.governance.extract import State as ExtractState
from erios.governance.extract import next_actors as extract_actors
from erios.governance.roles import Role
from erios.governance.study import Opinion, State, next_actors
from erios.settings import Settings
from erios.studies import actions
from erios.studies.emails import send_letters
from erios.studies.models import Extract, Notification
from tests.portal.conftest import seal_everything
from tests.portal.stories import at, who

only_sqlite = pytest.mark.parametrize("template", ["sqlite"], indirect=True)
SECRETS = ("CANARY-TITLE", "CANARY-QUESTION", "CANARY-REASON", "CANARY-COMMENT", "CANARY-POINT", "I50", "retour")


def written(*notes: int) -> list[Any]:
    """The letters of notifications, all there are without a number."""
    mail.outbox = []
    send_letters.func(list(notes or Notification.objects.values_list("pk", flat=True)))
    return list(mail.outbox)


def awaited(names: tuple[str, ...], proposer: str) -> set[str]:
    """Logins of those whom a state waits for."""
    roles = [Role(name) for name in names if name in list(Role)]
    found = set(User.objects.filter(holding(roles)).values_list("username", flat=True))
    return found | ({proposer} if {"proposer", "requester"} & set(names) else set())


@only_sqlite
@pytest.mark.parametrize("state", [state for state in State if next_actors(state) and state is not State.DRAFT])
def test_the_step_into_a_state_tells_whom_it_waits_for(state: State, database: Settings) -> None:
    """Everybody whom the study waits for, but whoever took the step; the letter says so and goes to their address."""
    proposal = at(state)
    if state is State.EXPIRED:
        proposal = at(State.ACTIVE)
        from datetime import date

        actions.expire_studies(today=date(2099, 1, 1))
    notes = Notification.objects.filter(proposal=proposal, state=state)
    told = {note.person.username for note in notes}
    actors = {note.actor for note in notes}
    assert awaited(next_actors(state), "ada") <= told | actors
    assert told - actors
    letters = written(*notes.values_list("pk", flat=True))
    assert {letter.to[0] for letter in letters} == {f"{login}@example.org" for login in told}
    assert all("Il attend : personne" not in letter.body for letter in letters)


@only_sqlite
def test_each_step_of_an_extract_tells_whom_it_waits_for(database: Settings) -> None:
    from tests.portal.test_extracts import CONTENT
    from tests.portal.test_record import _cleared, _released

    keeper = User(username="dora", email="dora@example.org")
    keeper.set_roles({Role.DATA_MANAGER})
    keeper.save()
    seal_everything()
    study = at(State.ACTIVE, **CONTENT).study
    _released(_cleared(study))
    _cleared(study)
    seen = set()
    for note in Notification.objects.exclude(extract=None):
        state, others = ExtractState(note.state), Notification.objects.filter(extract=note.extract, state=note.state)
        told = {one.person.username for one in others} | {one.actor for one in others}
        assert awaited(extract_actors(state), "ada") <= told, state
        seen.add(state)
    assert seen >= {ExtractState.REQUESTED, ExtractState.SPECIFIED, ExtractState.BUILT, ExtractState.ASSESSED}
    assert seen >= {ExtractState.CLEARED, ExtractState.RELEASED}
    number = Extract.objects.order_by("number")[0].number
    assert any(f"[Erios] {number} : demandé" == letter.subject for letter in written())


@only_sqlite
def test_a_letter_says_the_number_the_state_and_who_and_nothing_of_the_study(database: Settings) -> None:
    proposal = at(State.UNDER_REVIEW, title="CANARY-TITLE: qui revient ?", question="CANARY-QUESTION " * 12)
    actions.comment(study=proposal.study, by=who("ada"), text="CANARY-COMMENT")
    actions.vote(proposal=proposal, by=who("com1"), opinion=Opinion.FAVOURABLE, reason="CANARY-REASON")
    actions.return_with_points(proposal=proposal, by=who("dpo"), points=["CANARY-POINT"])
    letters = written()
    text = "\n".join(f"{letter.subject}\n{letter.body}" for letter in letters)
    assert [secret for secret in SECRETS if secret in text] == []
    last = next(letter for letter in letters if "à compléter" in letter.subject)
    number = proposal.study.number
    assert last.subject == f"[Erios] {number} : à compléter"
    assert f"L'étude {number} est maintenant à l'état « à compléter »" in last.body
    assert "(dernière action : renvoyer avec des points, par dpo)" in last.body
    assert "Il attend : porteur de l'étude." in last.body


@only_sqlite
def test_closed_accounts_and_those_without_an_address_get_no_letter(database: Settings) -> None:
    User.objects.filter(username="dan").update(is_active=False)
    User.objects.filter(username="bob").update(email="")
    seal_everything()
    at(State.SUBMITTED)
    told = {note.person.username for note in Notification.objects.filter(action="submit")}
    assert told == {"bob"}
    assert written() == []


@only_sqlite
def test_letters_that_the_server_refuses_are_tried_again_and_the_others_go(
    database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django_tasks_db.models import DBTaskResult

    from erios.errors import StorageError
    from erios.studies import emails as letters

    at(State.SUBMITTED)
    ids = list(Notification.objects.values_list("pk", flat=True))
    DBTaskResult.objects.all().delete()
    sent: list[list[str]] = []

    def send_some(subject: str, text: str, sender: None, to: list[str]) -> None:
        if to == ["dan@example.org"]:
            raise SMTPServerDisconnected("dan@example.org")
        sent.append(to)
        mail.send_mail(subject, text, sender, to)

    monkeypatch.setattr(letters, "send_mail", send_some)
    assert send_letters.func(ids) == len(ids) - 1
    assert sent == [["bob@example.org"]]
    (again,) = DBTaskResult.objects.all()
    dan = Notification.objects.get(person=who("dan")).pk
    assert (again.args_kwargs["args"], again.run_after is not None) == ([[dan], letters.TRIES - 1], True)
    with pytest.raises(StorageError, match="1 letters could not be sent in 6 tries") as refused:
        send_letters.func([dan], 1)
    assert "dan@" not in str(refused.value)


# --- where they go: a real worker, with a mail server and without ---


class MailServer(socketserver.StreamRequestHandler):
    """As much of SMTP as a letter takes, with a login."""

    def handle(self) -> None:
        server: Any = self.server
        self._say(b"220 localhost")
        while line := self.rfile.readline().strip():
            word = line.split()[0].upper()
            if word == b"EHLO":
                self._say(b"250-localhost\r\n250 AUTH PLAIN")
            elif word == b"AUTH":
                server.logins.append(base64.b64decode(line.split()[2]))
                self._say(b"235 welcome")
            elif word == b"DATA":
                self._say(b"354 go on")
                server.letters.append(self._letter())
                self._say(b"250 taken")
            else:
                self._say(b"221 bye" if word == b"QUIT" else b"250 well")

    def _say(self, answer: bytes) -> None:
        self.wfile.write(answer + b"\r\n")

    def _letter(self) -> str:
        lines = list(iter(self.rfile.readline, b".\r\n"))
        return b"".join(lines).decode()


@pytest.fixture
def mail_server() -> Iterator[Any]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), MailServer) as server:
        server.daemon_threads = True
        server.logins, server.letters = [], []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def work(**mail_settings: str) -> str:
    """What a worker of its own process prints, with these settings of mail."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    environment |= {f"ERIOS_PORTAL__MAIL__{name.upper()}": value for name, value in mail_settings.items()}
    command = [sys.executable, "-m", "erios", "worker", "--until-empty"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@only_sqlite
def test_with_a_mail_server_letters_go_there_under_the_hospitals_login(database: Settings, mail_server: Any) -> None:
    password = database.home / "smtp-password"
    password.write_text("CANARY-PASSWORD\n")
    number = at(State.SUBMITTED).study.number
    host, port = mail_server.server_address
    printed = work(host=host, port=str(port), user="erios", password_file=str(password), sender="erios@chu.example")
    assert mail_server.logins[0] == b"\0erios\0CANARY-PASSWORD"
    to = sorted(line for letter in mail_server.letters for line in letter.splitlines() if line.startswith("To: "))
    assert to == ["To: bob@example.org", "To: dan@example.org"]
    assert all("From: erios@chu.example" in letter and number in letter for letter in mail_server.letters)
    assert "CANARY" not in printed + "".join(mail_server.letters)


@only_sqlite
def test_without_a_mail_server_letters_are_printed(database: Settings) -> None:
    number = at(State.SUBMITTED).study.number
    printed = work()
    assert printed.count("Subject: ") == 2
    assert "To: dan@example.org" in printed
    assert number in printed
