"""The readmission model on several splits of the same patients: what a run's report says of one is no chance of it."""

from __future__ import annotations

import numpy as np
import pytest

from erios.settings import Settings
from experiments.evaluation.result import bootstrap
from experiments.evaluation.risk_prediction import metrics_of
from tests.bench.readmission import Outcome, trained
from tests.figures import Record

pytestmark = pytest.mark.slow
EPOCHS, FEW, MANY = 10, range(6), range(24)
LIKE = 0.002
"""Brier scores that are as good as each other's: a regression explains these patients as well as a network."""


def outcomes(home: Settings, seeds: range) -> list[Outcome]:
    dataset = next(home.studies.glob("*/*/manifest.json")).parent
    return [trained(dataset, seed, epochs=EPOCHS) for seed in seeds]


def brier(outcome: Outcome, risks: object) -> float:
    return float(np.mean((np.asarray(risks) - outcome.labels) ** 2))


def briers(seen: list[Outcome]) -> tuple[list[float], list[float], list[float]]:
    """Of the network, of the logistic regression, and of the test part's own rate."""
    return (
        [brier(one, one.model) for one in seen],
        [brier(one, one.regression) for one in seen],
        [brier(one, one.labels.mean()) for one in seen],
    )


def test_a_model_ranks_and_predicts_better_than_chance_in_every_split(home: Settings) -> None:
    seen = outcomes(home, FEW)

    lows = [bootstrap(metrics_of(one.labels, one.model), one.patients, 0)["roc_auc"].low for one in seen]
    network, regression, own = briers(seen)
    assert min(lows) > 0.5
    assert all(model < constant for model, constant in zip(network, own, strict=True))
    assert abs(np.mean(network) - np.mean(regression)) < LIKE


@pytest.mark.long
def test_how_often_a_model_is_better_than_the_references(home: Settings, figure: Record) -> None:
    """No single split tells whether a network or a regression is better."""
    network, regression, own = briers(outcomes(home, MANY))

    over = {"the logistic regression": regression, "the test part's own rate": own}
    for name, reference in over.items():
        better = sum(model < other for model, other in zip(network, reference, strict=True))
        figure(
            f"Brier score, mean over {len(network)} splits, and of {name}",
            f"{np.mean(network):.4f}; {np.mean(reference):.4f}",
        )
        figure(f"splits in which the model's Brier score is under that of {name}", f"{better} of {len(network)}")
    assert np.mean(network) < np.mean(own)
    assert abs(np.mean(network) - np.mean(regression)) < LIKE
