"""Does a landed series, accepted or refused, belong to a patient? Erasures need to know."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from warnings import catch_warnings, simplefilter

from pydicom import dcmread

from etl.dicom.archive import DAMAGED, members
from etl.dicom.errors import SeriesRefusedError, refuse_on_error
from etl.dicom.series import RESOURCE, DicomRules, reference_of, subject_of
from etl.privacy import PseudonymKey, pseudonym


def names_patient(
    path: Path, rules: DicomRules, key: PseudonymKey, keys: Collection[str], words: Sequence[str]
) -> bool:
    """Does any image of the series belong to the patient whose pseudonyms are ``keys``?

    In what cannot be read, the bytes are searched for ``words``, the patient's ids.
    """
    exact = [re.compile(rb"(?<![0-9A-Za-z])" + re.escape(word.encode()) + rb"(?![0-9A-Za-z])") for word in words]
    try:
        return any(_owned(content, rules, key, keys) or _mentions(content, exact) for content in members(path))
    except DAMAGED:
        return _mentions(path.read_bytes(), exact)


def _mentions(content: bytes, words: Sequence[re.Pattern[bytes]]) -> bool:
    return any(word.search(content) for word in words)


def _owned(content: bytes, rules: DicomRules, key: PseudonymKey, keys: Collection[str]) -> bool:
    with catch_warnings():
        simplefilter("ignore")
        try:
            with refuse_on_error("it cannot be read"):
                head = dcmread(io.BytesIO(content), stop_before_pixels=True)
                series = f"{RESOURCE}/{head.get('SeriesInstanceUID', '')}"
            return {pseudonym(key, series), pseudonym(key, reference_of(subject_of(head, rules)))} & set(keys) != set()
        except SeriesRefusedError:
            return False
