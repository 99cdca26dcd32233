"""Whether a run may go on, asked from inside its job: what cannot be answered is a no."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError

from erios.errors import InputError
from erios.governance.words import Refusal
from erios.workflows import run_guard as guard
from erios.workflows.run_guard import RunGuard
from experiments.errors import ForbiddenError, StoppedError
from experiments.run_spec import RunSpec

SPEC = RunSpec(
    run="E1-R001",
    folder=Path("/run"),
    bundle="b",
    dataset_dir=Path("/x"),
    tracking_uri="",
    artifacts="",
    experiment="E1",
    person="bob",
    facts={"extract": "E1-X01", "extract.root": "r00t", "extract.public_key": "p", "extract.expires": "9999-12-31"},
)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A running run whose starter has every right."""
    extract = SimpleNamespace(number="E1-X01", root="r00t")
    starter = SimpleNamespace(username="bob")
    kept = SimpleNamespace(created=datetime.now(UTC), state="running", reason="", extract=extract, by=starter)
    monkeypatch.setattr(guard, "find_run", lambda _number: kept)
    monkeypatch.setattr(guard, "lost_right", lambda _run: None)
    return kept


@pytest.fixture
def reads(run: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Extracts that were read whole."""
    numbers: list[str] = []
    monkeypatch.setattr(guard, "verify", lambda folder, key, root: numbers.append(f"{folder} {key} {root}"))
    return numbers


@pytest.mark.usefixtures("run")
def test_a_run_with_its_right_goes_on() -> None:
    RunGuard(SPEC).ask()


@pytest.mark.usefixtures("run")
def test_a_right_that_has_ended_forbids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "lost_right", lambda _run: Refusal("not-on-team"))
    with pytest.raises(ForbiddenError):
        RunGuard(SPEC).ask()


def test_a_stopped_run_ends_with_its_reason(run: Any) -> None:
    run.state, run.reason = "stopped", "wrong learning rate"
    with pytest.raises(StoppedError, match="wrong learning rate"):
        RunGuard(SPEC).ask()


def test_a_clock_before_the_request_forbids_beyond_five_minutes(run: Any) -> None:
    run.created = datetime.now(UTC) + timedelta(minutes=4)
    RunGuard(SPEC).ask()
    run.created += timedelta(minutes=2)
    with pytest.raises(ForbiddenError, match="before the run was asked for"):
        RunGuard(SPEC).ask()


@pytest.mark.usefixtures("run")
def test_a_database_that_does_not_answer_forbids(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_number: str) -> None:
        raise DatabaseError

    monkeypatch.setattr(guard, "find_run", fail)
    with pytest.raises(ForbiddenError, match="does not answer"):
        RunGuard(SPEC).ask()


def test_bytes_are_read_again_only_where_that_costs_little(reads: list[str]) -> None:
    asked = RunGuard(SPEC)
    asked.verify()
    asked._cost = 3600.0
    asked.verify()
    assert reads == ["/x p r00t"]

    asked._cost = 0.0
    asked.verify()
    assert reads == ["/x p r00t"] * 2


@pytest.mark.usefixtures("run")
def test_a_changed_byte_forbids(monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(_folder: Path, _key: str, _root: str) -> None:
        raise InputError("a file differs")

    monkeypatch.setattr(guard, "verify", damaged)
    with pytest.raises(ForbiddenError, match="a file differs"):
        RunGuard(SPEC).verify()


@pytest.mark.parametrize(
    ("whose", "field", "value"), [("extract", "root", "f0"), ("extract", "number", "E1-X02"), ("by", "username", "eve")]
)
def test_a_record_that_names_another_grant_than_the_run_was_queued_with_forbids(
    run: Any, whose: str, field: str, value: str
) -> None:
    setattr(getattr(run, whose), field, value)
    with pytest.raises(ForbiddenError, match="is not what it was when the run was asked for"):
        RunGuard(SPEC).ask()


@pytest.mark.usefixtures("run")
def test_the_expiry_with_which_a_run_was_queued_ends_it_whatever_the_database_says() -> None:
    over = replace(SPEC, facts={**SPEC.facts, "extract.expires": "2020-01-01"})
    with pytest.raises(ForbiddenError):
        RunGuard(over).ask()
