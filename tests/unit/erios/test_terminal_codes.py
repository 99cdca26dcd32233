"""A code of the portal says once, within minutes, who is at a terminal; and nobody makes one."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from erios import terminal_codes
from erios.audit import append, read_events
from erios.errors import RefusedError, StorageError
from erios.terminal_codes import GIVEN, REFUSED, USED, give, use


@pytest.fixture
def home(settings, keyring):
    return settings


def test_a_code_serves_once_however_it_is_typed(home):
    code = give(home, "dora")
    assert use(home, f" {code.replace('-', ' ').upper()} \n") == "dora"
    with pytest.raises(RefusedError, match="unknown, used, or older than five minutes"):
        use(home, code)
    assert [event.action for event in read_events(home)] == [GIVEN, USED, REFUSED]
    assert not [event for event in read_events(home) if code.replace("-", "") in event.details]


def test_a_code_serves_for_five_minutes(home, monkeypatch):
    early, late = give(home, "dora"), give(home, "dora")

    def put_forward(span: timedelta) -> None:
        class Clock(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.now(tz) + span

        monkeypatch.setattr(terminal_codes, "datetime", Clock)

    put_forward(timedelta(minutes=4, seconds=50))
    assert use(home, early) == "dora"
    put_forward(timedelta(minutes=5, seconds=2))
    with pytest.raises(RefusedError):
        use(home, late)


@pytest.mark.parametrize("code", ["", "-", "aaaa-bbbb-cccc", "0000", "é" * 12])
def test_a_code_that_nobody_gave_is_refused_and_on_record(code, home):
    give(home, "dora")
    with pytest.raises(RefusedError):
        use(home, code)
    assert [event.action for event in read_events(home)] == [GIVEN, REFUSED]


def test_two_codes_are_two_people(home):
    codes = {login: give(home, login) for login in ("dora", "dpo")}
    assert {login: use(home, code) for login, code in codes.items()} == {"dora": "dora", "dpo": "dpo"}


def test_no_code_is_taken_from_a_damaged_record(home):
    code = give(home, "dora")
    append(home, "something.else")
    (home.identity / "audit-head.sealed").unlink()
    with pytest.raises(StorageError, match="damaged"):
        use(home, code)
