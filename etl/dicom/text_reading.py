"""Does a region of an image hold letters? PP-OCR's reader says how sure it is; what it reads is never kept or told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from etl.dicom.text_networks import network

Grid = Any
"""A NumPy array of rows × columns."""
_NETWORK = "ch_PP-OCRv4_rec_infer.onnx"
_HEIGHT, _WIDEST = 48, 960
"""The reader takes lines of this height in pixels; wider ones are shrunk."""
_LETTERS, _CONFIDENT = 2, 0.5
"""A region is text if so many letters or digits are read with this probability each."""
_SQUARE = 1.6
"""Below this ratio of width to height a line may as well run upwards."""


@dataclass(frozen=True)
class Line:
    """The turned rectangle around a region: its middle (row, column), angle in radians, length and height in pixels."""

    middle: tuple[float, float]
    angle: float
    length: float
    height: float

    @property
    def aspect(self) -> float:
        """Length over height."""
        return self.length / self.height


def line_of(core: Grid, place: tuple[slice, slice], reach: int) -> Line:
    """The rectangle along the main axis of a region, widened by ``reach``."""
    points = np.argwhere(core).astype(float)
    centred = points - points.mean(axis=0)
    values, axes = np.linalg.eigh(centred.T @ centred)
    row, column = axes[:, 1] if values[1] > 1.2 * values[0] else (0.0, 1.0)
    along, across = centred @ [row, column], centred @ [column, -row]
    shift = [(side.max() + side.min()) / 2 for side in (along, across)]
    middle = points.mean(axis=0) + np.array([row, column]) * shift[0] + np.array([column, -row]) * shift[1]
    top, left = place[0].start + middle[0], place[1].start + middle[1]
    return Line(
        (top, left), float(np.arctan2(row, column)), np.ptp(along) + 1 + 2 * reach, np.ptp(across) + 1 + 2 * reach
    )


def reads_letters(image: Grid, line: Line) -> bool:
    """Is a line of letters or digits read in the rectangle, whichever way up? ``image``: grey levels from 0 to 1."""
    return any(_count_letters(upright) >= _LETTERS for upright in _ways_up(_cut(image, line)))


def _cut(image: Grid, line: Line) -> Grid:
    """The rectangle as an image of its own, of the reader's height or width."""
    scale = min(_HEIGHT / line.height, _WIDEST / line.length)
    size = max(8, round(line.length * scale)), max(8, round(line.height * scale))
    cosine, sine = np.cos(line.angle) / scale, np.sin(line.angle) / scale
    left = line.middle[1] - cosine * size[0] / 2 + sine * size[1] / 2
    top = line.middle[0] - sine * size[0] / 2 - cosine * size[1] / 2
    source = Image.fromarray(image.astype(np.float32))
    terms = (cosine, -sine, left, sine, cosine, top)
    return np.asarray(source.transform(size, Image.Transform.AFFINE, terms, Image.Resampling.BILINEAR))


def _ways_up(line: Grid) -> Iterator[Grid]:
    yield line
    yield line[::-1, ::-1]
    if line.shape[1] < _SQUARE * line.shape[0]:
        yield line.T[::-1]
        yield line.T[:, ::-1]


def _count_letters(line: Grid) -> int:
    width = max(8, min(_WIDEST, round(line.shape[1] * _HEIGHT / line.shape[0])))
    scaled = np.asarray(Image.fromarray(np.ascontiguousarray(line)).resize((width, _HEIGHT), Image.Resampling.BILINEAR))
    spread = np.ptp(scaled) or 1.0
    values = (scaled - scaled.min()) / spread * 2 - 1
    padded = np.zeros((_HEIGHT, max(320, width)), np.float32)
    padded[:, :width] = values
    steps = network(_NETWORK).run(None, {"x": np.repeat(padded[None, None], 3, axis=1)})[0][0]
    return _letters(steps)


def _letters(steps: Grid) -> int:
    """Letters and digits among the signs of a reading (connectionist temporal classification: repeats are one sign)."""
    best, sure = steps.argmax(axis=1), steps.max(axis=1)
    new = np.append(True, best[1:] != best[:-1])
    return int(np.count_nonzero(new & (sure >= _CONFIDENT) & _is_letter()[best]))


@cache
def _is_letter() -> Grid:
    """For each output of the reader: is it a letter of the Latin alphabet or a digit? The first output is no sign."""
    signs = network(_NETWORK).get_modelmeta().custom_metadata_map["character"].splitlines()
    latin = [len(sign) == 1 and sign.isalnum() and ord(sign) < 0x250 for sign in signs]
    outputs = network(_NETWORK).get_outputs()[0].shape[2]
    return np.array([False, *latin, *[False] * outputs][:outputs])
