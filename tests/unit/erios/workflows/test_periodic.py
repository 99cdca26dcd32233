"""Periodic work: each step on its own, and a failure of one is no failure of the others."""

from __future__ import annotations

import logging

import pytest

from erios.workflows import periodic as rounds


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the steps that ran; ``follow`` fails."""
    ran: list[str] = []

    def nightly() -> None:
        ran.append("nightly")

    def follow() -> None:
        ran.append("follow")
        raise ValueError("Dupont")

    def share_runs() -> None:
        ran.append("share_runs")

    for step in (nightly, follow, share_runs):
        monkeypatch.setattr(rounds, step.__name__, step)
    return ran


def test_a_step_that_fails_stops_no_other_and_is_logged_by_its_class_alone(
    steps: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        rounds.make_round()

    assert steps == ["nightly", "follow", "share_runs"]
    assert caplog.messages == ["follow failed: ValueError"]


def test_the_first_round_is_made_before_the_caller_goes_on(steps: list[str]) -> None:
    with rounds.rounds(every=3600):
        assert steps == ["nightly", "follow", "share_runs"]
