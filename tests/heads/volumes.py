"""Generated volumes: heads with a face, and what is no head, as CT, MR and PET show them, cut and turned at random.

Lengths in mm; axes (z, y, x), z towards the head, y towards the back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from scipy import ndimage

Grid = Any
AIR, FAT, MUSCLE, BONE, BRAIN, LUNG, FLUID, MARROW = range(8)
_MODALITIES = ("CT", "MR1", "MR2", "PT")
_LEVELS = {
    "CT": (-1000, -90, 50, 900, 35, -780, 10, 300),
    "MR1": (0, 900, 420, 60, 600, 30, 200, 700),
    "MR2": (0, 700, 250, 50, 500, 30, 1100, 500),
    "PT": (0, 60, 120, 70, 900, 60, 80, 90),
}


_TALL = 400.0
"""A head with a longer body, in mm, is turned less, so that it stays in the picture."""
_FROM_EYES = 0.15
"""So many pictures of a head begin below its vertex, as those from the eyes to the thighs do."""


@dataclass(frozen=True)
class Volume:
    """Levels (z, y, x), spacing in mm, the modality, and whether a face is seen."""

    values: Grid
    spacing: tuple[float, float, float]
    modality: str
    head: bool


class Canvas:
    """Tissues on a grid of ``step`` mm, which shapes are painted onto."""

    def __init__(self, size: tuple[float, float, float], step: float = 4.0) -> None:
        counts = [round(side / step) for side in size]
        axes = [(np.arange(count) - (count - 1) / 2) * step for count in counts]
        self.points = np.meshgrid(*axes, indexing="ij", sparse=True)
        self.tissue = np.zeros(counts, np.int8)
        self.step = step

    def ellipsoid(self, centre: Any, radii: Any, tissue: int, power: float = 2.0) -> None:
        """Paint an ellipsoid; with a higher power it is boxier."""
        terms = [np.abs((p - c) / r) ** power for p, c, r in zip(self.points, centre, radii, strict=True)]
        self.tissue[sum(terms) <= 1] = tissue

    def rod(self, start: Any, end: Any, radius: float, tissue: int) -> None:
        """Paint a cylinder with round ends."""
        a, b = np.array(start, float), np.array(end, float)
        way = b - a
        along = sum((p - s) * w for p, s, w in zip(self.points, a, way, strict=True)) / float(way @ way)
        along = along.clip(0, 1)
        distance = sum((p - (s + along * w)) ** 2 for p, s, w in zip(self.points, a, way, strict=True))
        self.tissue[distance <= radius**2] = tissue


def head(rng: Generator, trunk: float | None = None) -> Canvas:
    """A head on its neck, sometimes with shoulders; ``trunk`` mm of more body below them, half of the time if None."""
    if trunk is None:
        trunk = rng.uniform(0, 320) if rng.random() < 0.5 else 0
    return _upper_body(rng, trunk)[0]


def shoulders(rng: Generator) -> Canvas:
    """Shoulders and trunk, and some of the neck: the picture ends below the chin."""
    canvas, chin = _upper_body(rng, rng.uniform(120, 320))
    canvas.tissue = canvas.tissue[: int(len(canvas.tissue) / 2 + (chin - rng.uniform(0, 60)) / canvas.step)]
    return canvas


def _upper_body(rng: Generator, trunk: float) -> tuple[Canvas, float]:
    """A head above ``trunk`` mm more than its neck; and how high its chin is."""
    canvas = Canvas((400 + trunk, 320, 480))
    wide, deep, high = rng.uniform(66, 84), rng.uniform(84, 106), rng.uniform(88, 118)
    scalp, skull = rng.uniform(4, 9), rng.uniform(5, 9)
    middle, floor = 60 + trunk / 2, -230 - trunk / 2
    if trunk or rng.random() < 0.4:
        _shoulders(rng, canvas, middle - 280, arms=trunk > 0)
    canvas.rod((floor, 25, 0), (middle - 40, 10, 0), rng.uniform(48, 64), MUSCLE)
    canvas.ellipsoid((middle, 0, 0), (high, deep, wide), FAT)
    jaw = middle - high * 0.75, -deep * 0.42
    canvas.ellipsoid((*jaw, 0), (high * 0.48, deep * 0.5, wide * 0.78), MUSCLE)
    canvas.ellipsoid((jaw[0] + 6, jaw[1], 0), (high * 0.3, deep * 0.42, wide * 0.6), BONE)
    canvas.ellipsoid((jaw[0] + 4, jaw[1] + 8, 0), (high * 0.28, deep * 0.36, wide * 0.5), MUSCLE)
    canvas.ellipsoid((middle, 0, 0), (high - scalp, deep - scalp, wide - scalp), BONE)
    inner = scalp + skull
    canvas.ellipsoid((middle + 6, 4, 0), (high - inner - 6, deep - inner - 4, wide - inner), BRAIN)
    canvas.ellipsoid((middle + 12, 6, 0), (16, 30, 10), FLUID)
    nose = middle - high * rng.uniform(0.25, 0.4)
    canvas.rod((nose + 24, -deep * 0.9, 0), (nose, -deep - rng.uniform(8, 24), 0), rng.uniform(7, 12), MUSCLE)
    for side in (-1, 1):
        canvas.ellipsoid((nose + 28, -deep * 0.78, side * 32), (14, 15, 15), FLUID)
        canvas.ellipsoid((nose - 6, -deep * 0.62, side * 26), (15, 16, 13), AIR)
        canvas.ellipsoid((nose + 5, 12, side * (wide + 4)), (28, 16, rng.uniform(6, 14)), FAT)
    canvas.ellipsoid((nose - 10, -deep * 0.55, 0), (22, 24, 8), AIR)
    canvas.rod((floor, 45, 0), (middle - high * 0.6, 30, 0), 13, BONE)
    canvas.rod((floor, 0, 0), (nose - 30, -10, 0), 9, AIR)
    return canvas, middle - high * 1.25


def _shoulders(rng: Generator, canvas: Canvas, level: float, *, arms: bool) -> None:
    """Shoulders, a chest with lungs below them, and arms at the trunk, beside the head or out of the picture."""
    wide, deep, fat = rng.uniform(150, 220), rng.uniform(75, 120), rng.uniform(5, 20)
    canvas.ellipsoid((level, 15, 0), (rng.uniform(70, 110), 80, wide), MUSCLE, 2.5)
    canvas.ellipsoid((level - 300, 10, 0), (320, deep + 10, wide * 0.85), FAT, 4)
    canvas.ellipsoid((level - 300, 10, 0), (320 - fat, deep + 10 - fat, wide * 0.85 - fat), MUSCLE, 4)
    for side in (-1, 1):
        canvas.ellipsoid((level - 110, 10, side * wide * 0.4), (rng.uniform(100, 140), deep * 0.75, wide * 0.3), LUNG)
    if arms and (way := rng.random()) < 0.6:
        elbow = (level - 400, 20, wide) if way < 0.35 else (level + rng.uniform(150, 420), 0, rng.uniform(120, 190))
        for side in (-1, 1):
            start, end = (level, 20, side * (wide - 40)), (elbow[0], elbow[1], side * elbow[2])
            canvas.rod(start, end, rng.uniform(30, 44), MUSCLE)
            canvas.rod(start, end, 10, BONE)


def _trunk(rng: Generator, canvas: Canvas) -> tuple[float, float]:
    wide, deep = rng.uniform(130, 215), rng.uniform(90, 150)
    fat = rng.uniform(8, 32)
    canvas.ellipsoid((0, 0, 0), (1e5, deep, wide), FAT, rng.uniform(2, 2.8))
    canvas.ellipsoid((0, 0, 0), (1e5, deep - fat, wide - fat), MUSCLE)
    canvas.rod((-300, deep * 0.6, 0), (300, deep * 0.6, 0), 20, BONE)
    return wide - fat, deep - fat


def chest(rng: Generator) -> Canvas:
    """A thorax with lungs and ribs, arms up or down, or out of the picture."""
    canvas = Canvas((360, 360, 500))
    wide, deep = _trunk(rng, canvas)
    for side in (-1, 1):
        lung = (rng.uniform(110, 170), deep * 0.8, wide * 0.4)
        canvas.ellipsoid((rng.uniform(-20, 20), 0, side * wide * 0.5), lung, LUNG)
        for z in range(-180, 180, 30):
            canvas.rod((z, deep * 0.7, side * 25), (z - 25, 0, side * wide * 0.95), 5, BONE)
            canvas.rod((z - 25, 0, side * wide * 0.95), (z - 45, -deep * 0.85, side * 30), 5, BONE)
    canvas.ellipsoid((-40, -deep * 0.2, 25), (60, 45, 50), MUSCLE)
    if rng.random() < 0.3:
        for side in (-1, 1):
            canvas.rod((-200, 10, side * (wide + 50)), (200, 10, side * (wide + 40)), 38, MUSCLE)
    return canvas


def abdomen(rng: Generator) -> Canvas:
    """A belly with liver, spleen, kidneys, gas and a spine."""
    canvas = Canvas((360, 360, 480))
    wide, deep = _trunk(rng, canvas)
    canvas.ellipsoid((30, 0, -wide * 0.45), (90, deep * 0.7, wide * 0.45), BRAIN)
    for side in (-1, 1):
        canvas.ellipsoid((-40, deep * 0.4, side * 55), (50, 22, 24), FLUID)
    for _ in range(6):
        spot = rng.uniform(-120, 120), rng.uniform(-deep * 0.7, 0), rng.uniform(-80, 80)
        canvas.ellipsoid(spot, rng.uniform(8, 26, 3), AIR)
    return canvas


def pelvis(rng: Generator) -> Canvas:
    """Hips that part into two thighs."""
    canvas = Canvas((380, 340, 480))
    wide, deep = rng.uniform(150, 210), rng.uniform(95, 140)
    canvas.ellipsoid((130, 0, 0), (170, deep, wide), FAT, 2.5)
    canvas.ellipsoid((130, 0, 0), (160, deep - 18, wide - 18), MUSCLE, 2.5)
    for side in (-1, 1):
        canvas.rod((-300, 0, side * wide * 0.5), (60, 0, side * wide * 0.5), wide * 0.45, MUSCLE)
        canvas.rod((-300, 0, side * wide * 0.5), (40, 0, side * wide * 0.55), 16, BONE)
        canvas.ellipsoid((90, 20, side * wide * 0.5), (60, 40, 30), BONE)
    canvas.ellipsoid((60, -20, 0), (35, 35, 40), FLUID)
    return canvas


def limb(rng: Generator) -> Canvas:
    """A knee, a thigh, a forearm or an ankle; one or two of them."""
    canvas = Canvas((340, 260, 420))
    thick = rng.uniform(28, 88)
    sides = rng.choice([1, 2])
    for side in (0,) if sides == 1 else (-1, 1):
        x = side * (thick + rng.uniform(4, 40))
        top, bottom = rng.uniform(0.8, 1.25, 2)
        for share in np.linspace(0, 1, 12):
            z = -300 + 600 * share
            radius = thick * (bottom + (top - bottom) * share)
            canvas.rod((z, 0, x), (z + 55, 0, x), radius, FAT)
        for share in np.linspace(0, 1, 12):
            z = -300 + 600 * share
            radius = (thick - rng.uniform(4, 6)) * (bottom + (top - bottom) * share)
            canvas.rod((z, 0, x), (z + 55, 0, x), radius, MUSCLE)
        canvas.rod((-300, rng.uniform(-0.3, 0.3) * thick, x), (300, 0, x), thick * rng.uniform(0.18, 0.34), BONE)
        canvas.rod((-300, 0, x), (300, 0, x), thick * 0.12, MARROW)
        if rng.random() < 0.5:
            canvas.ellipsoid((0, 0, x), (thick * 0.7, thick * 0.62, thick * 0.75), BONE)
            canvas.ellipsoid((0, 0, x), (thick * 0.62, thick * 0.55, thick * 0.68), MARROW)
    return canvas


def foot(rng: Generator) -> Canvas:
    """A foot or a hand: it ends in the picture, as a head does."""
    canvas = Canvas((340, 280, 260))
    thick = rng.uniform(26, 48)
    if rng.random() < 0.5:
        canvas.rod((300, 20, 0), (-90, 20, 0), thick, MUSCLE)
        canvas.rod((300, 20, 0), (-90, 20, 0), thick * 0.4, BONE)
        canvas.rod((-90, 40, 0), (-110, -130, 0), thick * 0.8, MUSCLE)
        canvas.rod((-90, 40, 0), (-110, -120, 0), thick * 0.4, BONE)
    else:
        canvas.rod((-300, 0, 0), (-60, 0, 0), thick * 0.8, MUSCLE)
        canvas.ellipsoid((0, 0, 0), (60, thick * 0.5, 44), MUSCLE)
        for finger in range(-2, 3):
            canvas.rod((30, 0, finger * 18), (rng.uniform(90, 140), 0, finger * 24), 9, MUSCLE)
            canvas.rod((-30, 0, finger * 12), (rng.uniform(80, 120), 0, finger * 24), 5, BONE)
    return canvas


def breasts(rng: Generator) -> Canvas:
    """Breasts hanging from a chest wall at the edge of the picture."""
    canvas = Canvas((260, 260, 400))
    canvas.ellipsoid((0, 130, 0), (1e5, rng.uniform(60, 110), 190), MUSCLE)
    for side in (-1, 1):
        size = rng.uniform(48, 80, 3)
        canvas.ellipsoid((0, 10, side * 85), size, FAT)
        canvas.ellipsoid((0, 0, side * 85), size * 0.55, BRAIN)
    return canvas


def inside(rng: Generator) -> Canvas:
    """A small field of view within a body: a heart, a prostate, a spine; skin on one side at most."""
    canvas = (chest, abdomen, pelvis)[rng.integers(3)](rng)
    half = round(rng.uniform(50, 90) / canvas.step)
    centre = [size // 2 + int(rng.integers(-10, 10)) for size in canvas.tissue.shape]
    if rng.random() < 0.4:
        centre[1] += half // 2
    cut = tuple(slice(max(0, c - half), c + half) for c in centre)
    canvas.tissue = canvas.tissue[cut]
    return canvas


BODIES: dict[str, Callable[[Generator], Canvas]] = {
    "chest": chest,
    "shoulders": shoulders,
    "abdomen": abdomen,
    "pelvis": pelvis,
    "limb": limb,
    "foot": foot,
    "breasts": breasts,
    "inside": inside,
}


def head_volume(rng: Generator, trunk: float | None = None) -> Volume:
    """A head as some machine shows it, with ``trunk`` mm of body below its shoulders or at random."""
    return scanned(rng, head(rng, trunk), head=True)


def other_volume(rng: Generator, name: str | None = None) -> Volume:
    """A volume without a head."""
    return scanned(rng, BODIES[name or str(rng.choice(list(BODIES)))](rng), head=False)


def scanned(rng: Generator, canvas: Canvas, *, head: bool) -> Volume:
    """Levels of a modality, turned a little, cut to a field of view, in voxels of some size, with noise."""
    modality = str(rng.choice(_MODALITIES, p=(0.4, 0.25, 0.25, 0.1)))
    levels = np.array(_LEVELS[modality], np.float32) * rng.uniform(0.9, 1.1, 8).astype(np.float32)
    values = ndimage.gaussian_filter(levels[canvas.tissue], 0.6 if modality != "PT" else 1.5)
    return varied(rng, values, (canvas.step,) * 3, modality, head=head)


def varied(rng: Generator, values: Grid, spacing: Any, modality: str, *, head: bool) -> Volume:
    """The same volume turned, cut, sampled and with noise."""
    air = float(values.min())
    for axes in ((0, 1), (0, 2), (1, 2)):
        if rng.random() < 0.6:
            turn = rng.uniform(-1, 1) * (18 * min(1, _TALL / (len(values) * spacing[0])) if head else 12)
            values = ndimage.rotate(values, turn, axes, reshape=False, order=1, cval=air)
    values = _cut(rng, values, spacing, head=head)
    pixel = rng.uniform(1.5, 5)
    step = (rng.uniform(1.5, 10), pixel, pixel)
    values = ndimage.zoom(values, [s / t for s, t in zip(spacing, step, strict=True)], order=1, mode="nearest")
    spread = float(np.percentile(values, 99) - air)
    if modality.startswith("MR"):
        zs = [np.linspace(-1, 1, n) for n in values.shape]
        slope = sum(a * g for a, g in zip(rng.uniform(-0.25, 0.25, 3), np.meshgrid(*zs, indexing="ij"), strict=True))
        values = np.hypot(values * (1 + slope), rng.normal(0, 0.02 * spread, values.shape))
    else:
        values = values + rng.normal(0, rng.uniform(0.003, 0.02) * spread, values.shape)
    if modality == "CT" and rng.random() < 0.5:
        row = int(values.shape[1] * rng.uniform(0.86, 0.95))
        values[:, row : row + 2, values.shape[2] // 5 : -values.shape[2] // 5] = rng.uniform(-300, 100)
    return Volume(values.astype(np.float32), step, modality, head)


def _cut(rng: Generator, values: Grid, spacing: Any, *, head: bool) -> Grid:
    """Take a field of view along the body and around it."""
    length = len(values)
    if head:
        dense = np.flatnonzero((values > values.min() + 0.1 * np.ptp(values)).any(axis=(1, 2)))
        top = dense[-1] + int(rng.integers(-6, 8))
        if rng.random() < _FROM_EYES:
            top -= int(rng.uniform(20, 80) / spacing[0])
        low = top - int(rng.uniform(120, max(290, length * spacing[0])) / spacing[0])
    else:
        wanted = int(rng.uniform(60, 340) / spacing[0])
        low = int(rng.integers(0, max(1, length - wanted)))
        top = low + wanted
    values = values[max(0, low) : min(length, max(top, low + 4))]
    margin = [int(rng.uniform(0, 0.1 if head else 0.16) * size) for size in values.shape[1:]]
    return values[:, margin[0] : values.shape[1] - margin[0], margin[1] : values.shape[2] - margin[1]]
