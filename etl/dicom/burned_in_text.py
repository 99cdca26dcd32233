"""Text in the pixels of a series: found in every frame, and blackened where it stands; what is unsure is held back.

Each frame is searched once; some frames, every radiograph, and the brightest, darkest and mean level of each place over
the frames are searched thoroughly, where letters that stand on all frames stand out. What a projection shows is
blackened on all frames. No header is believed: it can only hold a series back before this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from etl.dicom.errors import SeriesRefusedError
from etl.dicom.text_detection import text_regions

Grid = Any
"""A NumPy array."""
_EVERY = 16
"""So many frames have one that is searched thoroughly."""
_ROUNDS = 3
_MOST = 0.25
"""More of a frame than this part is not blackened: what looks like so much text is not understood."""
UNSURE = "text is burned into the pixels, and it is not sure that all of it can be blackened"


@dataclass(frozen=True)
class BurnedIn:
    """Where text stands: by the number of an image in its series, and by the size of frames on all of them."""

    images: Mapping[int, Grid]
    everywhere: Mapping[tuple[int, ...], Grid]

    def count(self, images: int) -> int:
        """In how many of a series' images text is blackened."""
        return images if self.everywhere else len(self.images)

    def of(self, image: int, shape: tuple[int, ...]) -> Grid | None:
        """True where text stands in an image (frames × rows × columns); None if it holds none."""
        places = [self.images.get(image), self.everywhere.get(shape[-2:])]
        marks = [place for place in places if place is not None]
        return np.logical_or(marks[0], marks[-1]) if marks else None


class TextSearch:
    """Searches the images of a series, one after the other. ``thorough``: every frame in all sizes."""

    def __init__(self, *, thorough: bool) -> None:
        self._thorough = thorough
        self._marked: dict[int, Grid] = {}
        self._projections: dict[tuple[int, ...], _Projection] = {}
        self._number = 0

    def add(self, samples: Grid) -> bool:
        """Search the next image (rows × columns, or frames of it); does it hold text? SeriesRefusedError if unsure."""
        frames = samples.reshape(-1, *samples.shape[-2:])
        projection = self._projections.setdefault(frames.shape[1:], _Projection())
        marks = [projection.add(frame, thorough=self._thorough) for frame in frames]
        if has_text := any(mark.any() for mark in marks):
            self._marked[self._number] = np.stack(marks)
        self._number += 1
        return has_text

    def end(self) -> BurnedIn:
        """Where text stands, after a search of what all frames show together."""
        many = {shape: seen.search() for shape, seen in self._projections.items() if seen.count > 1}
        return BurnedIn(self._marked, {shape: mark for shape, mark in many.items() if mark.any()})


@dataclass
class _Projection:
    """The greatest, least and summed level of each place over frames of one size, after what was found in each."""

    count: int = 0
    levels: list[Grid] = field(default_factory=list)

    def add(self, frame: Grid, *, thorough: bool) -> Grid:
        """Search a frame; answers where text stands in it."""
        mark = _text_in(frame, thorough=thorough or self.count % _EVERY == 0)
        clean = np.where(mark, frame.min(), frame).astype(np.float32)
        if self.count:
            greatest, least, total = self.levels
            self.levels = [np.maximum(greatest, clean), np.minimum(least, clean), total + clean]
        else:
            self.levels = [clean, clean, clean]
        self.count += 1
        return mark

    def search(self) -> Grid:
        """Where text stands on all frames."""
        return np.logical_or.reduce([_text_in(levels, thorough=True) for levels in self.levels])


def _text_in(frame: Grid, *, thorough: bool) -> Grid:
    """Where text stands in a frame; what is left after blackening is searched again, until nothing is left."""
    mark = text_regions(frame, thorough=thorough)
    if not mark.any():
        return mark
    for _ in range(_ROUNDS):
        rest = text_regions(np.where(mark, frame.min(), frame), thorough=True) & ~mark
        if not rest.any() and mark.mean() <= _MOST:
            return mark
        mark |= rest
    raise SeriesRefusedError(UNSURE)
