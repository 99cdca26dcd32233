"""Comparing runs: what differs, and whether one is the other again; the tracking is a stand-in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from erios.workflows import runs

FACTS = {"erios.code": "c1", "erios.environment": "e1", "erios.extract.root": "x", "erios.bundle.digest": "d"}


def tracked(weights: str = "w", params: dict[str, Any] | None = None, **metrics: float) -> Any:
    tags = {**FACTS, "erios.weights": weights}
    figures = {name.replace("__", "/"): value for name, value in metrics.items()}
    return SimpleNamespace(data=SimpleNamespace(params=params or {}, tags=tags, metrics=figures))


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run number → its tracked run; a run without one was never tracked."""
    kept: dict[str, Any] = {}
    monkeypatch.setattr(runs, "tracked_run", lambda run: kept.get(run.number))
    monkeypatch.setattr(runs, "read_spec", lambda _folder: SimpleNamespace(attempts=2))
    monkeypatch.setattr(runs, "folder_of", lambda _run, _settings: None)
    return kept


def run(number: str) -> Any:
    return SimpleNamespace(number=number)


def test_figures_leave_out_what_training_does_not_end_with(record: dict[str, Any]) -> None:
    record["R1"] = tracked("w1", test__dice=0.5, system__memory=3.0, energy__kwh=0.1)

    assert runs.figures_of(run("R1")) == {
        "attempts": 2,
        "weights": "w1",
        "metrics": {"energy/kwh": 0.1, "test/dice": 0.5},
    }
    assert runs.figures_of(run("R2")) == {"attempts": 2, "weights": "", "metrics": {}}


def test_a_comparison_shows_settings_that_differ_and_figures_of_both(record: dict[str, Any]) -> None:
    record["R1"] = tracked(params={"epochs": "3", "lr": "1"}, test__dice=0.123456, test__dice_low=0.1, test__auc=1.0)
    record["R2"] = tracked(params={"epochs": "4", "lr": "1"}, test__dice=0.2, test__dice_low=0.1)

    assert runs.compare_runs(run("R1"), run("R2")) == [
        {"name": "epochs", "first": "3", "second": "4"},
        {"name": "test/dice", "first": 0.12346, "second": 0.2},
    ]


def test_a_run_with_the_same_weights_is_a_reproduction(record: dict[str, Any]) -> None:
    record["R1"], record["R2"] = tracked("w"), tracked("w")

    verdict = runs.compare_reproduction(run("R1"), run("R2"))

    assert (verdict["same"], verdict["changed"]) == (True, [])
    assert verdict["sentence"] == "R2 ended with the weights of R1, bit for bit."


def test_other_weights_are_explained_by_what_changed_and_the_widest_gap(record: dict[str, Any]) -> None:
    record["R1"], record["R2"] = (
        tracked("w", test__auc=0.9, test__dice=0.5),
        tracked("v", test__auc=0.8, test__dice=0.2),
    )
    record["R2"].data.tags["erios.code"] = "c2"

    verdict = runs.compare_reproduction(run("R1"), run("R2"))

    assert (verdict["same"], verdict["changed"], verdict["weights"]) == (False, ["code"], ["w", "v"])
    assert verdict["sentence"] == (
        "the weights differ; the widest gap of a test figure is 0.3 (test/dice); changed since: code"
    )


@pytest.mark.parametrize("weights", ["", "w"])
def test_runs_without_weights_are_no_reproduction(weights: str, record: dict[str, Any]) -> None:
    record["R1"], record["R2"] = tracked(weights), tracked("")

    assert not runs.compare_reproduction(run("R1"), run("R2"))["same"]
