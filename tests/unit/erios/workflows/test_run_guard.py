"""Whether a run may go on, asked from inside its job: what cannot be answered is a no."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError

from erios.errors import InputError
from erios.governance.words import Refusal
from erios.workflows import run_guard as guard
from erios.workflows.run_guard import RunGuard
from experiments.errors import ForbiddenError, StoppedError


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A running run whose starter has every right."""
    extract = SimpleNamespace(number="E1-X01")
    kept = SimpleNamespace(created=datetime.now(UTC), state="running", reason="", extract=extract)
    monkeypatch.setattr(guard, "find_run", lambda _number: kept)
    monkeypatch.setattr(guard, "lost_right", lambda _run: None)
    monkeypatch.setattr(guard, "clearance_of", lambda _extract: None)
    return kept


@pytest.fixture
def reads(run: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Extracts that were read whole."""
    numbers: list[str] = []
    monkeypatch.setattr(guard, "open_verified", lambda number, _clearance: numbers.append(number))
    return numbers


@pytest.mark.usefixtures("run")
def test_a_run_with_its_right_goes_on() -> None:
    RunGuard("E1-R001").ask()


@pytest.mark.usefixtures("run")
def test_a_right_that_has_ended_forbids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "lost_right", lambda _run: Refusal("not-on-team"))
    with pytest.raises(ForbiddenError):
        RunGuard("E1-R001").ask()


def test_a_stopped_run_ends_with_its_reason(run: Any) -> None:
    run.state, run.reason = "stopped", "wrong learning rate"
    with pytest.raises(StoppedError, match="wrong learning rate"):
        RunGuard("E1-R001").ask()


def test_a_clock_before_the_request_forbids_beyond_five_minutes(run: Any) -> None:
    run.created = datetime.now(UTC) + timedelta(minutes=4)
    RunGuard("E1-R001").ask()
    run.created += timedelta(minutes=2)
    with pytest.raises(ForbiddenError, match="before the run was asked for"):
        RunGuard("E1-R001").ask()


@pytest.mark.usefixtures("run")
def test_a_database_that_does_not_answer_forbids(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_number: str) -> None:
        raise DatabaseError

    monkeypatch.setattr(guard, "find_run", fail)
    with pytest.raises(ForbiddenError, match="does not answer"):
        RunGuard("E1-R001").ask()


def test_bytes_are_read_again_only_where_that_costs_little(reads: list[str]) -> None:
    asked = RunGuard("E1-R001")
    asked.verify()
    asked._cost = 3600.0
    asked.verify()
    assert reads == ["E1-X01"]

    asked._cost = 0.0
    asked.verify()
    assert reads == ["E1-X01", "E1-X01"]


@pytest.mark.usefixtures("run")
def test_a_changed_byte_forbids(monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(_number: str, _clearance: object) -> None:
        raise InputError("a file differs")

    monkeypatch.setattr(guard, "open_verified", damaged)
    with pytest.raises(ForbiddenError, match="a file differs"):
        RunGuard("E1-R001").verify()
