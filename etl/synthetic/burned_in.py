"""Generated images with a patient's name written into the pixels, and the same without, to measure what finds it.

Ten modalities; letters bright, dark, on a plate, faint, small, tilted, upright or upside down. Levels are whole numbers
of up to 12 bits. The strokes of the letters are known, so that what is left legible can be counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from etl.synthetic.people_tables import FAMILY_NAMES, FEMALE_NAMES

Grid = Any
"""A NumPy array of rows × columns."""
STYLES = ("bright", "plate", "turned", "tilted", "small", "upside down", "outlier", "faint")
_FONTS = (None, "DejaVuSans", "DejaVuSansMono", "DejaVuSerif-Bold", "STIXGeneral")
_SMALLEST = 9


@dataclass(frozen=True)
class Written:
    """An image, the strokes of the letters in it (false everywhere without text), its modality and the style."""

    values: Grid
    strokes: Grid
    modality: str
    style: str

    def is_legible(self, hidden: Grid) -> bool:
        """Can more than one letter still be made out where ``hidden`` is false? A tenth of all strokes is one."""
        shown = self.strokes & ~hidden
        return bool(shown.sum() > 0.1 * self.strokes.sum())


def written(rng: Generator, modality: str, style: str) -> Written:
    """An image of a modality with a name; the style ``none`` writes nothing."""
    values = MODALITIES[modality](rng)
    if style == "none":
        return Written(values.round().astype(np.uint16), np.zeros(values.shape, bool), modality, style)
    ink = _ink(rng, values.shape, style)
    values = _write(values, ink, style).round().clip(0, 65535)
    return Written(values.astype(np.uint16), ink > 0.5, modality, style)


def _write(values: Grid, ink: Grid, style: str) -> Grid:
    low, high = values.min(), values.max()
    match style:
        case "plate":
            plate = ndimage.binary_dilation(ink > 0.1, iterations=6)
            return np.where(plate, low, values) * (1 - ink) + high * ink
        case "outlier":
            return values * (1 - ink) + 4 * high * ink
        case "faint":
            return values * (1 - ink) + ink * (values + 0.25 * (high - low))
    return values * (1 - ink) + high * ink


def _ink(rng: Generator, shape: tuple[int, ...], style: str) -> Grid:
    """How much of each pixel the letters cover."""
    height = _SMALLEST + 1 if style == "small" else int(rng.integers(13, max(15, shape[0] // 18)))
    line = _line(rng, height)
    turn = {"turned": int(rng.choice([90, 270])), "upside down": 180, "tilted": float(rng.uniform(-30, 30))}
    image = Image.fromarray(line).rotate(turn.get(style, 0), Image.Resampling.BICUBIC, expand=True)
    letters = np.asarray(image)[: shape[0], : shape[1]] / 255
    top, left = (int(rng.integers(0, full - part + 1)) for full, part in zip(shape, letters.shape, strict=True))
    ink = np.zeros(shape)
    ink[top : top + letters.shape[0], left : left + letters.shape[1]] = letters
    return ink


def _line(rng: Generator, height: int) -> Grid:
    words = [str(rng.choice(names)) for names in (FAMILY_NAMES, FEMALE_NAMES)]
    text = f"{words[0].upper()} {words[1]}" if rng.random() < 0.7 else f"{words[0]} {rng.integers(10**9):09d}"
    font = _font(str(name) if (name := _FONTS[rng.integers(len(_FONTS))]) else None, height)
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4))
    ImageDraw.Draw(image).text((2 - left, 2 - top), text, 255, font=font)
    return np.asarray(image)


def _font(name: str | None, height: int) -> Any:
    if name is None:
        return ImageFont.load_default(height)
    spec = find_spec("matplotlib")
    assert spec is not None
    assert spec.origin
    return ImageFont.truetype(Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / f"{name}.ttf", height)


def _plane(rows: int, columns: int) -> tuple[Grid, Grid]:
    """Coordinates from -1 to 1."""
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    return y, x


def _texture(rng: Generator, shape: tuple[int, ...], size: float) -> Grid:
    noise = ndimage.gaussian_filter(rng.normal(size=shape), size)
    return noise / noise.std()


def _slice(rng: Generator, side: int, noise: float, blur: float) -> Grid:
    """A cross-section of a body with organs and a spine."""
    y, x = _plane(side, side)
    values = np.where((x / 0.8) ** 2 + (y / 0.6) ** 2 < 1, 1040 + 50 * _texture(rng, y.shape, 4), 0)
    for _ in range(5):
        a, b = rng.uniform(0.08, 0.25, 2)
        organ = ((x - rng.uniform(-0.45, 0.45)) / a) ** 2 + ((y - rng.uniform(-0.3, 0.25)) / b) ** 2 < 1
        values = np.where(organ, values + rng.uniform(-120, 250), values)
    values = np.where((x / 0.1) ** 2 + ((y - 0.4) / 0.1) ** 2 < 1, 1700, values)
    return (ndimage.gaussian_filter(values, blur) + rng.normal(0, noise, y.shape)).clip(0, 4095)


def _chest(rng: Generator) -> Grid:
    """A radiograph of lungs behind ribs."""
    y, x = _plane(640, 560)
    values = np.where(((np.abs(x) - 0.45) / 0.33) ** 2 + (y / 0.75) ** 2 < 1, 1300, 2600)
    for rib in range(9):
        values = values + 200 * np.exp(-(((y + 0.9 - 0.2 * rib - 0.2 * x**2) / 0.03) ** 2))
    return (ndimage.gaussian_filter(values, 3) + 25 * _texture(rng, y.shape, 1)).clip(0, 4095)


def _breast(rng: Generator) -> Grid:
    y, x = _plane(900, 700)
    values = np.where(((x + 1) / 1.4) ** 2 + (y / 0.8) ** 2 < 1, 1500 + 200 * _texture(rng, y.shape, 8), 20)
    return (ndimage.gaussian_filter(values, 1) + rng.normal(0, 3, y.shape)).clip(0, 4095)


def _ultrasound(rng: Generator) -> Grid:
    y, x = _plane(480, 640)
    fan = (np.hypot(x, (y + 1.2) / 2) < 1) & (np.abs(x) < 0.7 * (y + 1.2))
    speckle = 90 + 35 * _texture(rng, y.shape, 1.5) + 25 * _texture(rng, y.shape, 10)
    return np.where(fan, speckle, 0).clip(0, 255)


def _vessels(rng: Generator) -> Grid:
    y, x = _plane(512, 512)
    values = 600 + 80 * _texture(rng, y.shape, 20)
    for _ in range(4):
        way = rng.uniform(-0.6, 0.6) + 0.2 * np.sin(3 * x + rng.uniform(0, 6))
        values = values - 200 * np.exp(-(((y - way) / rng.uniform(0.01, 0.03)) ** 2))
    return (values + rng.normal(0, 8, y.shape)).clip(0, 1023)


def _counts(rng: Generator) -> Grid:
    y, x = _plane(256, 256)
    activity = 40 * np.exp(-((x / 0.3) ** 2) - (y / 0.6) ** 2) + 30 * np.exp(-(((x - 0.3) / 0.1) ** 2 + (y / 0.1) ** 2))
    return rng.poisson(activity).astype(float)


def _capture(rng: Generator) -> Grid:
    y, x = _plane(480, 640)
    shape = (x / rng.uniform(0.3, 0.8)) ** 2 + (y / rng.uniform(0.3, 0.8)) ** 2 < 1
    return np.where(shape, 180 + 20 * y, 20.0)


MODALITIES: dict[str, Callable[[Generator], Grid]] = {
    "CT": lambda rng: _slice(rng, 512, 15, 0.7),
    "MR": lambda rng: np.hypot(_slice(rng, 320, 20, 1), rng.normal(0, 30, (320, 320))).clip(0, 4095),
    "PT": lambda rng: _slice(rng, 200, 10, 3),
    "CR": _chest,
    "DX": lambda rng: 4095 - _chest(rng),
    "MG": _breast,
    "US": _ultrasound,
    "XA": _vessels,
    "NM": _counts,
    "SC": _capture,
}
"""Modality → an image of it without text."""
