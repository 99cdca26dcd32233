"""The pictures of a run. Counts under ``MIN_CELL`` are not shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from experiments.evaluation.result import MIN_CELL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, ACCENT, SECOND, PALE = "#1f2933", "#0b6e99", "#c8553d", "#d9e2ec"


def canvas(width: float = 4.6, height: float = 4.2, columns: int = 1) -> tuple[Figure, Any]:
    """A figure of ``columns`` plain axes, without a window."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(colors=INK, labelsize=9)
    return figure, axes[0] if columns == 1 else axes


@dataclass(frozen=True)
class Overlay:
    """A layer (y, x) with the mask that was drawn and the predicted one."""

    title: str
    image: NDArray[np.float32]
    truth: NDArray[np.bool_]
    predicted: NDArray[np.bool_]


def overlays(layers: Sequence[Overlay]) -> Figure:
    """Each layer with both masks as outlines."""
    figure, axes = canvas(3.2 * len(layers), 3.6, columns=len(layers))
    for layer, axis in zip(layers, [axes] if len(layers) == 1 else axes, strict=True):
        axis.imshow(layer.image, cmap="gray", interpolation="nearest")
        for mask, colour, style in ((layer.truth, ACCENT, "solid"), (layer.predicted, SECOND, "dashed")):
            if mask.any():
                axis.contour(mask, levels=[0.5], colors=[colour], linewidths=1.6, linestyles=style)
        axis.set_title(layer.title, fontsize=11, color=INK)
        axis.set_axis_off()
    figure.supxlabel("drawn: solid blue, predicted: dashed red", fontsize=9, color=INK)
    return figure


def spread(values: NDArray[np.float64], title: str) -> Figure:
    """How a score spreads over patients, from 0 to 1, as shares of them."""
    figure, axes = canvas(4.6, 3.2)
    ordered = np.sort(values)
    axes.step(ordered, np.arange(1, len(ordered) + 1) / len(ordered), where="post", color=ACCENT, linewidth=2)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    _frame(axes, title, "score", "share of patients at or below")
    return figure


def roc(labels: NDArray[Any], models: Mapping[str, NDArray[Any]]) -> Figure:
    """The ROC curve of each model, with its area."""
    from sklearn.metrics import roc_auc_score, roc_curve

    figure, axes = canvas()
    axes.plot([0, 1], [0, 1], color=PALE, linewidth=1)
    for (name, risks), colour in zip(models.items(), (ACCENT, SECOND, INK), strict=False):
        wrong, right, _cuts = roc_curve(labels, risks)
        axes.plot(wrong, right, color=colour, linewidth=2, label=f"{name}, area {roc_auc_score(labels, risks):.3f}")
    _frame(axes, "ROC curve, test part", "1 − specificity", "sensitivity")
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return figure


def calibration(predicted: NDArray[Any], observed: NDArray[Any], sizes: NDArray[Any]) -> Figure:
    """Predicted risk and observed share in ten groups; groups under ``MIN_CELL`` are left out."""
    figure, axes = canvas()
    top = float(max(predicted.max(), observed.max())) * 1.1 or 1.0
    axes.plot([0, top], [0, top], color=PALE, linewidth=1)
    shown = sizes >= MIN_CELL
    axes.plot(predicted[shown], observed[shown], "o-", color=ACCENT, linewidth=2, markersize=6)
    _frame(axes, "Calibration, test part", "predicted risk", "observed share")
    return figure


def confusion(labels: NDArray[Any], predicted: NDArray[Any], cut: float) -> Figure:
    """Predicted and true outcome in shares of each row.

    A count under ``MIN_CELL`` is not shown, nor the other one of its row, from whose share it could be computed;
    neither are the colours of such a row.
    """
    figure, axes = canvas(4.4, 3.8)
    table = np.array([[np.sum((labels == row) & (predicted == column)) for column in (0, 1)] for row in (0, 1)])
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    shown = table.min(axis=1, keepdims=True) >= MIN_CELL
    axes.imshow(np.where(shown, shares, 0.0), cmap="Blues", vmin=0, vmax=1)
    for row in (0, 1):
        for column in (0, 1):
            text = f"{shares[row, column]:.0%}\n{table[row, column]}" if shown[row] else "not shown"
            colour = "white" if shown[row] and shares[row, column] > 0.5 else INK
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=11)
    axes.set_xticks([0, 1], ["called well", "called ill"])
    axes.set_yticks([0, 1], ["well", "ill"])
    axes.set_title(f"Confusion at a risk of {cut:.2f}, test part", fontsize=11, color=INK)
    return figure


def _frame(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=11, color=INK)
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
