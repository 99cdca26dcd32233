"""One landed series: checked as a whole, de-identified image by image, and described by a FHIR Media.

All images of a series pass, or none, because a volume with a hole is worse than none. The Media holds what the table
keeps; it is clear text, stays in the task's memory, and is transformed like every resource, which pseudonymises its
references. One image is in memory at a time.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.uid import UID

from etl.dicom.archive import DAMAGED, members, store_series
from etl.dicom.burned_in_text import BurnedIn
from etl.dicom.confidentiality_profile import LABELS, Profile
from etl.dicom.deidentification import NewUid, deidentify, kind_of
from etl.dicom.errors import SeriesRefusedError, refuse_on_error, refuse_on_image
from etl.dicom.geometry import pixel_spacing, position_along, spacing
from etl.dicom.pixel_review import review
from etl.privacy import PseudonymKey, pseudonym

RESOURCE = "Media"
EXTENSION = "https://erios.example/fhir/StructureDefinition/dicom-series"
UID_SYSTEM = "urn:dicom:uid"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
_ID = re.compile(r"[0-9.]{1,64}")
_ONE = ("StudyInstanceUID", "SeriesInstanceUID", "PatientID", "IssuerOfPatientID", "Modality", "SOPClassUID")
_DAY = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")


@dataclass(frozen=True)
class DicomRules:
    """How series are read: the profile, and the FHIR system of the patient numbers in DICOM files.

    ``issuers``: IssuerOfPatientID → system, for numbers of other issuers; series of any other issuer are refused.
    """

    profile: Profile
    patient_system: str
    issuers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class SeriesResult:
    """The JSON text of a series' FHIR Media, or the reason of its refusal; its UID if that can be read."""

    text: bytes = b""
    reason: str | None = None
    uid: str | None = None


@dataclass(frozen=True)
class SeriesReader:
    """Reads landed series with one key; voxel files are written to ``folder`` under their digest, unless it is None."""

    rules: DicomRules
    key: PseudonymKey
    folder: Path | None

    def to_fhir(self, path: Path) -> SeriesResult:
        """Write the voxel file of a landed series and describe it; or refuse the series."""
        uid: str | None = None
        with catch_warnings():
            simplefilter("ignore")  # pydicom warns with values
            try:
                heads = _heads(path)
                uid = _uid(heads[0])
                _check_one(heads)
                return SeriesResult(self._text(path, heads), uid=uid)
            except SeriesRefusedError as error:
                return SeriesResult(reason=str(error), uid=uid)

    def _text(self, path: Path, heads: Sequence[Dataset]) -> bytes:
        profile = self.rules.profile
        kind = kind_of(heads[0], profile)
        subject = subject_of(heads[0], self.rules)
        order = _order(heads)
        ordered = [heads[n] for n in order]
        findings = review(_in_order(path, order), ordered, kind, profile)
        facts: dict[str, Any] = {"kind": kind, "face": findings.face, "blackened": findings.text.count(len(order))}
        if self.folder is not None:
            facts |= self._keep(
                path, order, pseudonym(self.key, reference_of(subject)), findings.text, face=findings.face
            )
        with refuse_on_error("its geometry cannot be read"):
            return _media(ordered, subject, facts, profile)

    def _keep(self, path: Path, order: Sequence[int], patient: str, text: BurnedIn, *, face: bool) -> dict[str, Any]:
        """Write the de-identified series; returns its digest and size."""
        assert self.folder is not None
        self.folder.mkdir(exist_ok=True)
        images = (
            self._deidentified(content, patient, number, len(order), text, face=face)
            for number, content in enumerate(_in_order(path, order), start=1)
        )
        digest, size = store_series(self.folder, f"{path.parent.name}-{path.name}", images)
        return {"voxels": digest, "bytes": size}

    def _deidentified(
        self, content: bytes, patient: str, number: int, count: int, text: BurnedIn, *, face: bool
    ) -> bytes:
        with refuse_on_image(number, count):
            with refuse_on_error("it cannot be read"):
                dataset = dcmread(io.BytesIO(content))
            mark = text.of(number - 1, (int(dataset.Rows), int(dataset.Columns)))
            image = deidentify(
                dataset, self.rules.profile, self._new_uid, patient=patient, number=number, face=face, text=mark
            )
            with refuse_on_error("it cannot be written"):
                return to_bytes(image)

    @property
    def _new_uid(self) -> NewUid:
        return lambda uid: uid_of(pseudonym(self.key, uid))


