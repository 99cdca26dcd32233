"""The form of what a volume shows, in figures: how large it is, how it ends, and what lies how deep under its skin.

A volume is brought to voxels of five millimetres. What is denser than air is the body; its figures do not depend on
what the files say of the body part, and hardly on the kind of machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import ndimage

Grid = Any
"""A NumPy array (z, y, x), z along the body."""
VOXEL = 5.0
_WINDOW, _STEP, _TOP = 240.0, 80.0, 160.0
"""Lengths in mm along the body that are looked at by themselves, since a head is one end of a longer body; and its
upper end, since shoulders hide the form of the head above them."""
_LONGER = 1.2
"""A body that is longer by no more than this factor is one stretch."""
_AIR = 10.0
"""So much above and below the body, in mm, shows that it ends in the picture; more air says nothing."""
_LEAST = 60
"""Fewer voxels show nothing that has a form."""
_DEPTHS = (0, 7, 13, 19, 30, 50, 1e9)
_PERCENTILES = (1, 99.5)


def at_five_millimetres(values: Grid, spacing: tuple[float, float, float]) -> Grid:
    """The volume in voxels of five millimetres; the mean of smaller ones, and those between larger ones."""
    factors = [step / VOXEL for step in spacing]
    smooth = ndimage.gaussian_filter(values.astype(np.float32), [max(0.0, 0.5 / f - 0.5) for f in factors])
    counts = [max(1, round(size * factor)) for size, factor in zip(values.shape, factors, strict=True)]
    axes = [np.linspace(0, size - 1, count) for size, count in zip(values.shape, counts, strict=True)]
    return ndimage.map_coordinates(smooth, np.meshgrid(*axes, indexing="ij"), order=1)


def figures_of(volume: Grid) -> list[Grid]:
    """The figures of each stretch of a volume in voxels of five millimetres that shows anything, its upper end last."""
    body = _without_air(volume)
    figures = (_figures_of_stretch(body[at]) for at in _stretches(len(body)))
    return [row for row in figures if row is not None]


def _without_air(volume: Grid) -> Grid:
    shown = np.flatnonzero(_dense(volume).any(axis=(1, 2)))
    if not len(shown):
        return volume
    air = round(_AIR / VOXEL)
    return volume[max(0, shown[0] - air) : shown[-1] + 1 + air]


def _stretches(length: int) -> Iterator[slice]:
    window, step, top = (round(side / VOXEL) for side in (_WINDOW, _STEP, _TOP))
    if length <= window * _LONGER:
        yield slice(0, length)
    else:
        for start in [*range(0, length - window, step), length - window]:
            yield slice(start, start + window)
    if length > top * _LONGER:
        yield slice(length - top, length)


def _figures_of_stretch(volume: Grid) -> Grid | None:
    """The figures of one stretch, which is told from air by itself; None if it shows nothing that has a form."""
    body, inside = _body(volume)
    if inside.sum() < _LEAST:
        return None
    low, high = np.percentile(volume[inside], _PERCENTILES)
    return _figures(((volume - low) / max(high - low, 1e-6)).clip(0, 1), body, inside)


def _dense(volume: Grid) -> Grid:
    return ndimage.binary_opening(volume > _threshold(volume), iterations=1, border_value=0)


def _body(volume: Grid) -> tuple[Grid, Grid]:
    """What is denser than air, and the same with what it encloses; the largest piece alone."""
    dense = _dense(volume)
    labels, count = ndimage.label(dense)
    if not count:
        return dense, dense
    largest = labels == 1 + int(np.argmax(ndimage.sum_labels(dense, labels, range(1, count + 1))))
    closed = ndimage.binary_closing(np.pad(largest, 3), iterations=2)[3:-3, 3:-3, 3:-3]
    for axis in range(3):
        for index in range(closed.shape[axis]):
            place = (*[slice(None)] * axis, index)
            closed[place] = ndimage.binary_fill_holes(closed[place])
    return dense & closed, closed


def _threshold(volume: Grid) -> float:
    """Half of the level that best separates two classes (Otsu 1979), above the lowest level."""
    low, high = np.percentile(volume, _PERCENTILES)
    counts, edges = np.histogram(volume.clip(low, high), 128)
    middle = (edges[:-1] + edges[1:]) / 2
    weight = np.cumsum(counts)
    total = np.cumsum(counts * middle)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (total[-1] * weight / weight[-1] - total) ** 2 / (weight * (weight[-1] - weight))
    best = middle[int(np.nanargmax(np.where(np.isfinite(between), between, 0)))]
    return float(low + (best - low) * 0.5)


def _figures(levels: Grid, body: Grid, inside: Grid) -> Grid:
    areas = inside.sum(axis=(1, 2)) * VOXEL**2
    shown = np.flatnonzero(areas)
    largest = inside[int(areas.argmax())]
    ends = sorted(areas[[shown[0], shown[-1]]] / areas.max())
    quarters = areas[shown][np.linspace(0, len(shown) - 1, 5).round().astype(int)] / areas.max()
    extents = [np.ptp(np.flatnonzero(inside.any(axis=axes))) + 1 for axes in ((1, 2), (0, 2), (0, 1))]
    rows, columns = (np.ptp(np.flatnonzero(largest.any(axis=axis))) + 1 for axis in (1, 0))
    sizes = [2 * np.sqrt(area / np.pi) / 200 for area in (areas.max(), np.median(areas[shown]))]
    return np.array(
        [
            *(extent * VOXEL / 200 for extent in extents),
            *sizes,
            np.log(columns / rows),
            largest.sum() / (rows * columns),
            *ends,
            quarters[1],
            quarters[2],
            quarters[3],
            float(shown[0] > 0),
            float(shown[-1] < len(areas) - 1),
            _at_border(inside),
            _compactness(inside),
            1 - body.sum() / inside.sum(),
            *_by_depth(levels, inside),
        ],
        np.float64,
    )


def _at_border(inside: Grid) -> float:
    """Which part of the body's outline in each slice is the edge of the picture: no skin is seen there."""
    edge = np.ones(inside.shape[1:], bool)
    edge[1:-1, 1:-1] = False
    outline = inside & ~ndimage.binary_erosion(inside, np.ones((1, 3, 3)))
    return float((inside & edge).sum() / max(1, outline.sum()))


def _compactness(inside: Grid) -> float:
    """The volume over that of the ellipsoid with the same moments: near 1 for a head."""
    points = np.argwhere(inside)
    moments = np.linalg.eigvalsh(np.cov(points.T) + np.eye(3) / 12)
    return float(len(points) / (4 / 3 * np.pi * np.sqrt(np.prod(5 * moments))))


def _by_depth(levels: Grid, inside: Grid) -> list[float]:
    """Mean and spread of the levels in layers under the surface, and which part of the body each layer is."""
    depth = ndimage.distance_transform_edt(np.pad(inside, ((0, 0), (1, 1), (1, 1))), sampling=VOXEL)[:, 1:-1, 1:-1]
    figures: list[float] = []
    for low, high in pairwise(_DEPTHS):
        layer = levels[inside & (depth > low) & (depth <= high)]
        figures += [float(layer.mean()), float(layer.std()), layer.size / inside.sum()] if layer.size else [0.5, 0, 0]
    return figures
