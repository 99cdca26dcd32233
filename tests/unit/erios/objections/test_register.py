"""The register: who objects is the fold of what was entered, and what was lost is noticed."""

import json

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from erios.audit import read_events, verify
from erios.errors import StorageError, UsageError
from erios.keys import read_key
from erios.objections import Objection, add, current_entries, current_objectors, register, remove, repair, version
from etl.privacy import pseudonym
from etl.sealing import write_private
from tests.sampling import examples

IPP = "Patient?identifier=urn:hospital:ipp|00042"


@pytest.fixture
def home(settings, keyring):
    """Settings with a keyring."""
    return settings


def journal(settings):
    return settings.identity / "objections.journal"


def test_without_a_register_nobody_objects_and_no_keyring_is_needed(settings):
    assert current_objectors(settings) == ()
    assert version(settings) == "0" * 32


def test_who_was_added_and_not_removed_objects(home):
    assert add(home, [Objection("Patient/2", "letter", "2026-01-31"), Objection(IPP)], operator="alice").current == 2
    add(home, [Objection("Patient/1")], operator="bob")
    assert remove(home, [Objection("Patient/2")], operator="bob").current == 2

    assert current_objectors(home) == ("Patient/1", IPP)
    add(home, [Objection("Patient/2", "again", "2026-01-31")], operator="carol")
    entry = current_entries(home)[1]
    assert (entry.number, entry.reference, entry.reason, entry.date, entry.operator) == (
        5,
        "Patient/2",
        "again",
        "2026-01-31",
        "carol",
    )


def test_an_objection_entered_twice_stands_as_first_entered(home):
    add(home, [Objection("Patient/1", "first")])
    before = journal(home).read_bytes()

    change = add(home, [Objection("Patient/1", "second"), Objection("Patient/1", "third")])

    assert (change.unchanged, change.current) == (1, 1)
    assert journal(home).read_bytes() == before


def test_who_does_not_object_cannot_be_removed_nor_in_another_form(home):
    add(home, [Objection("Patient/00042")])

    with pytest.raises(UsageError, match="not in the register in that form"):
        remove(home, [Objection(IPP)])
    assert current_objectors(home) == ("Patient/00042",)


def test_the_version_follows_the_set_and_not_its_history(home):
    add(home, [Objection("Patient/1")])
    one = version(home)
    add(home, [Objection("Patient/2")])
    assert version(home) != one

    remove(home, [Objection("Patient/2")])
    assert version(home) == one
    remove(home, [Objection("Patient/1")])
    assert version(home) == "0" * 32


def test_the_journal_is_private_sealed_and_only_grows(home):
    add(home, [Objection("Patient/clearly", "Dupont wrote")])
    first = journal(home).read_bytes()
    remove(home, [Objection("Patient/clearly")])

    assert journal(home).read_bytes().startswith(first)
    assert journal(home).stat().st_mode & 0o777 == 0o600
    assert not any(word in journal(home).read_bytes() for word in (b"clearly", b"Dupont", b"Patient"))


def test_the_chain_knows_the_patient_by_pseudonym_and_no_word(home):
    change = add(home, [Objection("Patient/clearly", "Dupont wrote", "2026-01-31")], operator="alice")

    (event,) = read_events(home)
    key = pseudonym(read_key(home.keyring), "Patient/clearly")
    assert change.patient_keys == (key,)
    assert (event.actor, event.action, event.object, event.reason, event.parsed_details()) == (
        "alice",
        "objections.add",
        f"patient:{key}",
        "",
        {"entry": 1, "date": "2026-01-31"},
    )
    assert "clearly" not in json.dumps(event.row())


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(40))
@given(st.data())
def test_any_changed_or_moved_byte_of_the_journal_is_found(home, data):
    if not journal(home).exists():
        add(home, [Objection(f"Patient/{n}") for n in range(4)])
    whole = journal(home).read_bytes()
    lines = whole.splitlines(keepends=True)
    place = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != whole[place]))
    swapped = data.draw(st.permutations(lines).filter(lambda order: order != lines))
    cut = data.draw(st.integers(0, len(lines) - 1))
    damaged = data.draw(
        st.sampled_from(
            [
                whole[:place] + bytes([byte]) + whole[place + 1 :],
                b"".join(swapped),
                b"".join(lines[:cut] + lines[cut + 1 :]),
                whole[:place],
                b"".join([*lines, lines[-1]]),
            ]
        )
    )

    journal(home).write_bytes(damaged)
    try:
        with pytest.raises(StorageError, match="objection register"):
            current_objectors(home)
    finally:
        journal(home).write_bytes(whole)


def test_an_old_copy_or_a_lost_register_stops_reads_and_writes_until_it_is_repaired(home):
    add(home, [Objection("Patient/1")])
    old = journal(home).read_bytes()
    add(home, [Objection("Patient/2")])
    write_private(journal(home), old)

    for act in (current_objectors, version, lambda home: add(home, [Objection("Patient/3")])):
        with pytest.raises(StorageError, match=r"holds 1 entries where the audit chain knows of 2.*objections repair"):
            act(home)
    assert repair(home, "old backup", operator="alice") == 1
    assert current_objectors(home) == ("Patient/1",)
    add(home, [Objection("Patient/2")])
    assert current_objectors(home) == ("Patient/1", "Patient/2")
    assert verify(home).faults == ()


def test_a_whole_register_needs_no_repair(home):
    add(home, [Objection("Patient/1")])

    with pytest.raises(UsageError, match="nothing to repair"):
        repair(home, "why not")


def test_an_entry_whose_command_was_killed_before_the_chain_had_it_is_told_later(home, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(register, "append_all", lambda *_a, **_k: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            add(home, [Objection("Patient/1")], operator="alice")
    assert current_objectors(home) == ("Patient/1",)
    assert list(read_events(home)) == []

    add(home, [Objection("Patient/2")], operator="bob")

    assert [(event.actor, event.parsed_details()["entry"]) for event in read_events(home)] == [("alice", 1), ("bob", 2)]


def test_a_governance_folder_that_vanished_is_noticed(home):
    add(home, [Objection("Patient/1")])
    (home.governance / "governance.db").unlink()

    with pytest.raises(StorageError, match=r"audit chain .* is damaged or cut short"):
        current_objectors(home)
