"""`erios objections` as a person runs it: what is entered, what is shown where, what is refused whole."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time

import pytest

from erios.audit import read_events, verify
from erios.objections import Objection, add, current_objectors
from erios.settings import load_settings

WRITER = """
import sys
from erios.objections import Objection, add
from erios.settings import load_settings
print("ready", flush=True)
for number in range(10000):
    add(load_settings(), [Objection(f"Patient/{sys.argv[1]}{number}")])
"""
IPP = "Patient?identifier=urn:hospital:ipp|00042"


def erios(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "erios", "objections", *arguments],
        env=os.environ,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def home(settings, keyring):
    """Settings with a keyring."""
    return settings


def test_a_patient_is_added_listed_and_removed(home):
    added = erios("add", "Patient/123", "--reason", "letter of 3 March", "--date", "2026-03-03")

    assert (added.returncode, added.stderr) == (0, "")
    assert added.stdout == (
        "Entered 1; patients who object now: 1.\n"
        "Extracts touched: none.\n"
        "Their rows leave with the next `erios etl load`, or at once with `erios etl refresh`.\n"
    )
    (row,) = json.loads(erios("list", "--json").stdout)
    assert (row["reference"], row["date"], row["reason"]) == ("Patient/123", "2026-03-03", "letter of 3 March")
    assert "Patient/123" in erios("list").stdout

    removed = erios("remove", "123", "--json")
    assert json.loads(removed.stdout) == {"entered": 1, "unchanged": 0, "standing": 0, "extracts": []}
    assert "come back from the landing zone" in removed.stderr
    assert current_objectors(home) == ()


def test_a_list_is_imported_whole_from_a_file_and_from_standard_input(home, tmp_path):
    file = tmp_path / "list.csv"
    file.write_text("patient;reason\n1;letter\nurn:hospital:ipp|00042;\n", encoding="utf-8")

    assert erios("import", str(file)).returncode == 0
    again = erios("import", "-", text="Patient/1\n2\n")

    assert again.stdout.startswith("Entered 1 (1 were so already); patients who object now: 3.\n")
    assert current_objectors(home) == ("Patient/1", "Patient/2", IPP)


def test_a_list_with_a_bad_line_changes_nothing(home):
    done = erios("import", "-", text="1\nJeanne Dupont\n2\n")

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        "erios: line 2 of -: write a patient as ID, Patient/ID or SYSTEM|VALUE, where SYSTEM is a URI, INS-NIR or"
        " INS-NIA, a date as 2026-01-31; nothing was imported\n"
    )
    assert list(home.identity.iterdir()) == [home.keyring]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("add", "Jeanne Dupont"), 2, "erios: that is no patient: write a patient as"),
        (("add", "1", "--date", "3 March"), 2, "erios: a date is written as 2026-01-31"),
        (("remove", "1"), 2, "erios: this patient is not in the register in that form"),
        (("import", "/nowhere/list"), 3, "erios: cannot read /nowhere/list: No such file"),
        (("repair", "--reason", "x"), 2, "erios: the register has lost nothing"),
    ],
)
def test_a_fault_is_one_sentence(home, arguments, code, sentence):
    done = erios(*arguments)

    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1
    assert "Dupont" not in done.stderr


def test_without_a_keyring_nothing_is_entered(settings):
    done = erios("add", "1")

    assert done.returncode == 4
    assert not (settings.identity / "objections.journal").exists()


def test_an_old_copy_of_the_register_is_code_6_and_repaired_on_demand(home):
    journal = home.identity / "objections.journal"
    erios("add", "1")
    old = journal.read_bytes()
    erios("add", "2")
    journal.write_bytes(old)

    assert erios("list").returncode == 6
    assert erios("repair", "--reason", "backup of Monday").stdout.startswith("The register goes on without the 1 entr")
    assert current_objectors(home) == ("Patient/1",)


def test_no_clear_identity_is_outside_the_identity_zone(home):
    erios("add", "Patient/canary-123", "--reason", "canary-reason")
    erios("add", "urn:hospital:ipp|canary-ipp")

    places = [path for path in home.home.rglob("*") if path.is_file()]
    assert [path for path in places if b"canary" in path.read_bytes()] == []
    assert home.governance / "governance.db" in places


def test_many_writers_at_once_lose_nothing(home):
    writers = [
        subprocess.Popen(
            [sys.executable, "-m", "erios", "objections", "add", str(number)], env=os.environ, stderr=subprocess.DEVNULL
        )
        for number in range(6)
    ]

    assert [writer.wait(timeout=120) for writer in writers] == [0] * 6
    assert current_objectors(load_settings()) == tuple(f"Patient/{number}" for number in range(6))
    assert [event.parsed_details()["entry"] for event in read_events(home)] == list(range(1, 7))
    assert verify(home).faults == ()


def test_a_killed_command_leaves_a_register_that_reads_and_goes_on(home):
    """Killed at random instants; whatever was entered stands, and the chain has it after the next command."""
    instants = random.Random(1)
    for round_ in range(12):
        command = [sys.executable, "-c", WRITER, f"r{round_}-"]
        with subprocess.Popen(command, env=os.environ, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(instants.random() / 5)
            writer.kill()
        current_objectors(home)

    add(home, [Objection("Patient/last")])
    entries = [event.parsed_details()["entry"] for event in read_events(home)]
    assert entries == list(range(1, len(current_objectors(home)) + 1))
    assert len(entries) > 12
    assert verify(home).faults == ()
