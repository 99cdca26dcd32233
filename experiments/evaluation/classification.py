"""How well a network classifies images, compared with a logistic regression on the downsampled images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from experiments.data_split import SHARES
from experiments.evaluation.result import EvaluationResult
from experiments.evaluation.risk_prediction import baseline_risks, best_cut, evaluate_risks
from experiments.labels import Labelled, part_of_labelled
from experiments.tables import Rows

if TYPE_CHECKING:
    import torch

COARSE = 16
"""Side of the downsampled image, the input of the baseline."""


@dataclass(frozen=True)
class ClassificationEvaluation:
    """Evaluates a network with one logit per image; ``transform``: the preprocessing, without augmentation."""

    cases: list[Labelled]
    transform: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    seed: int = 0
    device: torch.device | str = "cpu"
    shares: Mapping[str, float] = field(default_factory=lambda: SHARES)

    def __call__(self, network: Any) -> EvaluationResult:
        network.eval()
        train, _unused = self._part("train", None)
        validation, guessed = self._part("validation", network)
        test, risks = self._part("test", network)
        cut = best_cut(validation.labels, guessed)
        return evaluate_risks(test, risks, baseline_risks(train, test), cut, self.seed)

    def _part(self, name: str, network: Any) -> tuple[Rows, NDArray[np.float64]]:
        """The part's images, downsampled, as rows, and the network's risks of the full images."""
        cases, coarse, risks = part_of_labelled(self.cases, name, self.seed, self.shares), [], []
        for item in cases:
            image = self.transform(item)["image"]
            coarse.append(_coarse(image))
            risks.append(0.0 if network is None else self._risk(image, network))
        return _rows([item["case"] for item in cases], np.stack(coarse)), np.array(risks)

    def _risk(self, image: torch.Tensor, network: Any) -> float:
        import torch

        with torch.inference_mode():
            return float(torch.sigmoid(network(image[None].to(self.device)).float()).cpu())


def _coarse(image: torch.Tensor) -> NDArray[np.float32]:
    """An image (1, y, x) → its means over ``COARSE`` × ``COARSE`` fields."""
    from torch.nn.functional import adaptive_avg_pool2d

    coarse: NDArray[np.float32] = adaptive_avg_pool2d(image, COARSE).flatten().numpy()
    return coarse


def _rows(cases: list[Labelled], features: NDArray[np.float32]) -> Rows:
    columns = tuple(f"field {number}" for number in range(features.shape[1]))
    labels = np.array([case.label for case in cases], np.float32)
    names = sorted(set().union(*(case.groups for case in cases)))
    groups = {name: np.array([case.groups[name] for case in cases]) for name in names}
    return Rows(columns, features, labels, np.array([case.series.patient for case in cases]), groups)
