"""How well a network segments lesions of patients not in its training, compared with an intensity threshold.

The overlap is that of L. R. Dice, Ecology 26 (1945): twice the common voxels over the voxels of both, 1 where both are
empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from experiments.data_split import SHARES
from experiments.evaluation import pictures
from experiments.evaluation.pictures import Overlay
from experiments.evaluation.result import Estimate, EvaluationResult, Metric, bootstrap, by_group
from experiments.images import Series, part_of_series, sexes_of

if TYPE_CHECKING:
    import torch

Mask = NDArray[np.bool_]
_WINDOWS = tuple((low, low + width) for low, width in product(np.arange(0.0, 0.9, 0.1), (0.1, 0.2, 0.3)))


@dataclass(frozen=True)
class SegmentationEvaluation:
    """Evaluates a network with two channels per voxel, background and lesion.

    ``transform``: the preprocessing, without augmentation; ``inferer``: MONAI's, such as a sliding window.
    """

    series: list[Series]
    transform: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    inferer: Callable[[torch.Tensor, Any], Any]
    dataset_dir: str = ""
    seed: int = 0
    device: torch.device | str = "cpu"
    shares: Mapping[str, float] = field(default_factory=lambda: SHARES)

    def __call__(self, network: Any) -> EvaluationResult:
        cases = [self._case(item, network) for item in part_of_series(self.series, "test", self.seed, self.shares)]
        patients = np.array([case.patient for case in cases])
        scores, plain = self._scores(cases), self._plain_scores(cases)
        return EvaluationResult(
            patients=len(set(patients.tolist())),
            metrics=_estimates(scores, patients, self.seed),
            baseline=_estimates(plain, patients, self.seed),
            groups=self._groups(patients, scores),
            pictures={
                "overlays.png": pictures.overlays(_chosen(cases, scores["dice"])),
                "dice.png": pictures.spread(scores["dice"], "Dice score of each test patient"),
            },
        )

    def _case(self, item: Mapping[str, Series], network: Any) -> Case:
        import torch

        made = self.transform(item)
        network.eval()
        with torch.inference_mode():
            answer = self.inferer(made["image"][None].to(self.device), network)
        mask = answer.argmax(dim=1)[0].bool().cpu().numpy()
        return Case(item["series"].patient, made["image"][0].numpy(), made["label"][0].numpy() > 0, mask)

    def _scores(self, cases: list[Case]) -> dict[str, NDArray[np.float64]]:
        return _scores_of([(case.truth, case.predicted) for case in cases])

    def _plain_scores(self, cases: list[Case]) -> dict[str, NDArray[np.float64]]:
        """A window of intensities, the best one on some training images."""
        items = part_of_series(self.series, "train", self.seed, self.shares)[:8]
        pairs = [(made["image"][0].numpy(), made["label"][0].numpy() > 0) for made in map(self.transform, items)]
        low, high = max(
            _WINDOWS, key=lambda window: sum(dice(truth, _within(image, *window)) for image, truth in pairs)
        )
        return _scores_of([(case.truth, _within(case.image, low, high)) for case in cases])

    def _groups(self, patients: NDArray[Any], scores: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
        sexes = sexes_of(self.dataset_dir)
        if not sexes:
            return {}
        groups = {"sex": np.array([sexes.get(patient, "unknown") for patient in patients])}
        return by_group(
            groups,
            patients,
            np.zeros(len(patients)),
            lambda rows: _estimates({name: values[rows] for name, values in scores.items()}, patients[rows], self.seed),
        )


@dataclass(frozen=True)
class Case:
    """One test image, (z, y, x): intensities as the network saw them, the drawn mask, and the predicted one."""

    patient: str
    image: NDArray[np.float32]
    truth: Mask
    predicted: Mask


def dice(truth: Mask, predicted: Mask) -> float:
    """The overlap of two masks, 0 to 1."""
    both = int(truth.sum()) + int(predicted.sum())
    return 2 * int((truth & predicted).sum()) / both if both else 1.0


def _within(image: NDArray[np.float32], low: float, high: float) -> Mask:
    return (image >= low) & (image < high)


def _scores_of(pairs: list[tuple[Mask, Mask]]) -> dict[str, NDArray[np.float64]]:
    return {
        "dice": np.array([dice(truth, predicted) for truth, predicted in pairs]),
        "volume_error": np.array(
            [abs(int(predicted.sum()) - int(truth.sum())) / max(int(truth.sum()), 1) for truth, predicted in pairs]
        ),
    }


def _estimates(scores: Mapping[str, NDArray[np.float64]], patients: NDArray[Any], seed: int) -> dict[str, Estimate]:
    return bootstrap({name: _mean_of(values) for name, values in scores.items()}, patients, seed)


def _mean_of(values: NDArray[np.float64]) -> Metric:
    return lambda weights: weights @ values / weights.sum(axis=1)


def _chosen(cases: list[Case], scores: NDArray[np.float64]) -> list[Overlay]:
    """The worst, the middle and the best, each at the layer where most was drawn."""
    order = np.argsort(scores, kind="stable")
    overlays = []
    for word, index in (("worst", order[0]), ("median", order[len(order) // 2]), ("best", order[-1])):
        case, layer = cases[index], int(cases[index].truth.sum(axis=(1, 2)).argmax())
        title = f"{word}: Dice {scores[index]:.2f}"
        overlays.append(Overlay(title, case.image[layer], case.truth[layer], case.predicted[layer]))
    return overlays
