"""The audit chain: whatever single thing is changed, removed, moved, put in or cut off is found."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from erios.audit import append, read_events, verify
from erios.audit.chain import FIELDS
from erios.errors import StorageError
from tests.sampling import examples

EVENTS = 7


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """Settings whose chain of seven events is whole."""
    from erios.keys import init_keyring
    from erios.settings import Settings

    settings = Settings.model_validate({"home": tmp_path_factory.mktemp("home")})
    settings.make_zones()
    init_keyring(settings.keyring)
    for number in range(EVENTS):
        append(settings, f"test.{number % 2}", object=f"thing {number}", reason="é", details={"n": number}, actor="me")
    return settings


@pytest.fixture(scope="module")
def copy(chain, tmp_path_factory):
    """Make a fresh copy of the chain for somebody to change."""
    folder = tmp_path_factory.mktemp("copy") / "governance"

    def make():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(chain.governance, folder)
        return chain.model_copy(update={"governance": folder})

    return make


GUARDS = ("audit_no_update", "audit_no_delete", "audit_next_only")


def change(settings, *statements: tuple[str, tuple]) -> None:
    """Run statements behind the guards' back, and put the guards up again."""
    with closing(sqlite3.connect(settings.governance / "governance.db")) as database:
        made = [
            row[0] for row in database.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger' ORDER BY rowid")
        ]
        for guard in GUARDS:
            database.execute(f"DROP TRIGGER {guard}")
        for statement, values in statements:
            database.execute(statement, values)
        for sql in made:
            database.execute(sql)
        database.commit()


def row_of(settings, number: int) -> tuple:
    return next(event.row() for event in read_events(settings) if event.number == number)


numbers = st.integers(1, EVENTS)


def test_a_chain_as_written_is_whole(chain, copy):
    for settings in (chain, copy()):
        found = verify(settings)
        assert (found.events, found.faults) == (EVENTS, ())


@given(number=numbers, name=st.sampled_from(FIELDS), data=st.data())
def test_one_changed_byte_of_any_field_is_found(copy, number, name, data):
    settings = copy()
    before = row_of(settings, number)[FIELDS.index(name)]
    if name == "number":
        after: object = data.draw(st.integers(-3, 20).filter(lambda value: not 1 <= value <= EVENTS))
    else:
        raw = bytearray(before.encode() or b"\0")
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] ^= data.draw(st.integers(1, 255))
        after = bytes(raw)
    value = "?" if name == "number" else "CAST(? AS TEXT)"
    change(settings, (f"UPDATE audit_event SET {name} = {value} WHERE number = ?", (after, number)))

    assert verify(settings).faults != ()


@given(number=numbers, name=st.sampled_from(FIELDS[1:]), text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_other_value_of_any_field_is_found(copy, number, name, text):
    settings = copy()
    same = row_of(settings, number)[FIELDS.index(name)] == text
    change(settings, (f"UPDATE audit_event SET {name} = ? WHERE number = ?", (text, number)))

    assert (verify(settings).faults == ()) == same


@given(first=numbers, length=st.integers(1, EVENTS), close=st.booleans())
def test_removed_events_are_found_also_when_the_others_close_up(copy, first, length, close):
    settings = copy()
    last = min(first + length - 1, EVENTS)
    statements: list[tuple[str, tuple]] = [("DELETE FROM audit_event WHERE number BETWEEN ? AND ?", (first, last))]
    if close:
        statements += [
            ("UPDATE audit_event SET number = number - ? WHERE number = ?", (last - first + 1, number))
            for number in range(last + 1, EVENTS + 1)
        ]
    change(settings, *statements)

    assert verify(settings).faults != ()


@given(pair=st.tuples(numbers, numbers).filter(lambda pair: pair[0] < pair[1]))
def test_two_swapped_events_are_found(copy, pair):
    settings = copy()
    move = "UPDATE audit_event SET number = ? WHERE number = ?"
    change(settings, (move, (99, pair[0])), (move, pair), (move, (pair[1], 99)))

    assert verify(settings).faults != ()


@given(number=numbers, source=numbers)
def test_a_copied_event_put_in_between_is_found(copy, number, source):
    settings = copy()
    row = row_of(settings, source)
    statements: list[tuple[str, tuple]] = [
        ("UPDATE audit_event SET number = number + 1 WHERE number = ?", (place,))
        for place in range(EVENTS, number - 1, -1)
    ]
    marks = ", ".join("?" * len(FIELDS))
    change(settings, *statements, (f"INSERT INTO audit_event VALUES ({marks})", (number, *row[1:])))

    assert verify(settings).faults != ()


@given(number=numbers)
def test_a_forged_event_at_the_end_is_found(copy, number):
    settings = copy()
    row = row_of(settings, number)
    forged = (EVENTS + 1, *row[1:-2], row_of(settings, EVENTS)[-1], row[-1])
    change(settings, (f"INSERT INTO audit_event VALUES ({', '.join('?' * len(FIELDS))})", forged))

    assert verify(settings).faults != ()
    with pytest.raises(StorageError, match="damaged or cut short"):
        append(settings, "test.more")


@hypothesis_settings(max_examples=examples(300))
@given(data=st.data())
def test_any_byte_of_the_file_is_harmless_or_found(chain, copy, data):
    settings = copy()
    file = settings.governance / "governance.db"
    raw = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    file.write_bytes(raw)

    if not verify(settings).faults:
        assert list(read_events(settings)) == list(read_events(chain))


@pytest.mark.parametrize("guard", GUARDS)
def test_a_guard_that_was_taken_down_is_found(copy, guard):
    settings = copy()
    with closing(sqlite3.connect(settings.governance / "governance.db")) as database:
        database.execute(f"DROP TRIGGER {guard}")

    assert verify(settings).faults == (f"the guard {guard} of the table is missing or changed",)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_event SET reason = 'better' WHERE number = 3",
        "DELETE FROM audit_event",
        "DELETE FROM audit_event WHERE number = 7",
        "INSERT OR REPLACE INTO audit_event SELECT 3, time, actor, action, object, 'x', details, key_id, previous, seal"
        " FROM audit_event WHERE number = 3",
        "INSERT INTO audit_event SELECT 9, time, actor, action, object, 'x', details, key_id, previous, seal"
        " FROM audit_event WHERE number = 3",
    ],
)
def test_the_table_itself_refuses_changes(copy, statement):
    settings = copy()
    with (
        closing(sqlite3.connect(settings.governance / "governance.db")) as database,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        database.execute(statement)

    assert verify(settings).faults == ()
