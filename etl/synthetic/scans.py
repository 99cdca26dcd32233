"""Images of the demonstration hospital as DICOM files, with their studies and reports in FHIR.

Each patient with images has an abdominal CT with its lesions as a segmentation, and a chest radiograph; one in six a CT
of the head too. Files carry names, notes and private attributes as those of a real hospital do. Same seed, same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.pixels.utils import pack_bits
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID, ExplicitVRLittleEndian

from etl.synthetic.clock import MINUTES_A_DAY, day_text, instant
from etl.synthetic.code_tables import CIM10, LOINC
from etl.synthetic.fhir import TERMS, Json, concept, reference
from etl.synthetic.hospital import Hospital
from etl.synthetic.patient_course import simulate, streams
from etl.synthetic.people import Person
from etl.synthetic.phantoms import Grid, Lesion, Phantom, abdomen, chest, head
from etl.synthetic.records.patient_record import PatientRecord

DICOM = "dicom"
HEAD_EVERY = 6
NODULE = "R91"
"""CIM-10: abnormal findings on diagnostic imaging of the lung; the report of a radiograph with nodules has it."""
CT, DX, SEG = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.66.4"
_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_AXIAL = (1, 0, 0, 0, 1, 0)
_OFFSET = 1024
_PRIVATE = 0x0029


@dataclass(frozen=True)
class Study:
    """One imaging study: the person, the day, and its titles."""

    person: Person
    uid: str
    day: int
    number: str
    title: str
    body_part: str


@dataclass
class Scanned:
    """What was written for one patient: FHIR resources, files, bytes, and the lesions by (series UID, modality)."""

    resources: list[Json] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    lesions: list[tuple[str, str, Lesion]] = field(default_factory=list)


def scan(out: Path, hospital: Hospital, seed: int, index: int, today: int) -> Scanned:
    """Write the images of one person below ``out/dicom``."""
    rngs = streams(seed, index)
    record = PatientRecord.open(simulate(seed, index, today, rngs), hospital, rngs.records)
    draw, scanned = Random(f"images {seed} {index}"), Scanned()
    grid = np.random.default_rng([seed, index, 0x696D67])
    path = out / DICOM / f"{index:07d}"
    _abdomen(path, record, draw, abdomen(grid), today, scanned)
    _chest(path, record, draw, chest(grid), today, scanned)
    if index % HEAD_EVERY == 0:
        _head(path, record, draw, head(grid), today, scanned)
    return scanned


def _abdomen(path: Path, record: PatientRecord, draw: Random, phantom: Phantom, today: int, scanned: Scanned) -> None:
    study = _study(record, draw, today, "SCANNER ABDOMINAL AVEC INJECTION", "ABDOMEN")
    images, labels, frame = f"{study.uid}.1", f"{study.uid}.2", f"{study.uid}.9"
    slices = list(_slices(study, images, frame, phantom))
    _write(path / "1", slices, scanned)
    _write(path / "2", [_segmentation(study, labels, frame, phantom, slices)], scanned)
    scanned.lesions += [(images, "CT", lesion) for lesion in phantom.lesions]
    series = [(images, "CT", len(slices)), (labels, "SEG", 1)]
    scanned.resources.append(_imaging_study(record, draw, study, series))


def _head(path: Path, record: PatientRecord, draw: Random, phantom: Phantom, today: int, scanned: Scanned) -> None:
    study = _study(record, draw, today, "SCANNER CEREBRAL SANS INJECTION", "HEAD")
    slices = list(_slices(study, f"{study.uid}.1", f"{study.uid}.9", phantom))
    _write(path / "4", slices, scanned)
    scanned.resources.append(_imaging_study(record, draw, study, [(f"{study.uid}.1", "CT", len(slices))]))


def _chest(path: Path, record: PatientRecord, draw: Random, phantom: Phantom, today: int, scanned: Scanned) -> None:
    study = _study(record, draw, today, "RADIOGRAPHIE DU THORAX", "CHEST")
    uid = f"{study.uid}.1"
    _write(path / "3", [_radiograph(study, uid, phantom)], scanned)
    scanned.lesions += [(uid, "DX", lesion) for lesion in phantom.lesions]
    resource = _imaging_study(record, draw, study, [(uid, "DX", 1)])
    scanned.resources += [resource, _report(record, draw, study, resource["id"], bool(phantom.lesions))]


def _study(record: PatientRecord, draw: Random, today: int, title: str, body_part: str) -> Study:
    """A study within the last two years of the person's life."""
    death = record.course.death_minute
    last = today - 2 if death is None else death // MINUTES_A_DAY - 1
    day = max(record.person.birth_day + 1, last - draw.randrange(1, 700))
    return Study(record.person, f"2.25.{draw.getrandbits(110)}", day, f"{draw.randrange(10**9):09d}", title, body_part)


