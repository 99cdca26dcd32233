"""``erios study``, ``extract``, ``portal`` and ``worker``: the portal's actions for scripts, by the login in force."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from erios.audit import read_events, verify
from erios.errors import InputError
from erios.governance.extract import State as ExtractState
from erios.governance.study import State
from erios.settings import Settings, load_settings
from tests.functional.conftest import in_process  # noqa: F401 - a fixture
from tests.portal.airlock_stories import approved
from tests.portal.conftest import close_database, point_to, seal_everything
from tests.portal.stories import at, who
from tests.portal.test_extracts import CONTENT, SPECIFICATION, UNTIL, home  # noqa: F401 - home is a fixture

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def erios(in_process: Run, monkeypatch: pytest.MonkeyPatch) -> Run:  # noqa: F811
    """Run a command as somebody: exit code, standard output, standard error."""

    def call(login: str, *arguments: object) -> tuple[int, str, str]:
        for module in ("operator_login", "workflows.database", "workflows.extract"):
            monkeypatch.setattr(f"erios.{module}.current_operator", lambda: login)
        return in_process(*arguments)

    return call


def good(answer: tuple[int, str, str]) -> str:
    code, out, said = answer
    assert code == 0, said
    return out + said


def events(settings: Settings, kind: str) -> list[tuple[str, str]]:
    return [(event.actor, event.action) for event in read_events(settings, actions=f"{kind}.")]


def test_a_study_goes_its_whole_way_by_commands(database: Settings, erios: Run) -> None:
    proposal = at(State.DRAFT)
    number, already = proposal.study.number, len(events(database, "study"))
    because = ("--reason", "read")
    steps: list[tuple[str, tuple[str, ...], str]] = [
        ("ada", ("submit", number), "submitted"),
        ("dan", ("return", number, "--point", "why exact dates?", "--point", "who is told?"), "returned"),
        ("ada", ("answer", number, "1", "months will do"), "returned"),
        ("ada", ("answer", number, "2", "everybody"), "returned"),
        ("ada", ("submit", number), "submitted"),
        ("dan", ("move", number, "triage"), "triaged"),
        ("com1", ("move", number, "open-review"), "under review"),
        *((login, ("vote", number, "--for", *because), "under review") for login in ("com1", "com2", "com3")),
        ("dpo", ("visa", number, "--for", *because), "under review"),
        ("chief", ("decide", number, "--condition", "months, not days", *because), "approved with conditions"),
        ("dpo", ("meet-condition", number, "1"), "approved with conditions"),
        ("dpo", ("move", number, "activate"), "active"),
        ("dpo", ("move", number, "suspend", *because), "suspended"),
        ("dpo", ("resume", number, *because), "suspended"),
        ("chief", ("resume", number, *because), "active"),
        ("ada", ("amend", number), "draft"),
    ]
    for login, command, state in steps:
        assert f"is now {state}." in good(erios(login, "study", *command)), command
    made = events(database, "study")[already:]
    names = ["submit", "return", "answer", "answer", "submit", "triage", "open-review", "vote", "vote", "vote", "visa"]
    names += ["approve-with-conditions", "confirm-a-condition", "activate", "suspend", "agree-to-resume"]
    names += ["agree-to-resume", "amend"]
    assert made == [(login, f"study.{name}") for (login, _c, _s), name in zip(steps, names, strict=True)]
    assert verify(database).faults == ()


def test_results_are_proposed_read_and_agreed_to_by_commands(database: Settings, erios: Run, tmp_path: Path) -> None:
    from erios.studies.models import Publication

    number, file = at(State.ACTIVE).study.number, tmp_path / "resultats.txt"
    file.write_text("Un patient sur cinq revient.\n", encoding="utf-8")
    assert "Version 1 of" in good(erios("ada", "study", "propose-results", number, file))
    (line,) = json.loads(good(erios("dpo", "study", "results", number, "--json")))
    assert (line["state"], line["text"]) == ("results waiting", "Un patient sur cinq revient.")
    assert line["you_may"] == ["refuse"]
    code, _out, said = erios("dpo", "study", "move-results", number, "1", "publish")
    assert (code, said.count("\n"), line["request"] in said) == (9, 1, True)
    code, _out, said = erios("ada", "study", "move-results", number, "1", "publish")
    assert (code, said.count("\n")) == (9, 1)
    refused = good(erios("dpo", "study", "move-results", number, "1", "refuse", "--reason", "trop précis"))
    assert refused == f"Version 1 of {number}: results refused.\n"
    good(erios("ada", "study", "propose-results", number, file))
    approved(Publication.objects.get(version=2))
    good(erios("dpo", "study", "move-results", number, "2", "publish"))
    shown = good(erios("ada", "study", "results", number))
    assert re.search(r"1\W+results refused\W+ada\W+dpo\W+trop précis", shown)
    assert re.search(r"2\W+results published\W+ada\W+dpo", shown)
    assert "Version 2: Un patient sur cinq revient." in shown
    assert [p.state for p in Publication.objects.order_by("version")] == ["results refused", "results published"]


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("login", "command", "code", "sentence"),
    [
        ("ada", ("propose-results", "E", "/nowhere"), 3, "/nowhere is no text in UTF-8 that can be read"),
        ("bob", ("propose-results", "E", "FILE"), 9, "proposer"),
        ("dpo", ("move-results", "E", "1", "publish"), 3, "no version 1; `erios study results` lists"),
        ("dpo", ("move-results", "E", "1", "print"), 2, "no such action; choose publish, refuse, withdraw"),
    ],
)
def test_results_that_cannot_be_moved_are_one_sentence(
    login: str, command: tuple[str, ...], code: int, sentence: str, database: Settings, erios: Run, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("x")
    given = {"E": at(State.ACTIVE).study.number, "FILE": str(tmp_path / "text")}
    found, _out, said = erios(login, "study", *(given.get(word, word) for word in command))
    assert (found, said.count("\n")) == (code, 1), said
    assert sentence in said


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("options", "state"), [(("--reject",), "rejected"), ((), "approved")])
def test_the_delegate_approves_or_rejects(options: tuple[str, ...], state: str, database: Settings, erios: Run) -> None:
    from tests.portal.stories import review

    proposal = at(State.UNDER_REVIEW)
    review(proposal)
    done = erios("chief", "study", "decide", proposal.study.number, *options, "--reason", "read")
    assert f"is now {state}." in good(done)


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
def test_list_and_show_say_what_the_portal_says(database: Settings, erios: Run) -> None:
    shown, hidden = at(State.UNDER_REVIEW).study.number, at(State.DRAFT).study.number
    lines = json.loads(good(erios("com1", "study", "list", "--json")))
    assert [(line["study"], line["state"]) for line in lines] == [(shown, "under review")]
    known = json.loads(good(erios("com1", "study", "show", shown, "--json")))
    assert known["waits_for"] == ["committee", "dpo", "controller"]
    assert known["you_may"] == ["return", "vote"]
    assert known["team"] == ["bob"]
    words = good(erios("com1", "study", "show", shown))
    assert re.search(r"^waits for +committee, dpo, controller$", words, re.MULTILINE)
    assert hidden not in good(erios("com1", "study", "list"))
    code, _out, said = erios("com1", "study", "show", hidden)
    assert (code, said) == (3, f"erios: no study {hidden} that you may read; `erios study list` shows them\n")


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("login", "command", "code", "sentence"),
    [
        ("com1", ("move", "triage"), 9, "'triage' is for: data manager"),
        ("bob", ("move", "withdraw"), 9, "'withdraw' is for: proposer"),
        ("dan", ("move", "edit"), 2, "no such action; choose activate,"),
        ("dan", ("move", "nonsense"), 2, "no such action; choose activate,"),
        ("stranger", ("submit",), 2, "no open account 'stranger' in the portal"),
        ("ada", ("answer", "1", "x"), 3, "no point 1; `erios study show` lists the 0 there are"),
    ],
)
def test_a_command_that_the_rules_refuse_says_so_in_a_sentence(
    login: str, command: tuple[str, ...], code: int, sentence: str, database: Settings, erios: Run
) -> None:
    number = at(State.SUBMITTED).study.number
    before = events(database, "study")
    found, _out, said = erios(login, "study", command[0], number, *command[1:])
    assert found == code, said
    assert sentence in said
    assert said.count("\n") == 1
    assert events(database, "study") == before


def test_an_extract_goes_its_whole_way_by_commands(home: Settings, erios: Run, tmp_path: Path) -> None:  # noqa: F811
    study = at(State.ACTIVE, **CONTENT).study.number
    wanted = tmp_path / "specification.json"
    wanted.write_text(json.dumps(SPECIFICATION))
    assert "is requested. It waits for: dpo." in good(erios("ada", "extract", "request", study))
    number, until = f"{study}-X01", ("--until", UNTIL.isoformat())
    good(erios("ada", "extract", "specify", number, wanted))
    good(erios("dpo", "extract", "ask-changes", number, "--reason", "months"))
    good(erios("ada", "extract", "specify", number, wanted))
    good(erios("dpo", "extract", "approve", number))
    assert "is assessed. Root:" in good(erios("dan", "extract", "build", number))
    assert erios("ada", "extract", "apply", number, 99)[0] == InputError.exit_code
    known = json.loads(good(erios("dpo", "extract", "show", number, "--json")))
    root = ("--root", known["root"])
    code, _out, said = erios("dpo", "extract", "clear", number, *root, *until)
    assert (code, "smallest" in said) == (9, True), said  # a hospital of 150 has small classes
    good(erios("dpo", "extract", "ask-exception", number, *root, *until, "--reason", "a small hospital"))
    good(erios("chief", "extract", "grant-exception", number, *root, "--reason", "a test"))
    assert erios("dora", "extract", "release", number, "--root", "0" * 64)[0] == 9
    assert "is released." in good(erios("dora", "extract", "release", number, *root))
    assert json.loads(good(erios("dan", "extract", "verify", number, "--json")))["root"] == known["root"]
    good(erios("dpo", "extract", "revoke", number, "--reason", "the end"))
    assert erios("dpo", "extract", "quarantine", number, "--reason", "too late")[0] == 9
    assert "is destroyed." in good(erios("dan", "extract", "destroy", number))
    lines = json.loads(good(erios("ada", "extract", "list", "--json")))
    assert [(line["extract"], line["state"]) for line in lines] == [(number, "destroyed")]
    actors = [actor for actor, action in events(home, "extract") if action != "extract.assess"]
    assert actors == ["ada", "ada", "dpo", "ada", "dpo", "dan", "dan", "dpo", "chief", "dora", "dpo", "dan"]


@pytest.mark.parametrize(
    ("login", "command", "state"),
    [("ada", ("abandon",), ExtractState.ABANDONED), ("dpo", ("refuse", "--reason", "r"), ExtractState.REFUSED)],
)
@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
def test_an_extract_is_given_up_or_refused_by_command(
    login: str, command: tuple[str, ...], state: ExtractState, database: Settings, erios: Run
) -> None:
    study = at(State.ACTIVE, **CONTENT).study.number
    good(erios("ada", "extract", "request", study))
    assert f"is {state}." in good(erios(login, "extract", command[0], f"{study}-X01", *command[1:]))


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
def test_an_extract_that_is_not_yours_or_not_there_is_one_sentence(database: Settings, erios: Run) -> None:
    for number in ("E2099-001-X01", "nonsense"):
        code, _out, said = erios("ada", "extract", "show", number)
        assert (code, said) == (2, f"erios: no extract '{number}' that you may see; `erios extract list` shows them\n")


# --- the portal and its worker ---


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
def test_the_first_run_makes_one_administrator_and_no_second(
    database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from erios.accounts.models import User

    User.objects.filter(username="admin").update(is_active=False)
    seal_everything()
    assert _first("root", "short") != 0
    assert not User.objects.filter(username="root").exists()
    assert _first("root", "une phrase longue") == 0
    made = who("root")
    assert made.check_password("une phrase longue")
    assert {str(role) for role in made.roles} == {"administrator"}
    assert _first("second", "une phrase longue") != 0
    assert not User.objects.filter(username="second").exists()
    assert events(database, "account.first") == []  # the action's name is the whole: ``account.first``
    assert ("system", "account.first") in events(database, "account")


def _first(login: str, password: str) -> int:
    from typer.testing import CliRunner

    from erios.cli import app

    done = CliRunner().invoke(app, ["portal", "--administrator", login], input=f"{password}\n{password}\n")
    assert password not in done.output
    return int(done.exit_code)


def test_an_empty_servers_database_is_not_migrated_unasked(
    server: str,
    settings: Settings,
    keyring: Path,
    in_process: Run,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import psycopg

    start = server.rpartition("/")[0]
    with psycopg.connect(f"{start}/template1", autocommit=True) as connection:
        connection.execute("CREATE DATABASE unasked")
    monkeypatch.setenv("ERIOS_DATABASE", f"{start}/unasked")
    point_to(load_settings())
    try:
        code, _out, said = in_process("study", "list")
        assert (code, said) == (
            2,
            "erios: the governance database is not up to date: run `erios portal --migrate`\n",
        )
        assert "is up to date" in good(in_process("portal", "--migrate"))
        assert "no open account" in in_process("study", "list")[2]
    finally:
        close_database()


def test_the_worker_sends_the_letters_and_ends_what_is_over(database: Settings, erios: Run) -> None:
    from django.core import mail
    from django_tasks_db.models import DBTaskResult

    over = at(State.ACTIVE)
    type(over).objects.filter(pk=over.pk).update(ends=date.today() - timedelta(days=1))
    seal_everything()
    waiting = at(State.SUBMITTED).study.number
    mail.outbox = []
    good(erios("dan", "worker", "--until-empty"))
    over.refresh_from_db()
    assert over.state == State.EXPIRED
    assert ("system", "study.expire") in events(database, "study")
    assert set(DBTaskResult.objects.values_list("status", flat=True)) == {"SUCCESSFUL"}
    told = {(letter.to[0], letter.subject) for letter in mail.outbox}
    assert ("dan@example.org", f"[Erios] {waiting} : soumis") in told


def test_every_command_of_studies_and_extracts_is_run_here() -> None:
    from erios.cli import load_group

    text = Path(__file__).read_text(encoding="utf-8")
    for group in ("study", "extract"):
        commands: dict[str, Any] = load_group(group).commands
        missing = [name for name in commands if f'"{name}"' not in text]
        assert missing == []


def test_a_port_that_is_taken_is_one_sentence() -> None:
    import socket

    from erios.errors import BusyError
    from erios.workflows.portal import check_free

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BusyError, match=rf"127\.0\.0\.1:{port} cannot be used .*: give another --host or --port"):
            check_free("127.0.0.1", port)
    check_free("127.0.0.1", port)


def test_a_home_without_a_keyring_is_left_as_it_is(erios_home: Path) -> None:
    from erios.errors import KeyringError
    from erios.workflows.database import open_database

    with pytest.raises(KeyringError):
        open_database()
    assert not erios_home.exists()
