"""Invented anatomy of the demonstration hospital: grids of intensities, and lesions of known size and position.

Lengths are millimetres, axes (z, y, x) with y towards the back, origin at the middle of the grid. Intensities of CT are
Hounsfield units, those of radiographs grey levels of 12 bits. Nothing here resembles a real person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator

Grid = Any
"""A NumPy array; each function documents its own."""
CT_SHAPE, CT_SPACING = (48, 64, 64), (5.0, 4.5, 4.5)
HEAD_SHAPE, HEAD_SPACING = (16, 64, 64), (10.0, 3.5, 3.5)
RADIOGRAPH_SHAPE, RADIOGRAPH_SPACING = (128, 128), (3.0, 3.0)
WITH_NODULES = 0.5
"""Share of the radiographs that show nodules."""
_AIR, _FAT, _MUSCLE, _LIVER, _SPLEEN, _KIDNEY, _VESSEL, _BONE, _LESION, _GAS = (
    *(-1000, -95, 48, 108, 118, 165, 150, 380),
    *(42, -800),
)
_CT_NOISE, _RADIOGRAPH_NOISE = 13.0, 70.0


@dataclass(frozen=True)
class Lesion:
    """A sphere: its centre and radius in mm (a disc on a radiograph, whose z is 0)."""

    z: float
    y: float
    x: float
    radius: float


@dataclass(frozen=True)
class Phantom:
    """Intensities (int16), the lesions' mask (bool, same shape), spacing and the lesions themselves."""

    values: Grid
    mask: Grid
    spacing: tuple[float, ...]
    lesions: tuple[Lesion, ...]


def abdomen(rng: Generator) -> Phantom:
    """An abdominal CT after contrast: dark lesions in a bright liver, one to three, of 11 to 22 mm radius."""
    points = _coordinates(CT_SHAPE, CT_SPACING)
    width, depth = rng.uniform(122, 136), rng.uniform(88, 104)
    values = np.full(CT_SHAPE, _AIR, np.float32)
    _fill(values, points, (0, 0, 0), (1e6, depth, width), _FAT)
    _fill(values, points, (0, 0, 0), (1e6, depth - 14, width - 14), _MUSCLE)
    _fill(values, points, (0, depth * 0.6, 0), (1e6, 18, 20), _BONE)
    liver = ((rng.uniform(-15, 15), rng.uniform(-12, 2), rng.uniform(-58, -48)), (78.0, 56.0, 62.0))
    _fill(values, points, *liver, _LIVER)
    _fill(values, points, (rng.uniform(-10, 20), 28, 78), (42, 26, 24), _SPLEEN)
    for side in (-1, 1):
        _fill(values, points, (rng.uniform(-70, -40), 40, side * 52), (48, 20, 20), _KIDNEY)
    for _ in range(3):
        _fill(values, points, (rng.uniform(-90, 90), -55, rng.uniform(20, 70)), (rng.uniform(8, 16),) * 3, _GAS)
    _fill(values, points, (0, liver[0][1], liver[0][2]), (1e6, 6, 6), _VESSEL)
    lesions = _inside(rng, liver, int(rng.integers(1, 4)), (11, 22))
    mask = _mask(points, lesions)
    values[mask] = _LESION + rng.uniform(-8, 8)
    return Phantom(_with_noise(values, rng, _CT_NOISE), mask, CT_SPACING, lesions)


def head(rng: Generator) -> Phantom:
    """A CT of the head from which a face could be rendered, so that extracts have a series to refuse."""
    points = _coordinates(HEAD_SHAPE, HEAD_SPACING)
    values = np.full(HEAD_SHAPE, _AIR, np.float32)
    _fill(values, points, (0, 0, 0), (95, 95, 75), 45)
    _fill(values, points, (0, 0, 0), (88, 88, 68), 900)
    _fill(values, points, (0, 0, 0), (82, 82, 62), 35)
    _fill(values, points, (-40, -95, 0), (16, 16, 10), 40)
    return Phantom(_with_noise(values, rng, 8.0), np.zeros(HEAD_SHAPE, bool), HEAD_SPACING, ())


