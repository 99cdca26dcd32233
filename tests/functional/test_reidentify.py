"""Re-identification: two people, a reason, seven days, once; and everything of it in the audit chain."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from erios import reidentification
from erios.accounts.models import User
from erios.audit import read_events, store, verify
from erios.errors import InputError, RefusedError, StorageError, UsageError
from erios.governance.roles import Role
from erios.reidentification import Purpose, approve, forget, look_up, refuse, request, requests, segments_folder
from erios.terminal_codes import give
from erios.vault import Vault
from erios.workflows.database import open_database
from etl.reidentification_table import SCHEMA, seal_segment, segment_path
from tests.portal.conftest import close_database, point_to, seal_everything

KEY = "0f" * 16
FINDING = Purpose.CHANCE_FINDING


@pytest.fixture
def home(settings, keyring):
    """Settings with a keyring and a table in which ``KEY`` is Patient/canary-7."""
    key = Vault(keyring).key()
    values = [[KEY, "aa" * 16], ["Patient/canary-7", "Patient/8"], [key.key_id] * 2]
    rows = pa.table([pa.array(column) for column in values], schema=SCHEMA)
    seal_segment(segment_path(segments_folder(settings), "b000001-ab", 0, key.key_id), rows, key)
    return settings


def erios(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command, with a code on its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "erios", "reidentify", *arguments],
        env=os.environ,
        input=f"{code}\n",
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def accounts(home):
    """Two who may re-identify, and one who may not."""
    point_to(home)
    open_database(migrate=True)
    for login, role in (("dora", Role.DATA_MANAGER), ("dpo", Role.DPO), ("ada", Role.CLINICIAN)):
        user = User(username=login, email=f"{login}@example.org")
        user.set_roles({role})
        user.save()
    seal_everything()
    close_database()


def actions(home) -> list[tuple[str, str, str]]:
    return [(event.actor, event.action, event.reason) for event in read_events(home)]


def later(monkeypatch, span: timedelta) -> None:
    """Put the clock of the requests forward."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + span

    monkeypatch.setattr(reidentification, "datetime", Clock)


def test_two_people_find_a_patient_once(home):
    asked = request(home, KEY, FINDING, " nodule on a CT ", operator="alice")

    assert approve(home, asked.id, operator="bob") == "Patient/canary-7"
    with pytest.raises(RefusedError, match="is approved already: a request serves once"):
        approve(home, asked.id, operator="carol")
    assert actions(home) == [
        ("alice", "reidentify.request", "nodule on a CT"),
        ("bob", "reidentify.approve", ""),
        ("carol", "reidentify.deny", f"request {asked.id} is approved already: a request serves once"),
    ]
    assert {event.object for event in read_events(home)} == {KEY}
    assert {event.parsed_details()["request"] for event in read_events(home)} == {asked.id}


def test_nobody_approves_or_refuses_their_own_request(home):
    asked = request(home, KEY, FINDING, "x", operator="alice")

    with pytest.raises(RefusedError, match=f"alice made request {asked.id}: another person must decide it"):
        approve(home, asked.id, operator="alice")
    with pytest.raises(RefusedError, match="another person"):
        refuse(home, asked.id, "x", operator="alice")
    assert [action for _, action, _ in actions(home)] == ["reidentify.request", "reidentify.deny", "reidentify.deny"]
    assert approve(home, asked.id, operator="bob") == "Patient/canary-7"


def test_a_request_serves_for_seven_days(home, monkeypatch):
    asked = request(home, KEY, Purpose.PATIENT_RIGHT, "x", operator="alice")
    assert datetime.fromisoformat(asked.expires) - datetime.now(UTC) > timedelta(days=6, hours=23)

    later(monkeypatch, timedelta(days=7, seconds=1))
    assert [found.state for found in requests(home)] == ["expired"]
    with pytest.raises(RefusedError, match=f"request {asked.id} expired on"):
        approve(home, asked.id, operator="bob")
    later(monkeypatch, timedelta(days=6, hours=23, minutes=59))
    assert approve(home, asked.id, operator="bob") == "Patient/canary-7"


def test_a_refused_request_is_closed(home):
    asked = request(home, KEY, FINDING, "x", operator="alice")
    refuse(home, asked.id, "not to be acted on", operator="bob")

    with pytest.raises(RefusedError, match="is refused already"):
        approve(home, asked.id, operator="carol")
    assert [found.state for found in requests(home)] == ["refused"]
    assert ("bob", "reidentify.refuse", "not to be acted on") in actions(home)


