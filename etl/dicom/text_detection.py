"""Where text stands in the pixels of an image: PP-OCR's detector, from the weights that ``rapidocr`` carries.

The network (differentiable binarisation, Liao et al. 2020) answers for each pixel how likely it lies inside a line of
text. It looks at an image in two renderings, the grey levels as they are and each pixel against its surroundings, so
that text which only shows in a narrow window is seen too, and at several sizes. Organs look like single signs to it: a
region counts if it is thin and long as a line of text is, or if ``text_reading`` makes out letters in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from etl.dicom.text_networks import network
from etl.dicom.text_reading import Line, line_of, reads_letters

Grid = Any
"""A NumPy array of rows × columns, unless said otherwise."""
_NETWORK = "ch_PP-OCRv4_det_infer.onnx"
_LIKELY, _SURE = 0.3, 0.5
"""A pixel counts from the first on (the network's own threshold); a region needs the second on average."""
_SMALL, _LARGE, _HUGE = 256, 800, 1600
"""Longest sides in pixels below or above which an image is looked at in other sizes too."""
_TILE, _OVERLAP = 1024, 160
_STRIDE = 32
"""The network takes sides that are multiples of it."""
_SURROUNDINGS = 25
_UNCLIP = 2.0
"""The network answers with the core of a line: it is widened by this many times its area over its border."""
_MARGIN = 3
_LINE_ASPECT, _LINE_HEIGHT = 2.5, 0.05
"""A region is a line of text by its form alone: so long for its height, and so low for the image."""
_FILLS = 0.5
"""A region that is not long and is higher than this part of the image is an organ, not a name."""


def text_regions(image: Grid, *, thorough: bool) -> Grid:
    """True where text stands, with a margin. ``thorough``: in other sizes too, for small and large letters."""
    values = np.asarray(image, np.float32)
    if values.min() == values.max():
        return np.zeros(values.shape, bool)
    found = np.zeros(values.shape, bool)
    for factor in _factors(max(values.shape), thorough=thorough):
        for rendering in (_levels, _against_surroundings):
            rendered = rendering(values)
            found |= _regions(_likelihood(rendered, factor), rendered)
    return found


def _factors(side: int, *, thorough: bool) -> tuple[float, ...]:
    """By how much an image of this longest side is scaled."""
    if side < _SMALL:
        return (2, 4) if thorough else (2,)
    if side < _LARGE:
        return (1, 2) if thorough else (1,)
    return ((1, 0.5, 0.25) if side >= _HUGE else (1, 0.5)) if thorough else (1,)


def _levels(values: Grid) -> Grid:
    """Grey levels from 0 to 1, without the outermost, which would flatten all others."""
    low, high = np.percentile(values, (0.5, 99.8))
    if low == high:
        low, high = values.min(), values.max()
    return ((values - low) / (high - low)).clip(0, 1)


def _against_surroundings(values: Grid) -> Grid:
    """Each pixel against the mean and the spread of those around it."""
    mean = ndimage.uniform_filter(values, _SURROUNDINGS)
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(values * values, _SURROUNDINGS) - mean * mean, 0))
    return ((values - mean) / (spread + 1e-3 * values.std()) * 0.2 + 0.5).clip(0, 1)


def _likelihood(image: Grid, factor: float) -> Grid:
    """How likely each pixel lies in text; the image is scaled by ``factor`` for the network, and so is the answer."""
    scaled = image if factor == 1 else _resized(image, [max(_STRIDE, round(side * factor)) for side in image.shape])
    answer = np.zeros(scaled.shape, np.float32)
    for place in _tiles(scaled.shape):
        if np.ptp(scaled[place]):
            answer[place] = np.maximum(answer[place], _ask(scaled[place]))
    return answer if factor == 1 else _resized(answer, image.shape)


def _tiles(shape: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Places that cover an image and overlap, so that memory does not grow with the image."""
    for top in _starts(shape[0]):
        for left in _starts(shape[1]):
            yield slice(top, top + _TILE), slice(left, left + _TILE)


def _starts(side: int) -> range | list[int]:
    if side <= _TILE + _OVERLAP:
        return [0] if side <= _TILE else [0, side - _TILE]
    return [*range(0, side - _TILE, _TILE - _OVERLAP), side - _TILE]


def _ask(image: Grid) -> Grid:
    rows, columns = image.shape
    padded = np.full([-(-side // _STRIDE) * _STRIDE for side in image.shape], image.mean(), np.float32)
    padded[:rows, :columns] = image
    colours = np.repeat(((padded - 0.5) / 0.5)[None, None], 3, axis=1)
    return network(_NETWORK).run(None, {"x": colours})[0][0, 0, :rows, :columns]


def _resized(image: Grid, shape: Sequence[int]) -> Grid:
    larger = shape[0] > image.shape[0]
    method = Image.Resampling.BILINEAR if larger else Image.Resampling.BOX
    return np.asarray(Image.fromarray(image.astype(np.float32)).resize((shape[1], shape[0]), method))


def _regions(likelihood: Grid, image: Grid) -> Grid:
    """The regions of text, each widened to the letters that it is the core of."""
    result = np.zeros(likelihood.shape, bool)
    labels, count = ndimage.label(likelihood > _LIKELY, np.ones((3, 3)))
    for number, place in enumerate(ndimage.find_objects(labels, count), start=1):
        core = labels[place] == number
        if likelihood[place][core].mean() >= _SURE:
            reach = _reach(core)
            line = line_of(core, place, reach)
            if _is_text(image, line):
                _widen(result, core, place, reach)
                _lengthen(result, line)
    return result


def _reach(core: Grid) -> int:
    """How far, in pixels, letters may lie outside of the core of their line."""
    border = np.count_nonzero(core & ~ndimage.binary_erosion(core))
    return int(np.ceil(_UNCLIP * core.sum() / border)) + _MARGIN


def _is_text(image: Grid, line: Line) -> bool:
    if line.aspect >= _LINE_ASPECT:
        return line.height <= _LINE_HEIGHT * max(image.shape) or reads_letters(image, line)
    return line.height <= _FILLS * min(image.shape) and reads_letters(image, line)


def _widen(result: Grid, core: Grid, place: tuple[slice, slice], reach: int) -> None:
    """Mark a region and what lies within a distance of it."""
    near = ndimage.distance_transform_edt(~np.pad(core, reach)) <= reach
    top, left = place[0].start - reach, place[1].start - reach
    rows = slice(max(top, 0), min(top + near.shape[0], result.shape[0]))
    columns = slice(max(left, 0), min(left + near.shape[1], result.shape[1]))
    result[rows, columns] |= near[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]


def _lengthen(result: Grid, line: Line) -> None:
    """Mark a line and one letter's width more at both of its ends, where fainter letters may follow."""
    half = line.length / 2 + line.height
    middle = np.array(line.middle)
    low = np.maximum(np.floor(middle - half), 0).astype(int)
    high = np.minimum(np.ceil(middle + half) + 1, result.shape).astype(int)
    down, right = np.arange(low[0], high[0])[:, None] - middle[0], np.arange(low[1], high[1])[None] - middle[1]
    along = np.abs(right * np.cos(line.angle) + down * np.sin(line.angle))
    across = np.abs(down * np.cos(line.angle) - right * np.sin(line.angle))
    result[low[0] : high[0], low[1] : high[1]] |= (along <= half) & (across <= line.height / 2)
