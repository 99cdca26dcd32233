"""What the pixels of a series show, whatever its headers say: text, and whether a face may be recognised."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset, dcmread

from etl.dicom.burned_in_text import UNSURE, BurnedIn, TextSearch
from etl.dicom.confidentiality_profile import LABELS, RADIOGRAPH, Profile
from etl.dicom.deidentification import check_burned_in, kind_of, samples_of
from etl.dicom.errors import SeriesRefusedError, refuse_on_error, refuse_on_image


@dataclass(frozen=True)
class Findings:
    """Where text stands, and whether a face may be seen."""

    text: BurnedIn
    face: bool


def review(contents: Iterable[bytes], heads: Sequence[Dataset], kind: str, profile: Profile) -> Findings:
    """Look at every frame of a series, whose files and attributes come in the order of space; SeriesRefusedError."""
    search = TextSearch(thorough=kind == RADIOGRAPH)
    for number, content in enumerate(contents, start=1):
        with refuse_on_image(number, len(heads)):
            samples = _samples(content, profile)
            if search.add(samples) and kind == LABELS:
                raise SeriesRefusedError(UNSURE)
    return Findings(search.end(), False)


def _samples(content: bytes, profile: Profile) -> Any:
    with refuse_on_error("it cannot be read"):
        dataset = dcmread(io.BytesIO(content))
    check_burned_in(dataset, kind_of(dataset, profile))
    with refuse_on_error("its pixels cannot be read"):
        return samples_of(dataset)
