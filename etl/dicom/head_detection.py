"""Does a volume show a head? Decided from its pixels: the form of the body, by a small network; unsure counts as yes.

The network (one hidden layer) was trained by ``tests/heads/train.py`` on generated volumes and on head templates that
open packages ship. It tells heads from other bodies and no person from another.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset

from etl.dicom.geometry import flattened, gap, pixel_spacing, planes
from etl.dicom.head_shape import at_five_millimetres, figures_of

Grid = Any
"""A NumPy array."""
_MODEL = Path(__file__).with_name("head_network.json")
_COARSE = 3.0
"""Pixels are averaged to about this many mm when frames are collected."""
_THIN = 25.0
"""A stack of so few mm has no form: across the body it shows no face, along it may."""
_USUAL_GAP = 5.0
_AIR_HU = -1024.0
"""Lower values of a CT are no body but what fills the picture outside of the scanned circle."""
_DARK = 0.5
"""The percentile that what fills the corners of a picture is set to."""


class HeadSearch:
    """Collects the frames of a volume, in the order of space, and tells whether it shows a head."""

    def __init__(self, heads: Sequence[Dataset]) -> None:
        self._heads = heads
        self._pixels = pixel_spacing(heads[0])
        size = min(self._pixels) if self._pixels else 1.0
        self._block = max(1, int(_COARSE / size))
        self._frames: list[Grid] = []

    def add(self, samples: Grid, dataset: Dataset) -> None:
        """Take the frames of the next image."""
        slope, intercept = float(dataset.get("RescaleSlope", 1) or 1), float(dataset.get("RescaleIntercept", 0) or 0)
        if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
            slope, intercept = -slope, -intercept
        for frame in samples.reshape(-1, *samples.shape[-2:]):
            values = _averaged(frame, self._block) * slope + intercept
            self._frames.append(np.maximum(values, _AIR_HU) if dataset.get("Modality") == "CT" else values)

    def is_head(self, *, strict: bool) -> bool:
        """Does it, or can nobody tell? ``strict``: say no only where the network is very sure."""
        if self._pixels is None or len({frame.shape for frame in self._frames}) > 1:
            return True
        directions = {plane for _, plane in planes(self._heads)}
        if len(directions) > 1:
            return True
        cosines = next(iter(directions), (1, 0, 0, 0, 1, 0))
        between = gap(planes(self._heads)) or _thickness(self._heads[0])
        frames = _without_padding(np.stack(self._frames))
        volume, spacing = _upright(frames, (between, *(s * self._block for s in self._pixels)), cosines)
        if min(size * step for size, step in zip(volume.shape, spacing, strict=True)) < _THIN:
            return bool(volume.shape[0] * spacing[0] >= _THIN)
        return has_head(at_five_millimetres(volume, spacing), strict=strict)


def has_head(volume: Grid, *, strict: bool) -> bool:
    """Does a volume of five millimetre voxels (z, y, x) show a head in any stretch of it?"""
    figures = figures_of(volume)
    limit = _model()["strict" if strict else "limit"]
    return any(_likelihood(stretch) > limit for stretch in figures)


def _likelihood(figures: Grid) -> float:
    """How likely the figures are those of a head, from 0 to 1."""
    model = _model()
    values = ((figures - model["mean"]) / model["scale"]).clip(-4, 4)
    for weights, bias in model["layers"][:-1]:
        values = np.tanh(values @ weights + bias)
    weights, bias = model["layers"][-1]
    return float(1 / (1 + np.exp(-(values @ weights + bias)[0])))


@cache
def _model() -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(_MODEL.read_text(encoding="utf-8"))
    layers = [(np.array(weights), np.array(bias)) for weights, bias in raw["layers"]]
    return raw | {"mean": np.array(raw["mean"]), "scale": np.array(raw["scale"]), "layers": layers}


def _averaged(frame: Grid, block: int) -> Grid:
    rows, columns = (side // block * block for side in frame.shape)
    if not rows or not columns or block == 1:
        return frame.astype(np.float32)
    blocks = frame[:rows, :columns].reshape(rows // block, block, columns // block, block)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def _without_padding(volume: Grid) -> Grid:
    """The volume without what fills its corners, dark or bright: one exact value, which is none of the machine's."""
    corners = volume[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    padding = volume == corners[0, 0]
    if np.ptp(corners) or padding.all():
        return volume
    return np.where(padding, np.percentile(volume[~padding], _DARK), volume)


def _thickness(head: Dataset) -> float:
    shared = flattened(head.get("SharedFunctionalGroupsSequence", []))
    values = [source.get(name) for source in (head, shared) for name in ("SpacingBetweenSlices", "SliceThickness")]
    return abs(float(next((value for value in values if value), _USUAL_GAP)))


def _upright(
    volume: Grid, spacing: Sequence[float], cosines: Sequence[float]
) -> tuple[Grid, tuple[float, float, float]]:
    """The volume with axes (z to the head, y to the back, x to the left), and its spacing."""
    along, down = np.array(cosines[:3]), np.array(cosines[3:])
    axes = np.array([np.cross(along, down), down, along])[:, ::-1]
    order = max(permutations(range(3)), key=lambda way: sum(abs(axes[way[n], n]) for n in range(3)))
    turned = volume.transpose(order)
    flips = tuple(slice(None, None, -1 if axes[order[n], n] < 0 else 1) for n in range(3))
    return turned[flips], (spacing[order[0]], spacing[order[1]], spacing[order[2]])