def uid_of(key: str) -> str:
    """A pseudonym as a DICOM UID: the 128 bits as one decimal number below 2.25 (PS3.5 §B.2)."""
    return f"2.25.{int(key, 16)}"


def _heads(path: Path) -> list[Dataset]:
    """The attributes of every image without its pixels; SeriesRefusedError where one is no DICOM."""
    heads: list[Dataset] = []
    try:
        for content in members(path):
            with refuse_on_error("a file of it is no DICOM that can be read"):
                heads.append(dcmread(io.BytesIO(content), stop_before_pixels=True))
    except DAMAGED:
        raise SeriesRefusedError("its files are damaged in the landing zone") from None
    if not heads:
        raise SeriesRefusedError("it was erased")
    return heads


def _uid(head: Dataset) -> str:
    with refuse_on_error("its SeriesInstanceUID cannot be read"):
        uid = str(head.get("SeriesInstanceUID", "") or "")
    if not _ID.fullmatch(uid):
        raise SeriesRefusedError("it has no legal SeriesInstanceUID")
    return uid


def _check_one(heads: Sequence[Dataset]) -> None:
    """Refuse a series of several patients, studies or kinds, and one with an image twice."""
    with refuse_on_error("its attributes cannot be read"):
        for name in _ONE:
            if len({str(head.get(name, "") or "") for head in heads}) > 1:
                raise SeriesRefusedError(f"its files differ in {name}")
        if not _ID.fullmatch(str(heads[0].get("StudyInstanceUID", "") or "")):
            raise SeriesRefusedError("it has no legal StudyInstanceUID")
        uids = [str(head.get("SOPInstanceUID", "") or "") for head in heads]
    if not all(UID(uid).is_valid for uid in uids):
        raise SeriesRefusedError("an image of it has no legal SOPInstanceUID")
    if len(set(uids)) < len(uids):
        raise SeriesRefusedError("two images of it have one SOPInstanceUID")


def subject_of(head: Dataset, rules: DicomRules) -> dict[str, Any]:
    """The patient as a FHIR reference by identifier; SeriesRefusedError without one, or for an unknown issuer."""
    with refuse_on_error("its PatientID cannot be read"):
        number = str(head.get("PatientID", "") or "").strip()
        issuer = str(head.get("IssuerOfPatientID", "") or "").strip()
    if not number:
        raise SeriesRefusedError("it names no patient (PatientID)")
    system = dict(rules.issuers).get(issuer) if issuer else rules.patient_system
    if system is None:
        raise SeriesRefusedError("its IssuerOfPatientID is not one that the setting images.issuers names")
    return {"type": "Patient", "identifier": {"system": system, "value": number}}


def reference_of(subject: dict[str, Any]) -> str:
    """The reference as the text of which its pseudonym is computed."""
    identifier = subject["identifier"]
    return f"Patient?identifier={identifier['system']}|{identifier['value']}"


def _order(heads: Sequence[Dataset]) -> list[int]:
    """Indexes of the images in the order of their positions or, if not all have one, of their numbers."""
    with refuse_on_error("the order of its images cannot be read"):
        along = [position_along(head) for head in heads]
        numbers = [int(head.get("InstanceNumber") or 0) for head in heads]
        uids = [str(head.SOPInstanceUID) for head in heads]
    located = all(position is not None for position in along)
    return sorted(range(len(heads)), key=lambda n: (along[n] or 0.0 if located else 0.0, numbers[n], uids[n]))


