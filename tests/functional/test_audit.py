"""`erios audit` as a person runs it, several writers at once, and a writer that dies."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from erios.audit import append, append_all, read_events, store, verify
from erios.audit.chain import Draft
from erios.errors import KeyringError, StorageError

WRITER = """
import sys
from erios.audit import append
from erios.settings import load_settings
print("ready", flush=True)
for number in range(int(sys.argv[2])):
    append(load_settings(), "test.write", object=sys.argv[1], details={"n": number})
    print("written", flush=True)
"""


def erios(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "erios", "audit", *arguments],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def home(settings, keyring):
    """Settings with a keyring."""
    return settings


def database(home):
    return home.governance / "governance.db"


def remove_last(home) -> None:
    with closing(sqlite3.connect(database(home))) as chain:
        guard = chain.execute("SELECT sql FROM sqlite_master WHERE name = 'audit_no_delete'").fetchone()[0]
        chain.execute("DROP TRIGGER audit_no_delete")
        chain.execute("DELETE FROM audit_event WHERE number = (SELECT max(number) FROM audit_event)")
        chain.execute(guard)
        chain.commit()


def test_an_empty_chain_is_whole(home):
    done = erios("verify")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("The audit chain is empty: nothing is on record in ")
    assert erios("export").stdout == ""


def test_events_are_exported_one_a_line_from_an_instant_on(home):
    append(home, "test.first", object="thing", reason="né", details={"n": 1}, actor="alice")
    second = append(home, "test.second", actor="bob")

    lines = [json.loads(line) for line in erios("export").stdout.splitlines()]
    assert [(line["number"], line["actor"], line["reason"], line["details"]) for line in lines] == [
        (1, "alice", "né", {"n": 1}),
        (2, "bob", "", {}),
    ]
    assert [json.loads(line)["number"] for line in erios("export", "--since", second.time).stdout.splitlines()] == [2]
    assert erios("export", "--since", "2999-01-01").stdout == ""
    assert len(erios("export", "--since", "2001-01-01T00:00+02:00").stdout.splitlines()) == 2


def test_a_since_that_is_no_instant_is_one_sentence(home):
    done = erios("export", "--since", "Monday")

    assert (done.returncode, done.stderr) == (
        2,
        "erios: --since is a day or an instant, as 2026-01-31 or 2026-01-31T08:00\n",
    )


def test_the_chain_is_private(home):
    append(home, "test.x")

    assert home.governance.stat().st_mode & 0o777 == 0o700
    for path in (database(home), home.identity / "audit-head.sealed"):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_chain_cut_short_is_found_and_never_grown_over(home):
    for number in range(3):
        append(home, "test.x", details={"n": number})
    remove_last(home)

    done = erios("verify", "--json")
    assert done.returncode == 6
    assert done.stderr == (
        "erios: the audit chain is damaged: event 3, the last that the witness knows, is not there: the chain was cut"
        " or replaced; keep it as it is and find out why\n"
    )
    assert json.loads(done.stdout)["events"] == 2
    with pytest.raises(StorageError, match="damaged or cut short, and nothing is added to it"):
        append(home, "test.y")


@pytest.mark.parametrize("lost", ["governance", "witness", "damaged witness", "no database"])
def test_a_lost_or_damaged_part_is_found_and_nothing_is_added(home, lost):
    append(home, "test.x")
    head = home.identity / "audit-head.sealed"
    if lost == "governance":
        database(home).unlink()
    elif lost == "witness":
        head.unlink()
    elif lost == "damaged witness":
        head.write_bytes(head.read_bytes()[:-1] + b"?")
    else:
        database(home).write_bytes(b"this is no database, only text that is long enough to be looked at" * 20)

    assert len(verify(home).faults) == 1
    with pytest.raises(Exception, match="damaged"):
        append(home, "test.y")


def test_an_older_copy_of_the_governance_folder_is_found(home):
    append(home, "test.x")
    old = database(home).read_bytes()
    append(home, "test.y")
    database(home).write_bytes(old)

    assert verify(home).faults[0].startswith("event 2, the last that the witness knows, is not there")


def test_several_writers_at_once_make_one_whole_chain(home):
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, f"writer {number}", "10"], env=os.environ, stdout=subprocess.DEVNULL
        )
        for number in range(4)
    ]

    assert [writer.wait(timeout=120) for writer in writers] == [0] * 4
    assert (verify(home).events, verify(home).faults) == (40, ())
    events = list(read_events(home))
    for number in range(4):
        of_one = [event.parsed_details()["n"] for event in events if event.object == f"writer {number}"]
        assert of_one == list(range(10))


def test_a_writer_that_dies_before_the_witness_is_written_harms_nothing(home, monkeypatch):
    append(home, "test.x")
    with monkeypatch.context() as patch:
        patch.setattr(store, "_write_head", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            append(home, "test.died")

    assert verify(home).faults == ()
    append(home, "test.y")
    assert [event.action for event in read_events(home)] == ["test.x", "test.died", "test.y"]
    assert verify(home).faults == ()


def test_a_writer_killed_at_any_instant_leaves_a_whole_chain(home):
    instants = random.Random(1)
    for _ in range(12):
        command = [sys.executable, "-c", WRITER, "killed", "10000"]
        with subprocess.Popen(command, env=os.environ, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in ("ready", "written", "written"):
                writer.stdout.readline()
            time.sleep(instants.random() / 5)
            writer.kill()
        assert verify(home).faults == ()

    append(home, "test.last")
    assert verify(home).events > 12
    assert verify(home).faults == ()


def test_several_events_come_all_or_none(home):
    with pytest.raises(TypeError):
        append_all(home, [Draft("test.x"), Draft("test.y", details={"n": object()})])

    assert list(read_events(home)) == []
    assert [event.number for event in append_all(home, [Draft("test.x"), Draft("test.y")])] == [1, 2]
    assert append_all(home, []) == []


def test_the_actor_is_the_operator(home):
    from erios.operator_login import current_operator

    assert append(home, "test.x").actor == current_operator()


def test_without_a_keyring_nothing_is_recorded(settings):
    with pytest.raises(KeyringError, match="run `erios keys init`"):
        append(settings, "test.x")
    assert not database(settings).exists()


def test_events_under_a_key_that_is_gone_are_named(home, tmp_path):
    from erios.keys import init_keyring

    append(home, "test.x")
    ring = json.loads(home.keyring.read_text())
    other = tmp_path / "other" / "keyring.json"
    init_keyring(other)
    new = json.loads(other.read_text())
    append(home, "test.y")
    (home.identity / "audit-head.sealed").unlink()
    home.keyring.write_text(json.dumps(new))

    assert ring["current"] != new["current"]
    assert verify(home).faults == (
        "event 1 bears the seal of a key that the keyring does not hold",
        "event 2 bears the seal of a key that the keyring does not hold",
        "the witness of the chain's end is missing",
    )


def test_events_outlive_a_new_current_key(home):
    import base64

    append(home, "test.x")
    ring = json.loads(home.keyring.read_text())
    secret = base64.b64encode(b"n" * 32).decode()
    ring["keys"]["new0new0"] = {"secret": secret, "created": "2030-01-01T00:00:00+00:00"}
    home.keyring.write_text(json.dumps(ring | {"current": "new0new0"}))
    append(home, "test.y")

    assert [event.key_id for event in read_events(home)] == [ring["current"], "new0new0"]
    assert verify(home).faults == ()
