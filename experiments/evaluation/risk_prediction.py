"""Evaluation of a risk model on the test part, compared with a logistic regression on the same rows.

Sources: area under the ROC curve and average precision as scikit-learn defines them; Brier score: G. W. Brier, Monthly
Weather Review 78 (1950); expected calibration error over ten equal groups: M. P. Naeini and others, AAAI (2015).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from experiments.data_split import SHARES
from experiments.evaluation import pictures
from experiments.evaluation.result import Estimate, EvaluationResult, Metric, bootstrap, by_group
from experiments.tables import Rows

if TYPE_CHECKING:
    import torch

_BINS = 10


@dataclass(frozen=True)
class RiskEvaluation:
    """Evaluates a network with one logit per row."""

    rows: Rows
    seed: int = 0
    device: torch.device | str = "cpu"
    shares: Mapping[str, float] = field(default_factory=lambda: SHARES)

    def __call__(self, network: Any) -> EvaluationResult:
        test, train, validation = (
            self.rows.part(name, self.seed, self.shares) for name in ("test", "train", "validation")
        )
        risks, plain = self._risks(network, test), baseline_risks(train, test)
        cut = best_cut(validation.labels, self._risks(network, validation))
        return evaluate_risks(test, risks, plain, cut, self.seed)

    def _risks(self, network: Any, rows: Rows) -> NDArray[np.float64]:
        import torch

        network.eval()
        with torch.inference_mode():
            logits = network(torch.from_numpy(rows.features).to(self.device))
        return torch.sigmoid(logits.float()).cpu().numpy().astype(np.float64).reshape(-1)


def evaluate_risks(
    test: Rows, risks: NDArray[np.float64], plain: NDArray[np.float64], cut: float, seed: int
) -> EvaluationResult:
    """Evaluate ``risks`` (n) and those of the baseline, ``plain`` (n), on the rows of the test part."""
    return EvaluationResult(
        patients=len(set(test.patients.tolist())),
        metrics=_estimates(test, risks, seed),
        baseline=_estimates(test, plain, seed),
        groups=by_group(
            test.groups, test.patients, test.labels, lambda rows: _estimates(test.take(rows), risks[rows], seed)
        ),
        pictures={
            "roc.png": pictures.roc(test.labels, {"model": risks, "logistic regression": plain}),
            "calibration.png": pictures.calibration(*_curve(test.labels, risks)),
            "confusion.png": pictures.confusion(test.labels, risks >= cut, cut),
        },
    )


def baseline_risks(train: Rows, test: Rows) -> NDArray[np.float64]:
    """The risks of the test part by a logistic regression that is fitted on the training part."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(
        SimpleImputer(add_indicator=True, keep_empty_features=True), StandardScaler(), LogisticRegression(max_iter=1000)
    )
    risks: NDArray[np.float64] = model.fit(train.features, train.labels).predict_proba(test.features)[:, 1]
    return risks


def _estimates(rows: Rows, risks: NDArray[np.float64], seed: int) -> dict[str, Estimate]:
    return bootstrap(metrics_of(rows.labels, risks), rows.patients, seed)


def metrics_of(labels: NDArray[Any], risks: NDArray[Any]) -> dict[str, Metric]:
    """The metrics of a risk, each over resampled rows.

    ``base_rate_brier``: the Brier score of one who gives everybody the rate of these very rows. No constant has a lower
    one, that of the training part included, so it is the strictest reference without features (the ``uncertainty`` of
    A. H. Murphy, Journal of Applied Meteorology 12, 1973).
    """
    order = np.argsort(risks, kind="stable")
    ill, risk = np.asarray(labels, np.float64)[order], np.asarray(risks, np.float64)[order]
    return {
        "roc_auc": lambda weights: roc_auc(ill, risk, weights[:, order]),
        "average_precision": lambda weights: average_precision(ill, risk, weights[:, order]),
        "brier": lambda weights: weights[:, order] @ (risk - ill) ** 2 / weights.sum(axis=1),
        "base_rate_brier": lambda weights: _rate(ill, weights[:, order]) * (1 - _rate(ill, weights[:, order])),
        "calibration_error": lambda weights: calibration_error(ill, risk, weights[:, order]),
        "base_rate": lambda weights: _rate(ill, weights[:, order]),
    }