def _imaging_study(record: PatientRecord, draw: Random, study: Study, series: Sequence[tuple[str, str, int]]) -> Json:
    started = study.day * MINUTES_A_DAY + 600
    return {
        **_head_of(record, draw, "ImagingStudy", started),
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{study.uid}"}],
        "status": "available",
        "modality": [{"system": _DCM, "code": modality} for modality in sorted({each[1] for each in series})],
        "subject": record.subject,
        "started": instant(started),
        "numberOfSeries": len(series),
        "numberOfInstances": sum(images for _, _, images in series),
        "series": [
            {
                "uid": uid,
                "number": number,
                "modality": {"system": _DCM, "code": modality},
                "numberOfInstances": images,
                "started": instant(started),
            }
            for number, (uid, modality, images) in enumerate(series, start=1)
        ],
    }


def _report(record: PatientRecord, draw: Random, study: Study, imaging_study: str, nodules: bool) -> Json:
    started = study.day * MINUTES_A_DAY + 660
    report = {
        **_head_of(record, draw, "DiagnosticReport", started),
        "status": "final",
        "category": [concept(f"{TERMS}/v2-0074", "RAD", "Radiology")],
        "code": concept(LOINC, "18748-4", "Diagnostic imaging study", "Compte rendu d'imagerie"),
        "subject": record.subject,
        "effectiveDateTime": instant(started),
        "issued": instant(started, "00.000"),
        "imagingStudy": [reference("ImagingStudy", imaging_study)],
        "conclusion": f"{record.person.called} : {'opacité nodulaire' if nodules else 'pas de foyer'}.",
    }
    if nodules:
        report["conclusionCode"] = [concept(CIM10, NODULE, "Résultats anormaux d'imagerie diagnostique du poumon")]
    return report


def _head_of(record: PatientRecord, draw: Random, kind: str, minute: int) -> Json:
    updated = {"versionId": "1", "lastUpdated": instant(record.clip(minute + 30), "00.000")}
    return {"resourceType": kind, "id": f"{draw.getrandbits(64):016x}", "meta": updated}


# DICOM


def _common(study: Study, series: str, number: int, sop_class: str, modality: str) -> Dataset:
    """The attributes of every image; they identify the patient in more ways than they should, as real files do."""
    person, image = study.person, Dataset()
    day = day_text(study.day).replace("-", "")
    doctor = "MOREL^Camille"
    image.SpecificCharacterSet = "ISO_IR 192"
    image.SOPClassUID, image.SOPInstanceUID = sop_class, f"{series}.{number}"
    image.StudyInstanceUID, image.SeriesInstanceUID = study.uid, series
    image.StudyDate = image.SeriesDate = image.ContentDate = day
    image.StudyTime = image.ContentTime = "101500"
    image.AccessionNumber = image.StudyID = study.number
    image.Modality, image.BodyPartExamined = modality, study.body_part
    image.Manufacturer, image.InstitutionName = "Demonstration", "CHU de demonstration"
    image.StudyDescription, image.ReferringPhysicianName = study.title, doctor
    image.PatientName = f"{person.family}^{person.givens[0]}"
    image.PatientID, image.OtherPatientNames = person.ipp, f"{person.usual_family or person.family}^{person.givens[0]}"
    image.PatientBirthDate = day_text(person.birth_day).replace("-", "")
    image.PatientSex = "F" if person.is_female else "M"
    image.PatientAddress, image.PatientTelephoneNumbers = (
        person.line,
        [phone.replace(" ", "") for _, phone in person.phones][:1],
    )
    image.PatientComments = f"{person.called}, INS {person.nir}"
    image.AdditionalPatientHistory = f"Adressé par le Dr {doctor.split('^', maxsplit=1)[0]} pour {person.called}"
    request = Dataset()
    request.RequestedProcedureDescription, request.RequestedProcedureID = study.title, study.number
    request.ReasonForTheRequestedProcedure = f"Suivi de {person.called}"
    image.RequestAttributesSequence = Items([request])
    block = image.private_block(_PRIVATE, "DEMONSTRATION", create=True)
    block.add_new(0x10, "LO", person.called)
    image.InstanceNumber, image.SeriesNumber = number, int(series.rsplit(".", 1)[1])
    image.file_meta = _meta(image)
    return image


