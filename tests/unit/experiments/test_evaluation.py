"""Figures of a risk compared with scikit-learn's, their intervals, and what is not shown of few patients."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from experiments.evaluation import pictures
from experiments.evaluation.result import (
    MIN_CELL,
    Estimate,
    EvaluationResult,
    as_table,
    bootstrap,
    by_group,
    flatten,
    suppress_small,
)
from experiments.evaluation.risk_prediction import calibration_curve, metrics_of

ROWS = some.lists(
    some.tuples(some.sampled_from([0, 1]), some.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]), some.integers(0, 3)),
    min_size=2,
    max_size=40,
)


@given(ROWS)
def test_each_figure_is_that_of_scikit_learn_for_any_weights(rows):
    ill, risk, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    if len(set(ill[weight > 0].tolist())) < 2:
        return

    figures = {name: float(metric(weight[None, :])[0]) for name, metric in metrics_of(ill, risk).items()}

    assert figures["roc_auc"] == pytest.approx(roc_auc_score(ill, risk, sample_weight=weight))
    assert figures["average_precision"] == pytest.approx(average_precision_score(ill, risk, sample_weight=weight))
    assert figures["brier"] == pytest.approx(brier_score_loss(ill, risk, sample_weight=weight))
    assert figures["base_rate"] == pytest.approx(np.average(ill, weights=weight))
    assert figures["base_rate_brier"] == pytest.approx(np.average((ill - figures["base_rate"]) ** 2, weights=weight))
    for constant in (0.0, 0.1, 0.3, 0.7):
        assert figures["base_rate_brier"] <= np.average((ill - constant) ** 2, weights=weight) + 1e-12


def test_a_figure_of_one_outcome_alone_is_none():
    figures = metrics_of(np.zeros(5), np.linspace(0, 1, 5))

    assert np.isnan(figures["roc_auc"](np.ones((1, 5)))[0])
    assert np.isnan(figures["average_precision"](np.ones((1, 5)))[0])


def test_the_calibration_curve_has_ten_groups_of_equal_size():
    risks = np.sort(np.random.default_rng(0).random(100))
    ill = (np.random.default_rng(1).random(100) < risks).astype(float)

    predicted, observed, sizes = (part[0] for part in calibration_curve(ill, risks, np.ones((1, 100))))

    assert sizes.tolist() == [10] * 10
    assert predicted.tolist() == pytest.approx([group.mean() for group in np.split(risks, 10)])
    assert observed.tolist() == pytest.approx([group.mean() for group in np.split(ill, 10)])


def test_a_perfect_calibration_has_no_error_and_a_lie_has_all():
    ill = np.array([0.0, 1.0] * 50)

    assert metrics_of(ill, ill)["calibration_error"](np.ones((1, 100)))[0] == 0
    assert metrics_of(ill, 1 - ill)["calibration_error"](np.ones((1, 100)))[0] == 1


def mean_of(values):
    """The weighted mean as the one figure."""
    return {"mean": lambda weights: weights @ values / weights.sum(axis=1)}


def test_an_interval_is_over_patients_and_not_over_rows():
    """One patient with a hundred rows says as little as with one: the interval is as wide."""
    values = np.random.default_rng(0).random(50)

    once = bootstrap(mean_of(values), np.arange(50), seed=1)["mean"]
    often = bootstrap(mean_of(np.repeat(values, 20)), np.repeat(np.arange(50), 20), seed=1)["mean"]

    assert once.value == pytest.approx(often.value)
    assert (once.low, once.high) == pytest.approx((often.low, often.high))
    assert once.low < once.value < once.high


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    generator, held = np.random.default_rng(3), 0
    for trial in range(200):
        sample = generator.normal(size=80)
        interval = bootstrap(mean_of(sample), np.arange(80), seed=trial, draws=400)
        held += interval["mean"].low <= 0 <= interval["mean"].high

    assert 0.88 <= held / 200 <= 0.99


def test_the_same_seed_gives_the_same_interval_and_few_draws_at_once_the_same(monkeypatch):
    mean, patients = mean_of(np.random.default_rng(0).random(80)), np.repeat(np.arange(40), 2)
    whole = bootstrap(mean, patients, seed=5)

    assert bootstrap(mean, patients, seed=6) != whole
    monkeypatch.setattr("experiments.evaluation.result._CELLS", 1000)
    assert bootstrap(mean, patients, seed=5) == whole


@pytest.mark.parametrize(("ill", "well", "shown"), [(11, 11, True), (10, 40, False), (40, 10, False), (0, 40, False)])
def test_a_group_has_figures_only_where_each_outcome_has_eleven_patients(ill, well, shown):
    labels = np.array([1] * ill + [0] * well + [0, 1] * 12)
    groups = {"sex": np.array(["female"] * (ill + well) + ["male"] * 12 + ["unknown"] * 12)}
    patients = np.arange(len(labels)).astype(str)

    results = by_group(groups, patients, labels, lambda rows: {"n": Estimate(len(rows), 0, 0)})

    assert (results["sex"]["female"] is not None) == shown
    assert results["sex"]["male"] is None


@pytest.mark.parametrize(("few", "many"), [(1, 40), (10, 40), (10, 12)])
def test_hidden_group_takes_another_with_it_from_which_it_could_be_reckoned(few, many):
    """The figures of all are known: without a companion those of the one hidden value are what the others leave."""
    sizes = {"few": few, "more": many, "most": 100}
    names = np.array([name for name, size in sizes.items() for _ in range(2 * size)])
    labels = np.arange(len(names)) % 2

    shown = by_group({"g": names}, np.arange(len(names)).astype(str), labels, lambda rows: {})["g"]

    assert [name for name, figures in shown.items() if figures is None] == ["few", "more"]
    assert shown["most"] is not None


def test_rows_of_one_patient_count_as_one():
    labels, patients = np.array([0, 1] * 50), np.array(["one", "two"] * 50)

    assert by_group({"g": np.array(["a"] * 100)}, patients, labels, lambda rows: {})["g"]["a"] is None


def test_a_group_with_few_patients_is_named_without_figures():
    result = EvaluationResult(
        50, {"brier": Estimate(0.1, 0.05, 0.2)}, groups={"sex": {"female": None, "male": {"x": Estimate(1, 0, 2)}}}
    )

    assert "group/sex/male/x" in flatten(result)
    assert not [name for name in flatten(result) if "female" in name]
    table = json.loads(json.dumps(as_table(result)))
    assert table["groups"]["sex"]["female"] is None
    assert table["min_cell"] == MIN_CELL


def test_a_figure_that_is_none_is_not_logged():
    assert flatten(EvaluationResult(50, {"roc_auc": Estimate(float("nan"), 0, 1)})) == {}


@pytest.mark.parametrize(("patients", "shown"), [(11, True), (10, False)])
def test_nothing_is_shown_of_a_test_part_of_fewer_than_eleven_patients(patients, shown):
    estimate = Estimate(0.5, 0.4, 0.6)
    groups = {"sex": {"female": {"dice": estimate}}}
    whole = EvaluationResult(patients, {"dice": estimate}, {"dice": estimate}, groups, {"overlays.png": Figure()})

    kept = suppress_small(whole)

    assert kept == (whole if shown else EvaluationResult(None))
    assert bool(flatten(kept)) is shown
    assert as_table(kept)["patients"] == (11 if shown else None)


def test_a_count_at_the_threshold_is_shown_and_one_below_it_is_not():
    labels = np.array([0] * (MIN_CELL + 40) + [1] * (MIN_CELL - 1 + 30))
    called_ill = np.array([1] * MIN_CELL + [0] * 40 + [0] * (MIN_CELL - 1) + [1] * 30)

    axes = pictures.confusion(labels, called_ill, 0.5).axes[0]

    texts = {text.get_position(): text.get_text().split("\n")[-1] for text in axes.texts}
    assert texts == {(0, 0): "40", (1, 0): "11", (0, 1): "not shown", (1, 1): "not shown"}
    assert np.asarray(axes.images[0].get_array())[1].tolist() == [0.0, 0.0]  # nor does a colour tell


def test_a_point_of_the_calibration_of_too_few_rows_is_left_out():
    sizes = np.array([MIN_CELL - 1, MIN_CELL, MIN_CELL + 1])

    axes = pictures.calibration(np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.1, 0.4]), sizes).axes[0]

    assert np.asarray(axes.lines[1].get_xdata()).tolist() == [0.2, 0.3]