def chest(rng: Generator) -> Phantom:
    """A chest radiograph; half of them show one or two nodules of 7 to 15 mm radius in the lungs."""
    points = _coordinates(RADIOGRAPH_SHAPE, RADIOGRAPH_SPACING)
    values = np.full(RADIOGRAPH_SHAPE, 2700, np.float32)
    lungs = [((rng.uniform(-20, -5), side * rng.uniform(60, 70)), (95.0, 48.0)) for side in (-1, 1)]
    for lung in lungs:
        _fill(values, points, *lung, 1350)
    _fill(values, points, (45, 18), (52, 46), 2550)
    for rib in range(7):
        curve = -115 + 30 * rib + 0.0035 * points[1] ** 2
        values += 170 * np.exp(-(((points[0] - curve) / 5) ** 2))
    count = int(rng.integers(1, 3)) if rng.random() < WITH_NODULES else 0
    lung = lungs[int(rng.integers(0, 2))]
    lesions = _inside(rng, ((0, *lung[0]), (1e6, *lung[1])), count, (7, 15))
    for lesion in lesions:
        distance = np.hypot(points[0] - lesion.y, points[1] - lesion.x)
        values += 520 / (1 + np.exp((distance - lesion.radius) / 1.5))
    noisy: Grid = values + rng.normal(0, _RADIOGRAPH_NOISE, RADIOGRAPH_SHAPE)
    mask = _mask((np.zeros_like(points[0]), *points), lesions)
    return Phantom(noisy.clip(0, 4095).astype(np.int16), mask, RADIOGRAPH_SPACING, lesions)


def _coordinates(shape: Sequence[int], spacing: Sequence[float]) -> tuple[Grid, ...]:
    """The coordinates of every point, one array an axis."""
    axes = [(np.arange(size) - (size - 1) / 2) * step for size, step in zip(shape, spacing, strict=True)]
    return tuple(np.meshgrid(*axes, indexing="ij"))


def _fill(values: Grid, points: Sequence[Grid], centre: Sequence[float], radii: Sequence[float], value: float) -> None:
    """Give an ellipsoid one value."""
    terms = [((axis - middle) / r) ** 2 for axis, middle, r in zip(points, centre, radii, strict=True)]
    values[sum(terms) <= 1] = value


def _inside(
    rng: Generator,
    organ: tuple[Sequence[float], Sequence[float]],
    count: int,
    sizes: tuple[float, float],
) -> tuple[Lesion, ...]:
    """Lesions inside an ellipsoid, apart from each other; fewer than ``count`` if there is no room."""
    lesions: list[Lesion] = []
    for _ in range(200):
        if len(lesions) == count:
            break
        radius = float(rng.uniform(*sizes))
        direction = rng.normal(size=3)
        direction *= rng.random() ** (1 / 3) / np.linalg.norm(direction)
        centre = [
            middle + step * max(0.0, r - radius - 4) if r < 1e5 else 0.0
            for middle, r, step in zip(*organ, direction, strict=True)
        ]
        z, y, x = (round(float(value), 2) for value in centre)
        lesion = Lesion(z, y, x, round(radius, 2))
        if all(_are_apart(lesion, other) for other in lesions):
            lesions.append(lesion)
    return tuple(lesions)


def _are_apart(left: Lesion, right: Lesion) -> bool:
    gap = np.linalg.norm([left.z - right.z, left.y - right.y, left.x - right.x])
    return bool(gap > left.radius + right.radius + 6)


def _mask(points: Sequence[Grid], lesions: Sequence[Lesion]) -> Grid:
    """Points inside any lesion."""
    mask = np.zeros(points[0].shape, bool)
    for lesion in lesions:
        square = (points[0] - lesion.z) ** 2 + (points[1] - lesion.y) ** 2 + (points[2] - lesion.x) ** 2
        mask |= square <= lesion.radius**2
    return mask


def _with_noise(values: Grid, rng: Generator, noise: float) -> Grid:
    """A scanner's blur of neighbouring points, and its noise."""
    for axis in range(values.ndim):
        before, after = np.roll(values, 1, axis), np.roll(values, -1, axis)
        values = 0.8 * values + 0.1 * before + 0.1 * after
    values = values + rng.normal(0, noise, values.shape)
    return values.clip(-1024, 3071).round().astype(np.int16)