def _rate(ill: NDArray[Any], weights: NDArray[Any]) -> NDArray[np.float64]:
    rate: NDArray[np.float64] = weights @ ill / weights.sum(axis=1)
    return rate


def _by_risk(ill: NDArray[Any], risks: NDArray[Any], weights: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weight of the ill and of the well at each distinct risk, ascending; one row per draw."""
    starts = np.flatnonzero(np.diff(risks, prepend=-np.inf))
    return np.add.reduceat(weights * ill, starts, axis=1), np.add.reduceat(weights * (1 - ill), starts, axis=1)


def roc_auc(ill: NDArray[Any], risks: NDArray[Any], weights: NDArray[Any]) -> NDArray[np.float64]:
    """The share of pairs (ill, well) in which the ill one has the higher risk, ties a half; NaN without both.

    ``ill`` and ``risks`` ascend by risk, as in all metrics below; ``weights``: one row per draw.
    """
    ills, wells = _by_risk(ill, risks, weights)
    below = np.cumsum(wells, axis=1) - wells / 2
    return _over((ills * below).sum(axis=1), ills.sum(axis=1) * wells.sum(axis=1))


def average_precision(ill: NDArray[Any], risks: NDArray[Any], weights: NDArray[Any]) -> NDArray[np.float64]:
    """Precision at each distinct risk, weighted by the ill ones at it; NaN without an ill one."""
    ills, wells = (part[:, ::-1] for part in _by_risk(ill, risks, weights))
    found_ill = np.cumsum(ills, axis=1)
    precision = found_ill / np.maximum(found_ill + np.cumsum(wells, axis=1), 1e-12)
    return _over((ills * precision).sum(axis=1), ills.sum(axis=1))


def _over(above: NDArray[Any], below: NDArray[Any]) -> NDArray[np.float64]:
    share: NDArray[np.float64] = np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
    return share


def calibration_curve(
    ill: NDArray[Any], risks: NDArray[Any], weights: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Mean risk, share of ill ones and weight of ten groups of equal weight by risk, each draws × groups."""
    draws, rows = weights.shape
    bins = min(_BINS, rows)
    middle = np.cumsum(weights, axis=1) - weights / 2
    group = np.minimum(middle / weights.sum(axis=1, keepdims=True) * bins, bins - 1).astype(np.int64)
    cells = (group + bins * np.arange(draws)[:, None]).ravel()
    sizes, predicted, observed = (
        np.bincount(cells, (weights * values).ravel(), draws * bins).reshape(draws, bins)
        for values in (1.0, risks, ill)
    )
    return predicted / np.maximum(sizes, 1e-12), observed / np.maximum(sizes, 1e-12), sizes


def _curve(labels: NDArray[Any], risks: NDArray[Any]) -> list[NDArray[Any]]:
    """The calibration curve of the rows as they are."""
    order = np.argsort(risks, kind="stable")
    return [part[0] for part in calibration_curve(labels[order], risks[order], np.ones((1, len(order))))]


def calibration_error(ill: NDArray[Any], risks: NDArray[Any], weights: NDArray[Any]) -> NDArray[np.float64]:
    """The mean distance between predicted risk and observed share over those groups, weighted by size."""
    predicted, observed, sizes = calibration_curve(ill, risks, weights)
    error: NDArray[np.float64] = (np.abs(predicted - observed) * sizes).sum(axis=1) / sizes.sum(axis=1)
    return error


def best_cut(labels: NDArray[Any], risks: NDArray[Any]) -> float:
    """The threshold on the risk with the greatest sensitivity plus specificity (W. J. Youden, Cancer 3, 1950)."""
    from sklearn.metrics import roc_curve

    wrong, right, cuts = roc_curve(labels, risks)
    return float(cuts[1:][np.argmax(right[1:] - wrong[1:])])
