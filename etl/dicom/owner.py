"""Whose a landed series is: the question of an erasure, asked of accepted and of refused series alike."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from warnings import catch_warnings, simplefilter

from pydicom import dcmread

from etl.dicom.archive import DAMAGED, members
from etl.dicom.errors import HeldBack, held_back
from etl.dicom.series import RESOURCE, DicomRules, reference_of, subject_of
from etl.privacy import PseudonymKey, pseudonym


def names_patient(
    path: Path, rules: DicomRules, key: PseudonymKey, keys: Collection[str], words: Sequence[str]
) -> bool:
    """Is any image of the series of the patient whose pseudonyms are ``keys``?

    Of what cannot be read, the bytes are searched for ``words``, the patient's ids.
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
            with held_back("it cannot be read"):
                head = dcmread(io.BytesIO(content), stop_before_pixels=True)
                series = f"{RESOURCE}/{head.get('SeriesInstanceUID', '')}"
            return {pseudonym(key, series), pseudonym(key, reference_of(subject_of(head, rules)))} & set(keys) != set()
        except HeldBack:
            return False