def _meta(image: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID("2.25.302043790172249692526321623266752743501")
    return meta


def _pixels(image: Dataset, values: Grid, stored: int) -> None:
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns = values.shape[-2:]
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, stored, stored - 1, 0
    image.PixelData = values.astype("<u2").tobytes()


def _slices(study: Study, series: str, frame: str, phantom: Phantom) -> Iterator[Dataset]:
    """A CT, one file for each slice, from the feet up."""
    for number, position in enumerate(_positions(phantom), start=1):
        image = _common(study, series, number, CT, "CT")
        image.ImageType, image.KVP, image.PatientPosition = ["ORIGINAL", "PRIMARY", "AXIAL"], 120, "HFS"
        image.FrameOfReferenceUID, image.RescaleType = frame, "HU"
        image.ImagePositionPatient, image.ImageOrientationPatient = list(position), list(_AXIAL)
        image.SliceThickness, image.PixelSpacing = phantom.spacing[0], list(phantom.spacing[1:])
        image.RescaleIntercept, image.RescaleSlope = -_OFFSET, 1
        _pixels(image, phantom.values[number - 1] + _OFFSET, 12)
        yield image


def _positions(phantom: Phantom) -> Iterator[tuple[float, float, float]]:
    """Position of the first pixel of each slice: (x, y, z) in mm."""
    (_, rows, columns), (deep, high, wide) = phantom.values.shape, phantom.spacing
    middle = (len(phantom.values) - 1) / 2
    for number in range(len(phantom.values)):
        yield -(columns - 1) / 2 * wide, -(rows - 1) / 2 * high, (number - middle) * deep


def _radiograph(study: Study, series: str, phantom: Phantom) -> Dataset:
    image = _common(study, series, 1, DX, "DX")
    image.ImageType, image.BurnedInAnnotation = ["ORIGINAL", "PRIMARY"], "NO"
    image.PresentationIntentType, image.ViewPosition, image.ImageLaterality = "FOR PRESENTATION", "PA", "U"
    image.ImagerPixelSpacing, image.PixelIntensityRelationship = list(phantom.spacing), "LOG"
    _pixels(image, phantom.values, 12)
    return image


def _segmentation(study: Study, series: str, frame: str, phantom: Phantom, slices: Sequence[Dataset]) -> Dataset:
    """The lesions as a DICOM segmentation (PS3.3 §A.51): one segment, one frame for every slice."""
    image = _common(study, series, 1, SEG, "SEG")
    image.ImageType, image.FrameOfReferenceUID = ["DERIVED", "PRIMARY"], frame
    image.SegmentationType, image.SegmentsOverlap, image.ContentLabel = "BINARY", "NO", "LESIONS"
    image.LossyImageCompression, image.NumberOfFrames = "00", len(slices)
    image.SegmentSequence = Items([_segment(study)])
    image.ReferencedSeriesSequence = Items([_referenced(slices)])
    image.SharedFunctionalGroupsSequence = Items([_shared(phantom)])
    image.PerFrameFunctionalGroupsSequence = Items([_frame(image, n) for n, image in enumerate(slices, start=1)])
    image.DimensionOrganizationSequence = Items([_item(DimensionOrganizationUID=f"{series}.8")])
    pointer = _item(DimensionIndexPointer=0x00200032, FunctionalGroupPointer=0x00209113)
    pointer.DimensionOrganizationUID = f"{series}.8"
    image.DimensionIndexSequence = Items([pointer])
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns = phantom.mask.shape[1:]
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 1, 1, 0, 0
    image.PixelData = pack_bits(phantom.mask.astype(np.uint8).ravel(), pad=True)
    return image


def _item(**attributes: object) -> Dataset:
    item = Dataset()
    for name, value in attributes.items():
        setattr(item, name, value)
    return item


def _code(value: str, meaning: str) -> Items:
    return Items([_item(CodeValue=value, CodingSchemeDesignator="SCT", CodeMeaning=meaning)])


def _segment(study: Study) -> Dataset:
    segment = _item(SegmentNumber=1, SegmentLabel=f"Lésions de {study.person.called}", SegmentAlgorithmType="MANUAL")
    segment.SegmentedPropertyCategoryCodeSequence = _code("49755003", "Morphologically Abnormal Structure")
    segment.SegmentedPropertyTypeCodeSequence = _code("52988006", "Lesion")
    return segment


def _referenced(slices: Sequence[Dataset]) -> Dataset:
    images = [_item(ReferencedSOPClassUID=CT, ReferencedSOPInstanceUID=image.SOPInstanceUID) for image in slices]
    return _item(SeriesInstanceUID=slices[0].SeriesInstanceUID, ReferencedInstanceSequence=Items(images))


def _shared(phantom: Phantom) -> Dataset:
    measures = _item(SliceThickness=phantom.spacing[0], PixelSpacing=list(phantom.spacing[1:]))
    measures.SpacingBetweenSlices = phantom.spacing[0]
    orientation = _item(ImageOrientationPatient=list(_AXIAL))
    return _item(PixelMeasuresSequence=Items([measures]), PlaneOrientationSequence=Items([orientation]))


def _frame(image: Dataset, number: int) -> Dataset:
    return _item(
        FrameContentSequence=Items([_item(DimensionIndexValues=[number])]),
        PlanePositionSequence=Items([_item(ImagePositionPatient=list(image.ImagePositionPatient))]),
        SegmentIdentificationSequence=Items([_item(ReferencedSegmentNumber=1)]),
    )


def _write(folder: Path, images: Sequence[Dataset], scanned: Scanned) -> None:
    folder.mkdir(parents=True)
    for number, image in enumerate(images, start=1):
        path = folder / f"{number:06d}.dcm"
        image.save_as(path, enforce_file_format=True, implicit_vr=False, little_endian=True)
        scanned.files += 1
        scanned.bytes += path.stat().st_size
