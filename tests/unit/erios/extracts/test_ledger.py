"""What is published for everybody, and the roster that lets groups of two releases compare."""

from __future__ import annotations

import numpy as np
import pytest

from erios.extracts.ledger import Figure, Ledger, Roster, patient_digests

SECRET = b"a secret of thirty-two bytes ....."
PATIENTS = patient_digests(SECRET, range(1000))


def _ledger() -> Ledger:
    ledger = Ledger(11)
    ledger.enrol(PATIENTS)
    return ledger


def _publish(ledger: Ledger, release: str, share: int, patients: range) -> int:
    values, entry = ledger.publish(release, [Figure("a bar", share, PATIENTS[list(patients)])])
    ledger.add(entry)
    return values[0]


@pytest.mark.parametrize(("until", "share"), [(310, 30), (311, 35)])
def test_bar_about_nearly_the_same_patients_stays_as_high_as_it_was(until, share):
    ledger = _ledger()
    assert _publish(ledger, "r1", 30, range(300)) == 30

    assert _publish(ledger, "r2", 35, range(until)) == share


def test_bar_of_a_release_is_published_once():
    ledger = _ledger()
    _publish(ledger, "r1", 30, range(300))

    assert _publish(ledger, "r1", 55, range(700)) == 30
    assert len(ledger.answers) == len(ledger.groups) == 1


def test_bar_of_a_small_group_names_no_group():
    ledger = _ledger()
    _publish(ledger, "r1", 1, range(10))

    assert len(ledger.groups) == 0


def test_patients_keep_their_places_when_others_come():
    roster = Roster()
    roster.add(PATIENTS[500:])
    before = roster.places(PATIENTS[500:])
    roster.add(roster.missing(PATIENTS))

    assert np.array_equal(roster.places(PATIENTS[500:]), before)
    assert len(roster) == len(PATIENTS) == len(set(PATIENTS.tolist()))
