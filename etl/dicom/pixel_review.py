"""What the pixels of a series show, whatever its headers say: text, and whether a face may be recognised."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset, dcmread

from etl.dicom.burned_in_text import UNSURE, BurnedIn, TextSearch
from etl.dicom.confidentiality_profile import LABELS, RADIOGRAPH, VOLUME, Profile
from etl.dicom.deidentification import check_burned_in, kind_of, may_show_face, samples_of, says_head
from etl.dicom.errors import SeriesRefusedError, refuse_on_error, refuse_on_image
from etl.dicom.head_detection import HeadSearch


@dataclass(frozen=True)
class Findings:
    """Where text stands, and whether a face may be seen."""

    text: BurnedIn
    face: bool


def review(contents: Iterable[bytes], heads: Sequence[Dataset], kind: str, profile: Profile) -> Findings:
    """Look at every frame of a series, whose files and attributes come in the order of space; SeriesRefusedError."""
    text, form = TextSearch(thorough=kind == RADIOGRAPH), HeadSearch(heads)
    for number, content in enumerate(contents, start=1):
        with refuse_on_image(number, len(heads)):
            dataset, samples = _read(content, profile)
            if text.add(samples) and kind == LABELS:
                raise SeriesRefusedError(UNSURE)
            if kind == VOLUME:
                form.add(samples, dataset)
    return Findings(text.end(), _shows_face(form, heads, kind, profile))


def _shows_face(form: HeadSearch, heads: Sequence[Dataset], kind: str, profile: Profile) -> bool:
    """Words can only add a face; where they name no part of the body, the pixels must be clearer to exclude one."""
    by_words = any(may_show_face(head, kind, profile) for head in heads)
    if kind != VOLUME:
        return by_words
    if any(says_head(head, profile) for head in heads):
        return True
    with refuse_on_error("its geometry cannot be read"):
        return form.is_head(strict=by_words)


def _read(content: bytes, profile: Profile) -> tuple[Dataset, Any]:
    with refuse_on_error("it cannot be read"):
        dataset = dcmread(io.BytesIO(content))
    check_burned_in(dataset, kind_of(dataset, profile))
    with refuse_on_error("its pixels cannot be read"):
        return dataset, samples_of(dataset)
