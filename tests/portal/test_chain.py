"""The chain in the governance database: whatever raw SQL does to it is refused, or found."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from erios.audit import append, verify
from erios.audit.database import opened
from erios.errors import StorageError
from erios.settings import Settings

EVENTS = 6
COLUMNS = "time, actor, action, object, reason, details, key_id, previous, seal"


@pytest.fixture
def chain(database: Settings) -> Settings:
    """Settings whose chain has some events more than the template's."""
    for number in range(EVENTS):
        append(database, "test.x", object=str(number), actor="me")
    return database


TAMPERED: dict[str, Sequence[str]] = {
    "an edit": ["UPDATE audit_event SET reason = 'better' WHERE number = 4"],
    "an edit of the seal": ["UPDATE audit_event SET seal = previous WHERE number = 4"],
    "a deletion": ["DELETE FROM audit_event WHERE number = 4"],
    "a deletion, closed up": [
        "DELETE FROM audit_event WHERE number = 4",
        *(f"UPDATE audit_event SET number = {n - 1} WHERE number = {n}" for n in range(5, EVENTS + 2)),
    ],
    "a reordering": [
        "UPDATE audit_event SET number = 999 WHERE number = 4",
        "UPDATE audit_event SET number = 4 WHERE number = 5",
        "UPDATE audit_event SET number = 5 WHERE number = 999",
    ],
    "a truncation": ["DELETE FROM audit_event WHERE number > 3"],
    "everything gone": ["DELETE FROM audit_event"],
    "an insertion": [f"INSERT INTO audit_event SELECT 99, {COLUMNS} FROM audit_event WHERE number = 3"],
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_is_done_behind_the_guards_back_is_found(what: str, chain: Settings) -> None:
    assert verify(chain).faults == ()
    with opened(chain) as raw:
        guards = list(raw.dialect.guards)
        on = " ON audit_event" if chain.database else ""
        made = [statement for statement in raw.dialect.make if statement.startswith("CREATE TRIGGER")]
        for name in guards:
            raw.run(f"DROP TRIGGER {name}{on}")
        for statement in TAMPERED[what]:
            raw.run(statement)
        for statement in made:
            raw.run(statement)
    assert verify(chain).faults != ()


@pytest.mark.parametrize("what", TAMPERED)
def test_what_is_done_before_the_guards_eyes_is_refused(what: str, chain: Settings) -> None:
    with pytest.raises(StorageError), opened(chain) as raw:
        raw.run(TAMPERED[what][0])
    assert verify(chain).faults == ()


def test_a_guard_that_was_taken_down_is_found(chain: Settings) -> None:
    with opened(chain) as raw:
        raw.run(f"DROP TRIGGER audit_no_delete{' ON audit_event' if chain.database else ''}")
    assert verify(chain).faults == ("the guard audit_no_delete of the table is missing or changed",)
