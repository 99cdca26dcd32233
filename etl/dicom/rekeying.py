"""A series of the warehouse under a study's key: the same images with other UIDs and another patient number.

The UID in a study is the number of the study's pseudonym of the warehouse's pseudonym, as in the rows of an extract. A
series that may show a face is always refused.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread

from etl.dicom.archive import members, store_series
from etl.dicom.errors import SeriesRefusedError
from etl.dicom.series import to_bytes, uid_of
from etl.dicom.standard_uids import is_standard
from etl.privacy import PseudonymKey, pseudonym

_PSEUDONYM_ROOT = "2.25."


def rekey(path: Path, folder: Path, key: PseudonymKey, patient: str) -> str:
    """Write the series with the study's UIDs below ``folder`` as ``<sha256>.zip``; returns the digest.

    SeriesRefusedError for a series that may show a face.
    """
    images = (to_bytes(_rekeyed(dcmread(io.BytesIO(content)), key, patient)) for content in members(path))
    digest, _size = store_series(folder, path.stem, images)
    return digest


def _rekeyed(image: Dataset, key: PseudonymKey, patient: str) -> Dataset:
    if image.get("RecognizableVisualFeatures") != "NO":
        raise SeriesRefusedError("it may show a face, and has not been defaced")
    _replace_uids(image, key)
    image.PatientID = patient
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    return image


def _replace_uids(dataset: Dataset, key: PseudonymKey) -> None:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                _replace_uids(item, key)
        elif element.VR == "UI":
            element.value = _replaced(element.value, key)


def _replaced(value: Any, key: PseudonymKey) -> Any:
    if value is None or isinstance(value, str):
        return _new_uid(str(value), key) if value else value
    return [_new_uid(str(uid), key) for uid in value]


def _new_uid(uid: str, key: PseudonymKey) -> str:
    """The study's UID for a UID of the warehouse; UIDs that the standard lists are kept."""
    if is_standard(uid):
        return uid
    if not uid.startswith(_PSEUDONYM_ROOT):
        raise SeriesRefusedError("it has a UID that is none of the warehouse's")
    return uid_of(pseudonym(key, f"{int(uid.removeprefix(_PSEUDONYM_ROOT)):032x}"))
