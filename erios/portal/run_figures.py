"""A run as its team reads it: the curve drawn as SVG, figures with their intervals, energy in plain units.

Owns words and measures only; every figure comes from the run's own summary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from erios.workflows.run_summary import Epoch, RunSummary

WIDTH, HEIGHT = 560.0, 180.0
_NAMES: Mapping[str, Mapping[str, str]] = {
    "roc_auc": {"fr": "aire sous la courbe ROC", "en": "area under the ROC curve"},
    "average_precision": {"fr": "précision moyenne", "en": "average precision"},
    "brier": {"fr": "score de Brier (petit : bien)", "en": "Brier score (small: good)"},
    "base_rate_brier": {"fr": "score de Brier du taux de base", "en": "Brier score of the base rate"},
    "calibration_error": {"fr": "erreur de calibration", "en": "calibration error"},
    "base_rate": {"fr": "taux de base", "en": "base rate"},
    "dice": {"fr": "indice de Dice", "en": "Dice score"},
    "volume_error": {"fr": "erreur de volume (petite : bien)", "en": "volume error (small: good)"},
    "loss": {"fr": "perte à l'entraînement", "en": "training loss"},
}
_GROUPS: Mapping[str, Mapping[str, str]] = {
    "sex": {"fr": "sexe", "en": "sex"},
    "age": {"fr": "âge", "en": "age"},
    "female": {"fr": "femmes", "en": "women"},
    "male": {"fr": "hommes", "en": "men"},
    "unknown": {"fr": "inconnu", "en": "unknown"},
}
_PICTURES: Mapping[str, Mapping[str, str]] = {
    "roc.png": {"fr": "Courbe ROC sur les patients de test", "en": "ROC curve on the test patients"},
    "calibration.png": {"fr": "Risque prédit et risque observé", "en": "Predicted and observed risk"},
    "confusion.png": {"fr": "Matrice de confusion", "en": "Confusion matrix"},
    "overlays.png": {"fr": "Lésions dessinées et lésions trouvées", "en": "Lesions drawn and lesions found"},
    "dice.png": {"fr": "Indice de Dice de patient en patient", "en": "Dice score from patient to patient"},
}


def figures(summary: RunSummary, language: str) -> dict[str, Any]:
    """What the page shows of a run."""
    evaluation = summary.evaluation
    return {
        "attempts": summary.attempts,
        "curves": _curves(summary.epochs, language),
        "patients": evaluation.get("patients"),
        "withheld": bool(evaluation) and evaluation.get("patients") is None,
        "results": _results(evaluation, language),
        "groups": _groups(evaluation, language),
        "fewest": evaluation.get("min_cell"),
        "energy": _energy(summary.energy, language),
        "meter": summary.meter,
        "weights": summary.weights,
        "pictures": [{"name": name, "alt": _PICTURES.get(name, {}).get(language, name)} for name in summary.pictures],
    }


def say_metric(name: str, language: str) -> str:
    """The name of a figure as people say it."""
    return _NAMES[name][language] if name in _NAMES else name


def _number(value: float, language: str, digits: int = 3) -> str:
    text = f"{value:.{digits}f}"
    return text.replace(".", ",") if language == "fr" else text


def _curves(epochs: Sequence[Epoch], language: str) -> list[dict[str, Any]]:
    """One drawing a figure: the training loss, then what validation told."""
    told = {"loss": [(one.number, one.loss) for one in epochs if one.loss is not None]}
    for name in sorted({name for one in epochs for name in one.validation}):
        told[name] = [(one.number, one.validation[name]) for one in epochs if name in one.validation]
    return [_curve(name, points, language) for name, points in told.items() if len(points) > 1]


def _curve(name: str, points: Sequence[tuple[int, float]], language: str) -> dict[str, Any]:
    first, last = points[0][0], points[-1][0]
    low, high = min(value for _n, value in points), max(value for _n, value in points)
    across, up = (WIDTH - 70) / max(last - first, 1), (HEIGHT - 40) / ((high - low) or 1.0)
    drawn = " ".join(f"{60 + across * (n - first):.1f},{HEIGHT - 25 - up * (value - low):.1f}" for n, value in points)
    return {
        "name": say_metric(name, language),
        "points": drawn,
        "low": _number(low, language),
        "high": _number(high, language),
        "first": first,
        "last": last,
        "end": _number(points[-1][1], language),
    }


def _estimate(one: Mapping[str, float] | None, language: str) -> str:
    if one is None or one["value"] != one["value"]:
        return "–"
    value, low, high = (_number(one[name], language) for name in ("value", "low", "high"))
    return f"{value} [{low} ; {high}]" if language == "fr" else f"{value} [{low}, {high}]"


def _results(evaluation: Mapping[str, Any], language: str) -> list[dict[str, str]]:
    metrics, baseline = evaluation.get("metrics") or {}, evaluation.get("baseline") or {}
    return [
        {
            "name": say_metric(name, language),
            "model": _estimate(one, language),
            "baseline": _estimate(baseline.get(name), language),
        }
        for name, one in metrics.items()
    ]


def _groups(evaluation: Mapping[str, Any], language: str) -> list[dict[str, str]]:
    """The first figure of each subgroup: the one that the bundle puts first."""
    main = next(iter(evaluation.get("metrics") or {}), "")
    return [
        {
            "group": f"{_group(group, language)} : {_group(value, language)}",
            "figure": _estimate(told.get(main), language) if told else "",
        }
        for group, values in (evaluation.get("groups") or {}).items()
        for value, told in values.items()
    ]


def _group(name: str, language: str) -> str:
    return _GROUPS[name][language] if name in _GROUPS else name


def _short(value: float, language: str) -> str:
    """Two figures that count, and no more zeros than that takes."""
    text = f"{value:.2g}" if 1e-4 <= abs(value) < 100 else f"{value:.0f}" if abs(value) >= 100 else f"{value:.1e}"
    return text.replace(".", ",") if language == "fr" else text


def _energy(told: Mapping[str, float], language: str) -> dict[str, str]:
    if not told:
        return {}
    return {
        "wh": _short(1000 * told["total_kwh"], language),
        "grams": _short(told["co2e_g"], language),
        "seconds": _number(told["seconds"], language, 0),
    }
