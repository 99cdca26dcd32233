"""Positions of the images of a series: their order, and the spacing of their grid.

Patient coordinates in millimetres (DICOM PS3.3 §C.7.6.2); images are sorted along the normal of their plane.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pydicom import Dataset

_TOLERANCE = 0.02
"""Largest relative difference between the gaps of one grid."""


def position_along(dataset: Dataset) -> float | None:
    """Position of an image along its normal in mm; None if the file does not give it."""
    plane = plane_of(dataset)
    return None if plane is None else plane[0]


def plane_of(source: Dataset) -> tuple[float, tuple[float, ...]] | None:
    """(distance along the normal, the six cosines) of an image or of a frame's groups."""
    position, cosines = _numbers(source, "ImagePositionPatient", 3), _numbers(source, "ImageOrientationPatient", 6)
    if position is None or cosines is None:
        return None
    normal = np.cross(cosines[:3], cosines[3:])
    return float(normal @ position), tuple(cosines.round(3).tolist())


def _numbers(source: Dataset, name: str, count: int) -> Any:
    values = source.get(name)
    if values is None or len(values) != count:
        return None
    return np.asarray([float(value) for value in values])


def planes(heads: Sequence[Dataset]) -> list[tuple[float, tuple[float, ...]]]:
    """The planes of the frames of a series, as far as its files give them."""
    return [plane for head in heads for frame in _frames(head) if (plane := plane_of(frame)) is not None]


def _frames(head: Dataset) -> Iterator[Dataset]:
    """Attributes of each frame, with those that all frames share; a file without frames counts as one."""
    if "PerFrameFunctionalGroupsSequence" not in head:
        yield head
        return
    shared = flattened(head.get("SharedFunctionalGroupsSequence", []))
    for groups in head.PerFrameFunctionalGroupsSequence:
        frame = flattened([groups])
        frame.update({element.tag: element for element in shared if element.tag not in frame})
        yield frame


def flattened(groups: Sequence[Dataset]) -> Dataset:
    """The attributes of functional groups in one dataset."""
    flat = Dataset()
    for group in groups:
        for element in group:
            if element.VR == "SQ":
                for item in element.value[:1]:
                    flat.update(item)
    return flat


def spacing(heads: Sequence[Dataset]) -> tuple[float, float, float] | None:
    """Spacing of the grid in mm (x: between columns, y: between rows, z: between images); None without a grid."""
    pixels = pixel_spacing(heads[0])
    between = gap(planes(heads))
    if pixels is None or between is None:
        return None
    return pixels[1], pixels[0], between


def pixel_spacing(head: Dataset) -> tuple[float, float] | None:
    """(between rows, between columns) in mm."""
    shared = flattened(head.get("SharedFunctionalGroupsSequence", []))
    values = head.get("PixelSpacing") or shared.get("PixelSpacing") or head.get("ImagerPixelSpacing")
    return None if not values or len(values) != 2 else (float(values[0]), float(values[1]))


def gap(frames: Sequence[tuple[float, tuple[float, ...]]]) -> float | None:
    """The distance between neighbouring parallel images; None if they form no grid."""
    if len({cosines for _, cosines in frames}) != 1:
        return None
    distances = np.unique(np.round([position for position, _ in frames], 4))
    gaps = np.diff(distances)
    if not len(gaps) or gaps.max() - gaps.min() > _TOLERANCE * gaps.max():
        return None
    return round(float(np.median(gaps)), 4)