def _in_order(path: Path, order: Sequence[int]) -> Any:
    with zipfile.ZipFile(path) as archive:
        names = sorted(archive.namelist())
        for index in order:
            yield archive.read(names[index])


def to_bytes(dataset: Dataset) -> bytes:
    """A dataset as a DICOM file, in explicit little endian."""
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True, implicit_vr=False, little_endian=True)
    return out.getvalue()


def _media(heads: Sequence[Dataset], subject: dict[str, Any], facts: dict[str, Any], profile: Profile) -> bytes:
    """The series as a FHIR R4 Media; an extension holds what R4 has no element for."""
    first = heads[0]
    series, study = str(first.SeriesInstanceUID), str(first.StudyInstanceUID)
    frames = sum(int(head.get("NumberOfFrames") or 1) for head in heads)
    resource: dict[str, Any] = {
        "resourceType": RESOURCE,
        "id": series,
        "meta": {"versionId": str(frames)},
        "extension": [{"url": EXTENSION, "extension": _extensions(heads, facts, profile)}],
        "identifier": [{"system": UID_SYSTEM, "value": series}],
        "partOf": [{"type": "ImagingStudy", "identifier": {"system": UID_SYSTEM, "value": f"urn:oid:{study}"}}],
        "status": "completed",
        "subject": subject,
        "height": int(first.get("Rows") or 1),
        "width": int(first.get("Columns") or 1),
        "frames": frames,
        "content": {"contentType": "application/zip"},
    }
    if modality := _word(first, "Modality", profile):
        resource["modality"] = {"coding": [{"system": DCM, "code": modality}]}
    if day := _day(first):
        resource["createdDateTime"] = day
    return json.dumps(resource, sort_keys=True).encode()


def _word(head: Dataset, name: str, profile: Profile) -> str | None:
    """A coded word of the file, if the profile allows it."""
    word = str(head.get(name, "") or "")
    return word if word in profile.words[tag_for_keyword(name) or 0] else None


def _extensions(heads: Sequence[Dataset], facts: dict[str, Any], profile: Profile) -> list[dict[str, Any]]:
    first = heads[0]
    grid = spacing(heads)
    pixels = pixel_spacing(first)
    values: dict[str, tuple[str, Any]] = {
        "kind": ("Code", facts["kind"]),
        "face-present": ("Boolean", facts["face"]),
        "images-blackened": ("Integer", facts["blackened"]),
        "images": ("Integer", len(heads)),
        "voxels": ("Id", facts.get("voxels")),
        "bytes": ("Decimal", facts.get("bytes")),
        "body-part": ("Code", _word(first, "BodyPartExamined", profile)),
        "laterality": ("Code", _word(first, "ImageLaterality", profile) or _word(first, "Laterality", profile)),
        "view": ("Code", _word(first, "ViewPosition", profile)),
        "spacing-x": ("Decimal", grid[0] if grid else pixels[1] if pixels else None),
        "spacing-y": ("Decimal", grid[1] if grid else pixels[0] if pixels else None),
        "spacing-z": ("Decimal", grid[2] if grid else None),
        "labelled-uid": ("String", _labelled(first) if facts["kind"] == LABELS else None),
    }
    return [{"url": url, f"value{kind}": value} for url, (kind, value) in values.items() if value is not None]


def _labelled(first: Dataset) -> str | None:
    """UID of the series that a segmentation labels."""
    for item in first.get("ReferencedSeriesSequence", []):
        return str(item.SeriesInstanceUID)
    return None


def _day(first: Dataset) -> str | None:
    """The day of the series, or of its study."""
    for name in ("SeriesDate", "AcquisitionDate", "ContentDate", "StudyDate"):
        day = str(first.get(name, "") or "")
        if _DAY.fullmatch(day):
            return f"{day[:4]}-{day[4:6]}-{day[6:]}"
    return None
