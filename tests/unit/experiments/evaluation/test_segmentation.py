"""The overlap of masks, and the result of a network that finds them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from experiments.errors import DataError
from experiments.evaluation import SegmentationEvaluation
from experiments.evaluation.segmentation import dice
from experiments.images import Series, part_of_series, with_labels

MASKS = some.lists(some.tuples(some.booleans(), some.booleans()), min_size=1, max_size=60)


@given(MASKS)
def test_the_overlap_is_twice_the_common_over_both(pairs):
    truth, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    drawn, called = (set(np.flatnonzero(mask).tolist()) for mask in (truth, predicted))

    expected = 2 * len(drawn & called) / (len(drawn) + len(called)) if drawn | called else 1.0

    assert dice(truth, predicted) == pytest.approx(expected)
    assert dice(predicted, truth) == dice(truth, predicted)


@dataclass(frozen=True)
class Balls:
    """A transform that makes a dark ball in a bright cube, its position drawn from the patient."""

    def __call__(self, item):
        draw = np.random.default_rng(int(item["series"].patient))
        grid = np.stack(np.meshgrid(*[np.arange(12)] * 3, indexing="ij"))
        ball = ((grid - draw.integers(4, 8, 3)[:, None, None, None]) ** 2).sum(axis=0) < 9
        image = np.where(ball, 0.25, 0.75).astype(np.float32)
        return {"image": torch.from_numpy(image)[None], "label": torch.from_numpy(ball.astype(np.float32))[None]}


class Perfect(torch.nn.Module):
    """Says lesion where it is dark."""

    def forward(self, image):
        return torch.cat([image, 1 - image], dim=1)


class Blind(torch.nn.Module):
    """Says lesion nowhere."""

    def forward(self, image):
        return torch.cat([torch.ones_like(image), torch.zeros_like(image)], dim=1)


@pytest.fixture
def series():
    return [Series(str(number), f"k{number}", "volume", Path("x"), Path("y")) for number in range(120)]


def judge(series, network):
    return SegmentationEvaluation(series, Balls(), lambda image, net: net(image))(network)


def test_a_network_that_sees_all_is_told_from_one_that_sees_nothing(series):
    sharp, blind = judge(series, Perfect()), judge(series, Blind())

    assert sharp.metrics["dice"].value == 1
    assert sharp.metrics["volume_error"].value == 0
    assert blind.metrics["dice"].value == 0
    assert blind.metrics["volume_error"].value == 1
    assert sharp.patients == len(part_of_series(series, "test", 0))
    assert set(sharp.pictures) == {"overlays.png", "dice.png"}
    assert sharp.baseline["dice"].value == 1  # a window of intensities does it too


def test_parts_of_series_share_no_patient(series):
    parts = [{item["series"].patient for item in part_of_series(series, name, 0)} for name in ("train", "test")]

    assert not parts[0] & parts[1]
    with pytest.raises(DataError, match="too few patients"):
        part_of_series(series[:1], "test", next(seed for seed in range(9) if not _in_test(seed)))


def _in_test(seed):
    from experiments.data_split import part_of

    return part_of("0", seed) == "test"


def test_series_without_labels_are_left_out(series):
    bare = Series("7", "k", "volume", Path("x"))

    assert with_labels([*series, bare]) == series
    with pytest.raises(DataError, match="no series of the extract has labels"):
        with_labels([bare])
