"""A run as its team reads it: the curve drawn as SVG, figures with their intervals, energy in plain units.

Owns words and measures; every figure comes from the run's summary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from erios.translation import decimal_separator, format_number, gettext, mark
from erios.workflows.run_summary import Epoch, RunSummary

WIDTH, HEIGHT = 560.0, 180.0
_NAMES: Mapping[str, str] = {
    "roc_auc": mark("aire sous la courbe ROC"),
    "average_precision": mark("précision moyenne"),
    "brier": mark("score de Brier (petit : bien)"),
    "base_rate_brier": mark("score de Brier du taux de base"),
    "calibration_error": mark("erreur de calibration"),
    "base_rate": mark("taux de base"),
    "dice": mark("indice de Dice"),
    "volume_error": mark("erreur de volume (petite : bien)"),
    "loss": mark("perte à l'entraînement"),
}
_GROUPS: Mapping[str, str] = {
    "sex": mark("sexe"),
    "age": mark("âge"),
    "female": mark("femmes"),
    "male": mark("hommes"),
    "unknown": mark("inconnu"),
}
_PICTURES: Mapping[str, str] = {
    "roc.png": mark("Courbe ROC sur les patients de test"),
    "calibration.png": mark("Risque prédit et risque observé"),
    "confusion.png": mark("Matrice de confusion"),
    "overlays.png": mark("Lésions dessinées et lésions trouvées"),
    "dice.png": mark("Indice de Dice de patient en patient"),
}


_INTERVAL = mark("{value} [{low} ; {high}]")


def figures(summary: RunSummary) -> dict[str, Any]:
    """What the page shows of a run."""
    evaluation = summary.evaluation
    return {
        "attempts": summary.attempts,
        "curves": _curves(summary.epochs),
        "patients": evaluation.get("patients"),
        "withheld": bool(evaluation) and evaluation.get("patients") is None,
        "results": _results(evaluation),
        "groups": _groups(evaluation),
        "fewest": evaluation.get("min_cell", evaluation.get("fewest_patients")),  # its name in earlier versions
        "energy": _energy(summary.energy),
        "meter": summary.meter,
        "weights": summary.weights,
        "pictures": [{"name": name, "alt": gettext(_PICTURES.get(name, name))} for name in summary.pictures],
    }


def metric_name(name: str) -> str:
    """The name of a figure in the current language."""
    return gettext(_NAMES.get(name, name))


def _curves(epochs: Sequence[Epoch]) -> list[dict[str, Any]]:
    """One curve per figure: the training loss, then those of validation."""
    curves = {"loss": [(epoch.number, epoch.loss) for epoch in epochs if epoch.loss is not None]}
    for name in sorted({name for epoch in epochs for name in epoch.validation}):
        curves[name] = [(epoch.number, epoch.validation[name]) for epoch in epochs if name in epoch.validation]
    return [_curve(name, points) for name, points in curves.items() if len(points) > 1]


def _curve(name: str, points: Sequence[tuple[int, float]]) -> dict[str, Any]:
    first, last = points[0][0], points[-1][0]
    low, high = min(value for _n, value in points), max(value for _n, value in points)
    across, up = (WIDTH - 70) / max(last - first, 1), (HEIGHT - 40) / ((high - low) or 1.0)
    drawn = " ".join(f"{60 + across * (n - first):.1f},{HEIGHT - 25 - up * (value - low):.1f}" for n, value in points)
    return {
        "name": metric_name(name),
        "points": drawn,
        "low": format_number(low, 3),
        "high": format_number(high, 3),
        "first": first,
        "last": last,
        "end": format_number(points[-1][1], 3),
    }


def _estimate(figure: Mapping[str, float] | None) -> str:
    if figure is None or figure["value"] != figure["value"]:
        return "–"
    value, low, high = (format_number(figure[name], 3) for name in ("value", "low", "high"))
    return gettext(_INTERVAL, value=value, low=low, high=high)


def _results(evaluation: Mapping[str, Any]) -> list[dict[str, str]]:
    metrics, baseline = evaluation.get("metrics") or {}, evaluation.get("baseline") or {}
    return [
        {
            "name": metric_name(name),
            "model": _estimate(figure),
            "baseline": _estimate(baseline.get(name)),
        }
        for name, figure in metrics.items()
    ]


def _groups(evaluation: Mapping[str, Any]) -> list[dict[str, str]]:
    """The first figure of each subgroup: the one that the bundle puts first."""
    main = next(iter(evaluation.get("metrics") or {}), "")
    return [
        {
            "group": f"{_group(group)} : {_group(value)}",
            "figure": _estimate(metrics.get(main)) if metrics else "",
        }
        for group, values in (evaluation.get("groups") or {}).items()
        for value, metrics in values.items()
    ]


def _group(name: str) -> str:
    return gettext(_GROUPS.get(name, name))


def _short(value: float) -> str:
    """Two figures that count, and no more zeros than that takes."""
    text = f"{value:.2g}" if 1e-4 <= abs(value) < 100 else f"{value:.0f}" if abs(value) >= 100 else f"{value:.1e}"
    return text.replace(".", decimal_separator())


def _energy(figures: Mapping[str, float]) -> dict[str, str]:
    if not figures:
        return {}
    return {
        "wh": _short(1000 * figures["total_kwh"]),
        "grams": _short(figures["co2e_g"]),
        "seconds": format_number(figures["seconds"], 0),
    }
