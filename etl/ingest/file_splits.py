"""Splits: byte ranges of whole lines of landed files, which Spark tasks read.

Owns where a file is cut, and how splits are grouped so that tasks weigh about the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_GZIP_RATIO = 12


_WEIGHT_OF_A_SPLIT = 1 << 17
"""Bytes read in the time that a further split costs by itself."""


_WEIGHT_OF_A_KIND = 5 << 19
"""Bytes read in the time that the views of a type of resource take to be compiled, which every task does."""


@dataclass(frozen=True)
class Split:
    """A byte range of whole lines of one landed file; ``first_line`` counts from 1.

    ``document`` means the file is one JSON value (a Bundle or a resource, perhaps over many lines), ``series`` that it
    is a zip of one DICOM series. ``kind`` is the type of resource that the file's first lines name: how the work is
    shared goes by it, and nothing else.
    """

    batch: str
    file: str
    number: int
    offset: int
    length: int
    first_line: int
    gzip: bool
    document: bool
    series: bool = False
    kind: str = ""

    @property
    def weight(self) -> int:
        """Bytes to read, and a fixed cost in bytes; a gzip file weighs what it will unpack to, about."""
        return self.length * (_GZIP_RATIO if self.gzip else 1) + _WEIGHT_OF_A_SPLIT


def pack(splits: Sequence[Split], count: int) -> list[tuple[Split, ...]]:
    """Splits, in their order, put together into at most ``count`` groups that weigh about the same."""
    groups: list[list[Split]] = [[] for _ in range(count)]
    before = ["", *(split.kind for split in splits)]
    weights = [s.weight + _WEIGHT_OF_A_KIND * (s.kind != kind) for s, kind in zip(splits, before, strict=False)]
    whole, passed = sum(weights) or 1, 0
    for split, weight in zip(splits, weights, strict=True):
        groups[min(count - 1, (2 * passed + weight) * count // (2 * whole))].append(split)
        passed += weight
    return [tuple(group) for group in groups if group]


class LineCounter:
    """Counts lines as blocks pass and remembers where to cut, so that splits know their first line."""

    def __init__(self, split_bytes: int) -> None:
        self._split = split_bytes
        self._marks: list[tuple[int, int]] = [(0, 1)]
        self._lines = 0
        self._open = False
        self.total = 0
        self.resources = 0

    def feed(self, block: bytes) -> None:
        if not block:
            return
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 10)
        self._count_resources(block, ends)
        while len(later := ends[ends + self.total + 1 >= self._marks[-1][0] + self._split]):
            at = int(later[0])
            self._marks.append((self.total + at + 1, self._lines + int(np.searchsorted(ends, at)) + 2))
        self._lines += len(ends)
        self.total += len(block)

    def _count_resources(self, block: bytes, ends: np.ndarray) -> None:
        """Count non-blank lines: a line counts when its first visible byte has been seen."""
        start = 0
        if not len(ends):
            self._see(block)
            return
        lengths = np.diff(np.concatenate([[-1], ends]))
        self.resources += int((lengths[1:] > 2).sum())
        for end in ends[1:][lengths[1:] <= 2]:
            self.resources += bool(block[int(end) - 1 : int(end)].strip())
        self._see(block[start : int(ends[0])])
        self._open = False
        self._see(block[int(ends[-1]) + 1 :])

    def _see(self, piece: bytes) -> None:
        if not self._open and piece.strip():
            self._open = True
            self.resources += 1

    def cuts(self) -> list[tuple[int, int, int]]:
        """(offset, length, first line) of each split."""
        ends = [mark[0] for mark in self._marks[1:]] + [self.total]
        pairs = zip(self._marks, ends, strict=True)
        return [(start, end - start, line) for (start, line), end in pairs if end > start]