def test_a_request_needs_a_pseudonym_and_a_reason(home):
    for pseudonym, reason, sentence in (
        ("Patient/8", "x", "a pseudonym is 32 digits"),
        (KEY, "  ", "a reason is needed"),
    ):
        with pytest.raises(UsageError, match=sentence):
            request(home, pseudonym, FINDING, reason, operator="alice")
    assert actions(home) == []


def test_an_unknown_request_and_an_unknown_pseudonym_are_said(home):
    with pytest.raises(InputError, match="there is no such request"):
        approve(home, "ffffffff", operator="bob")
    asked = request(home, "ee" * 16, FINDING, "x", operator="alice")
    with pytest.raises(InputError, match="no load sealed a patient of that pseudonym"):
        approve(home, asked.id, operator="bob")
    assert actions(home)[-1] == ("bob", "reidentify.deny", "no load sealed a patient of that pseudonym")


def test_nobody_is_found_where_the_chain_cannot_record_it(home, monkeypatch):
    asked = request(home, KEY, FINDING, "x", operator="alice")
    (home.identity / "audit-head.sealed").unlink()

    with pytest.raises(StorageError, match="the audit chain is damaged, so nobody is re-identified"):
        approve(home, asked.id, operator="bob")


def test_nothing_is_answered_when_the_event_cannot_be_written(home, monkeypatch):
    asked = request(home, KEY, FINDING, "x", operator="alice")
    monkeypatch.setattr(store, "link", lambda *_: (_ for _ in ()).throw(StorageError("the disk is full")))

    with pytest.raises(StorageError, match="the disk is full"):
        approve(home, asked.id, operator="bob")


def test_the_erased_are_not_found_any_more(home):
    assert look_up(home, KEY) == "Patient/canary-7"
    assert forget(home, [KEY]) == 1
    assert look_up(home, KEY) is None
    assert look_up(home, "aa" * 16) == "Patient/8"


REQUEST = ("request", KEY, "--reason", "nodule", "--purpose", "chance-finding", "--json")


def test_two_accounts_find_the_patient_and_it_is_shown_on_one_stream_only(home, accounts):
    asked = erios(*REQUEST, code=give(home, "dora"))
    assert asked.returncode == 0, asked.stderr
    made = json.loads(asked.stdout)
    assert f"another person runs `erios reidentify approve {made['id']}`" in asked.stderr

    (row,) = json.loads(erios("list", "--json").stdout)
    assert (row["id"], row["state"], row["pseudonym"]) == (made["id"], "open", KEY)

    same = erios("approve", made["id"], code=give(home, "dora"))
    done = erios("approve", made["id"], code=give(home, "dpo"))

    assert (same.returncode, same.stdout) == (9, "")
    assert same.stderr.endswith(
        f"erios: dora made request {made['id']}: another person must decide it; the attempt is in the audit chain\n"
    )
    assert (done.returncode, done.stdout) == (0, "Patient/canary-7\n")
    assert "canary" not in done.stderr
    assert [actor for actor, action, _ in actions(home) if action.startswith("reid")] == ["dora", "dora", "dpo"]
    assert verify(home).faults == ()
    files = [path for path in home.home.rglob("*") if path.is_file()]
    assert [path for path in files if b"canary" in path.read_bytes()] == []


def test_who_somebody_is_takes_a_code_of_an_account_that_may(home, accounts):
    """The same person at the keyboard throughout: the system's login gives no right."""
    spent = give(home, "dora")
    assert erios(*REQUEST, code=spent).returncode == 0

    for code, family, sentence in (
        ("", 2, "type a code"),
        ("aaaa-bbbb-cccc", 9, "unknown, used, or older"),
        (spent, 9, "unknown, used, or older"),
        (give(home, "ada"), 9, "ada holds no role that re-identifies"),
        (give(home, "nobody"), 2, "no open account 'nobody'"),
    ):
        refused = erios(*REQUEST, code=code)
        assert (refused.returncode, sentence in refused.stderr) == (family, True), (code, refused.stderr)
    assert len(requests(home)) == 1


@pytest.mark.parametrize("option", ["--as", "--operator", "--user", "--code"])
def test_no_option_says_who_one_is(home, option):
    done = erios("approve", "ffffffff", option, "bob")

    assert done.returncode == 2
    assert "No such option" in done.stderr


def test_another_purpose_is_refused_by_name():
    done = erios("request", KEY, "--reason", "x", "--purpose", "curiosity")

    assert done.returncode == 2
    assert "chance-finding" in done.stderr
    assert "patient-right" in done.stderr
