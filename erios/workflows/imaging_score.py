"""How well images are de-identified: MIDI-B's actions, counted on a generated set whose identities are known.

The actions are those by which the medical image de-identification benchmark (MIDI-B, 2024) scores an answer. A series
goes through the reader of the load; what is held back has shown nothing and counts for no other action.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread

from etl.dicom.archive import members, series_writer
from etl.dicom.confidentiality_profile import read_profile
from etl.dicom.series import DicomRules, SeriesReader, to_bytes
from etl.privacy import PseudonymKey
from etl.synthetic.burned_in import STYLES, Written, written
from etl.synthetic.planted_images import Series, planted_series

ACTIONS = {
    "text removed": "planted identities that stand in no byte",
    "UID consistent": "UIDs replaced, each by one and the same",
    "patient consistent": "patient numbers replaced, each by one and the same",
    "pixels hidden": "images with a name in which none stays legible",
    "pixels kept": "pixels outside of text that did not change",
    "date shifted": "dates and times that left the file",
    "tag retained": "attributes of the geometry and acquisition that stay",
    "text retained": "coded words that stay as they were",
}
_MODALITIES = ("CT", "PT", "MR", "DX", "MG", "CR")
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
_DATES = ("StudyDate", "SeriesDate", "ContentDate", "StudyTime", "PatientBirthDate")
_TAGS = ("Rows", "Columns", "PixelSpacing", "SliceThickness", "ImagePositionPatient", "ImageOrientationPatient")
_WORDS = ("Modality", "BodyPartExamined", "SOPClassUID", "PhotometricInterpretation")
_SLICES = 3


@dataclass
class Score:
    """(right, asked) by action, the series read, and those held back."""

    right: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    series: int = 0
    held: int = 0
    _new: dict[str, set[str]] = field(default_factory=dict)

    def count(self, action: str, right: int, asked: int) -> None:
        """Add to an action."""
        self.right[action] += right
        self.asked[action] += asked

    def share(self, action: str) -> float:
        """The part that was done right; 1 where nothing was asked."""
        return self.right[action] / self.asked[action] if self.asked[action] else 1.0

    def map_to(self, action: str, old: str, new: str) -> None:
        """Note that an identifier became another; ``close_maps`` counts those with one answer of their own."""
        self._new.setdefault(f"{action}|{old}", set()).add(new)

    def close_maps(self) -> None:
        """Count the identifiers that became one other each, which none else became."""
        uses = Counter(new for news in self._new.values() for new in news)
        for key, news in self._new.items():
            action, old = key.split("|", 1)
            (first, *more) = news
            self.count(action, not more and first != old and uses[first] == 1, 1)


def score_images(profile: Path, series: int, seed: int) -> Score:
    """Score the profile on a generated set of so many series."""
    score = Score(series=series)
    rules = DicomRules(read_profile(profile), "urn:erios:score")
    with TemporaryDirectory() as folder:
        for number in range(series):
            _score_series(Path(folder) / str(number), rules, score, number, seed)
    score.close_maps()
    return score


def _score_series(folder: Path, rules: DicomRules, score: Score, number: int, seed: int) -> None:
    modality = _MODALITIES[number % len(_MODALITIES)]
    style = "none" if number % 3 == 2 else STYLES[number // 2 % len(STYLES)]
    image = written(np.random.default_rng([seed, number]), modality, style)
    patient = f"18502751234{number // 2:04d}"
    name = f"PATIENT{number // 2:04d}^ZEPHYR"
    identity = Series(
        patient, f"1.2.826.{seed}.{number // 2}", f"1.2.826.{seed}.{number // 2}.{number}", name, modality
    )
    depth = _SLICES if modality in ("CT", "PT", "MR") else 1
    sources = planted_series(identity, np.stack([image.values] * depth))
    kept = _read(folder, rules, sources)
    if not kept:
        score.held += 1
        score.count("pixels hidden", style != "none", style != "none")
        return
    for source, result in zip(sources, kept, strict=True):
        _score_header(score, identity, source, result)
        _score_pixels(score, image, result)


def _read(folder: Path, rules: DicomRules, sources: list[Dataset]) -> list[Dataset]:
    """The images of the series that the load would keep; none if it is held back."""
    folder.mkdir()
    with series_writer(folder / "series", compress=False) as out:
        for source in sources:
            out.add(to_bytes(source))
    reader = SeriesReader(rules, PseudonymKey("score", b"score".ljust(32, b"\0")), folder / "voxels")
    if reader.to_fhir(folder / "series").reason is not None:
        return []
    return [dcmread(io.BytesIO(content)) for path in (folder / "voxels").iterdir() for content in members(path)]


def _score_header(score: Score, identity: Series, source: Dataset, result: Dataset) -> None:
    content = to_bytes(result)
    for word in (identity.name, identity.patient, identity.name.split("^")[0], identity.study, identity.uid):
        score.count("text removed", word.encode() not in content, 1)
    for old, new in _pairs(source, result, _UIDS):
        score.map_to("UID consistent", old, new)
    score.map_to("patient consistent", str(source.PatientID), str(result.PatientID))
    score.count("date shifted", sum(not result.get(name) for name in _DATES), len(_DATES))
    tags = [name for name in _TAGS if name in source]
    score.count("tag retained", sum(name in result for name in tags), len(tags))
    words = list(_pairs(source, result, _WORDS))
    score.count("text retained", sum(old == new for old, new in words), len(words))


def _pairs(source: Dataset, result: Dataset, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name in names:
        if name in source:
            yield str(source[name].value), str(result.get(name, ""))


def _score_pixels(score: Score, image: Written, result: Dataset) -> None:
    changed: Any = result.pixel_array != image.values
    if image.strokes.any():
        hidden = changed | (image.values == image.values.min())
        score.count("pixels hidden", not image.is_legible(hidden), 1)
    else:
        score.count("pixels kept", int((~changed).sum()), changed.size)


def rows_of(score: Score) -> list[Mapping[str, Any]]:
    """A row for each action: what it counts, right, asked and the share."""
    return [
        {
            "action": action,
            "counts": meaning,
            "right": score.right[action],
            "asked": score.asked[action],
            "share": round(score.share(action), 4),
        }
        for action, meaning in ACTIONS.items()
    ]
