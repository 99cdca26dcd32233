"""Grouping of DICOM files by study and series, in an order that does not depend on their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from warnings import catch_warnings, simplefilter

from pydicom import dcmread

_TAGS = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]


def by_series(paths: Sequence[Path]) -> list[tuple[Path, ...]]:
    """The files of each series; a file that cannot be read is a series of its own, which the reader will refuse."""
    groups: dict[tuple[str, ...], list[tuple[str, Path]]] = {}
    for path in paths:
        *series, image = _uids(path)
        key = tuple(series) if all(series) else ("", str(path))
        groups.setdefault(key, []).append((image, path))
    return [tuple(path for _, path in sorted(groups[key])) for key in sorted(groups)]


def _uids(path: Path) -> list[str]:
    with catch_warnings():
        simplefilter("ignore")
        try:
            head = dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
            return [str(head.get(name, "") or "") for name in _TAGS]
        except Exception:  # the reader will refuse it, with the reason
            return ["", "", ""]
