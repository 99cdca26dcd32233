"""A series of the warehouse under a study's key: the same images, other UIDs, another name of the patient.

Owns the way a UID follows its pseudonym: the study's UID is the number of the study's pseudonym of the warehouse's
pseudonym, as the rows of an extract have it. It refuses a series that may show a face, whatever asked for it.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread

from etl.dicom.archive import members, series_writer
from etl.dicom.errors import HeldBack
from etl.dicom.series import uid_of, written
from etl.dicom.treatment import STANDARD
from etl.privacy import PseudonymKey, pseudonym

_OURS = "2.25."


def rekey(path: Path, folder: Path, key: PseudonymKey, patient: str) -> str:
    """Write the series under the study's key as ``folder/<sha256>.zip``; returns the digest. HeldBack for a face."""
    draft = folder / f".{path.stem}.new"
    try:
        with series_writer(draft, compress=True) as out:
            for content in members(path):
                out.add(written(_rekeyed(dcmread(io.BytesIO(content)), key, patient)))
        with draft.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        draft.rename(folder / f"{digest}.zip")
    finally:
        draft.unlink(missing_ok=True)
    return digest


def _rekeyed(image: Dataset, key: PseudonymKey, patient: str) -> Dataset:
    if image.get("RecognizableVisualFeatures") != "NO":
        raise HeldBack("it may show a face, and has not been defaced")
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
        return _new(str(value), key) if value else value
    return [_new(str(uid), key) for uid in value]


def _new(uid: str, key: PseudonymKey) -> str:
    """The study's UID for one of the warehouse's; those of the standard stay."""
    if uid.startswith(STANDARD):
        return uid
    if not uid.startswith(_OURS):
        raise HeldBack("it has a UID that is none of the warehouse's")
    return uid_of(pseudonym(key, f"{int(uid.removeprefix(_OURS)):032x}"))
