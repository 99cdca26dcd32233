"""DICOM images that hold a patient's identity in every way a header can, to measure what de-identification leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian

CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "MG": "1.2.840.10008.5.1.4.1.1.1.2",
    "US": "1.2.840.10008.5.1.4.1.1.6.1",
    "XA": "1.2.840.10008.5.1.4.1.1.12.1",
    "NM": "1.2.840.10008.5.1.4.1.1.20",
    "SC": "1.2.840.10008.5.1.4.1.1.7",
}
_BELOW_STANDARD = "1.2.840.10008.5.1.4.1.1."
_RADIOGRAPHS = ("CR", "DX", "MG")


@dataclass(frozen=True)
class Series:
    """What identifies a series: the numbers of its patient, study and series, and the patient's name."""

    patient: str
    study: str
    uid: str
    name: str
    modality: str
    body_part: str = "CHEST"


def planted_series(series: Series, volume: Any, spacing: tuple[float, float, float] = (5, 1, 1)) -> list[Dataset]:
    """One DICOM image for each plane of ``volume`` (z, y, x), lowest first; ``spacing`` in mm."""
    return [_image(series, values, number, spacing) for number, values in enumerate(volume, start=1)]


def _image(series: Series, values: Any, number: int, spacing: tuple[float, float, float]) -> Dataset:
    image = Dataset()
    image.SpecificCharacterSet = "ISO_IR 192"
    image.SOPClassUID, image.SOPInstanceUID = CLASSES[series.modality], f"{series.uid}.{number}"
    image.StudyInstanceUID, image.SeriesInstanceUID = series.study, series.uid
    image.FrameOfReferenceUID = f"{series.uid}.0"
    image.Modality, image.BodyPartExamined = series.modality, series.body_part
    image.ImageType, image.InstanceNumber = ["ORIGINAL", "PRIMARY", "AXIAL"], number
    image.PixelSpacing, image.SliceThickness = list(spacing[1:]), spacing[0]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.ImagePositionPatient = [0, 0, number * spacing[0]]
    if series.modality in _RADIOGRAPHS:
        image.BurnedInAnnotation = "NO"
    _plant(image, series)
    _set_pixels(image, values)
    return image


def _plant(image: Dataset, series: Series) -> None:
    """Identity in known attributes, in private ones, in sequences, and in a UID below the standard's root."""
    image.PatientID, image.PatientName, image.PatientBirthDate = series.patient, series.name, "19570412"
    image.StudyDate = image.SeriesDate = image.ContentDate = "20230314"
    image.StudyTime, image.AccessionNumber = "101500", series.patient
    image.PatientComments = image.ImageComments = f"{series.name} {series.patient}"
    image.InstitutionName, image.DeviceSerialNumber = f"Unité {series.name}", series.patient
    inner = Dataset()
    inner.ReferencedSOPClassUID = _BELOW_STANDARD + series.patient
    inner.ReferencedSOPInstanceUID, inner.TextValue = f"{series.uid}.1", series.name
    image.ReferencedInstanceSequence = Items([inner])
    image.private_block(0x0029, "DEMONSTRATION", create=True).add_new(0x10, "LO", series.name)


def _set_pixels(image: Dataset, values: Any) -> None:
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns = values.shape
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
    image.PixelData = np.asarray(values).astype("<u2").tobytes()
    image.file_meta = FileMetaDataset()
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
