"""The result of an evaluation, and how it is logged: no figure is of fewer than ``MIN_CELL`` patients.

Owns the form of results and that threshold; a subgroup below it is named without figures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from experiments.errors import BundleError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from experiments.attempt import Attempt, Log

MIN_CELL = 11
"""Least number of patients of a figure, as everywhere in the workbench."""
DRAWS = 1000


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % bootstrap interval over patients."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class EvaluationResult:
    """``metrics`` on the test part; ``baseline``: a plain model's on the same rows; ``groups``: name → value →
    metrics, None where there are too few patients; ``pictures``: file name → figure; ``patients`` of the test part,
    None where they are too few: then the rest is empty."""

    patients: int | None
    metrics: Mapping[str, Estimate] = field(default_factory=dict)
    baseline: Mapping[str, Estimate] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, Mapping[str, Estimate] | None]] = field(default_factory=dict)
    pictures: Mapping[str, Figure] = field(default_factory=dict)


def evaluate(attempt: Attempt, folder: Path, event_log: Log) -> EvaluationResult | None:
    """Run the bundle's ``evaluation`` if it has one, log its figures and keep its pictures in ``folder``."""
    if "evaluation" not in attempt.workflow.parser:
        return None
    evaluation = attempt.workflow.parser.get_parsed_content("evaluation")
    if not callable(evaluation):
        raise BundleError(f"`evaluation` of bundle {attempt.spec.bundle} cannot be called with a network")
    result = suppress_small(evaluation(attempt.network))
    log_result(result, folder, event_log)
    return result


def suppress_small(result: EvaluationResult) -> EvaluationResult:
    """The result, or an empty one where the test part has too few patients: any figure would reveal some of them."""
    return result if (result.patients or 0) >= MIN_CELL else EvaluationResult(None)


def log_result(result: EvaluationResult, folder: Path, event_log: Log) -> None:
    """Figures to the event log; a table of all of them and the pictures as files."""
    counted = {} if result.patients is None else {"test/patients": result.patients}
    event_log.metrics(flatten(result) | counted, 0)
    path = folder / "evaluation.json"
    path.write_text(json.dumps(as_table(result), indent=2, ensure_ascii=False), encoding="utf-8")
    event_log.artifact(path)
    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    for name, figure in result.pictures.items():
        figure.savefig(pictures / name, dpi=130, bbox_inches="tight")
        event_log.artifact(pictures / name, "pictures")


def flatten(result: EvaluationResult) -> dict[str, float]:
    """Names as MLflow takes them: ``test/roc_auc``, ``test/roc_auc_low``, ``baseline/…``, ``group/sex/female/…``."""
    flat = _flat("test", result.metrics) | _flat("baseline", result.baseline)
    for group, values in result.groups.items():
        for value, metrics in values.items():
            flat |= _flat(f"group/{_name(group)}/{_name(value)}", metrics or {})
    return flat


def _flat(prefix: str, metrics: Mapping[str, Estimate]) -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, estimate in metrics.items():
        if not np.isfinite(estimate.value):
            continue
        flat |= {
            f"{prefix}/{name}": estimate.value,
            f"{prefix}/{name}_low": estimate.low,
            f"{prefix}/{name}_high": estimate.high,
        }
    return flat


def _name(text: str) -> str:
    return "".join(char if char.isalnum() or char in "_-. " else "-" for char in text)


def as_table(result: EvaluationResult) -> dict[str, Any]:
    """The result as JSON; a group of too few patients is null."""

    def plain(metrics: Mapping[str, Estimate] | None) -> Any:
        return None if metrics is None else {name: vars(estimate) for name, estimate in metrics.items()}

    return {
        "patients": result.patients,
        "metrics": plain(result.metrics),
        "baseline": plain(result.baseline),
        "groups": {
            group: {value: plain(metrics) for value, metrics in values.items()}
            for group, values in result.groups.items()
        },
        "min_cell": MIN_CELL,
    }


Metric = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Weights (draws, test rows) → a figure per draw; NaN where there is none."""
_CELLS = 4_000_000
"""Weights in memory at a time."""


def bootstrap(
    metrics: Mapping[str, Metric], patients: NDArray[Any], seed: int, draws: int = DRAWS
) -> dict[str, Estimate]:
    """Each metric over all rows, with its percentile interval over resampled patients (all rows of one go together).

    A resample is given by how often each row is in it, so that a metric computes many at once.
    """
    _names, members = np.unique(patients, return_inverse=True)
    people = int(members.max()) + 1
    generator, at_once = np.random.default_rng(seed), max(1, _CELLS // len(patients))
    drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in metrics}
    for size in (min(at_once, draws - begun) for begun in range(0, draws, at_once)):
        weights = generator.multinomial(people, np.full(people, 1 / people), size)[:, members].astype(np.float64)
        for name, metric in metrics.items():
            drawn[name].append(metric(weights))
    whole = np.ones((1, len(patients)))
    return {name: _estimate(float(metric(whole)[0]), np.concatenate(drawn[name])) for name, metric in metrics.items()}


def _estimate(value: float, draws: NDArray[np.float64]) -> Estimate:
    finite = draws[np.isfinite(draws)]
    low, high = np.percentile(finite, [2.5, 97.5]) if len(finite) else (np.nan, np.nan)
    return Estimate(value, float(low), float(high))


def by_group(
    groups: Mapping[str, NDArray[Any]],
    patients: NDArray[Any],
    labels: NDArray[Any],
    estimate: Callable[[NDArray[Any]], dict[str, Estimate]],
) -> dict[str, dict[str, dict[str, Estimate] | None]]:
    """``estimate`` of the rows of each value of each group; None where an outcome has too few patients.

    The figures of all patients are known, so that what one hidden value lacks could be reckoned from the others: as
    many more (the smallest) are hidden as it takes for two values, and ``MIN_CELL`` patients of each outcome together.
    """
    results: dict[str, dict[str, dict[str, Estimate] | None]] = {}
    for group, values in groups.items():
        parts = {value: np.flatnonzero(values == value) for value in sorted(set(values.tolist()))}
        hidden = _hidden(parts, patients, labels)
        results[group] = {str(value): None if value in hidden else estimate(rows) for value, rows in parts.items()}
    return results


def _hidden(parts: Mapping[Any, NDArray[Any]], patients: NDArray[Any], labels: NDArray[Any]) -> set[Any]:
    """The values without figures: those of too few patients, and their companions."""
    sizes = {value: _min_cell(patients[rows], labels[rows], labels) for value, rows in parts.items()}
    hidden = {value for value, size in sizes.items() if size < MIN_CELL}
    for value in sorted(sizes, key=lambda value: sizes[value]):
        together = np.concatenate([parts[h] for h in hidden]) if hidden else np.empty(0, dtype=np.int64)
        enough = len(hidden) > 1 and _min_cell(patients[together], labels[together], labels) >= MIN_CELL
        if not hidden or enough:
            break
        hidden.add(value)
    return hidden


def _min_cell(patients: NDArray[Any], labels: NDArray[Any], outcomes: NDArray[Any]) -> int:
    """Patients of the rarest outcome: of fewer than ``MIN_CELL``, a share would reveal some."""
    return min(len(set(patients[labels == outcome].tolist())) for outcome in np.unique(outcomes))
