"""De-identification of one DICOM file: a new dataset of what the profile allows.

The dataset is not cleaned: a new one is filled from the allow-list, at every depth of sequences, so that private,
comment, overlay and unknown attributes have no way through. Pixels are decoded and written uncompressed, and bits that
hold no part of a sample are cleared, because compressed streams and spare bits can carry text. Dates and times are
removed; the day of a series is in its row, to which the rule on dates applies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import FileMetaDataset
from pydicom.pixels.utils import pack_bits
from pydicom.sequence import Sequence
from pydicom.sr import _concepts_dict
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from etl.dicom.confidentiality_profile import LABELS, RADIOGRAPH, Profile
from etl.dicom.errors import SeriesRefusedError, refuse_on_error
from etl.dicom.standard_uids import is_sop_class

NewUid = Callable[[str], str]
IMPLEMENTATION = UID("2.25.167350962098711127513927165137226413411")
_METHOD = "PS3.15 Basic Profile as an allow-list; pixels decoded anew"
_METHODS = (("113100", "Basic Application Confidentiality Profile"), ("113101", "Clean Pixel Data Option"))
_EMPTY = ("PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID")
_EMPTY_TOO = ("ReferringPhysicianName", "SeriesNumber")
_GREY = ("MONOCHROME1", "MONOCHROME2")
_UNSUPPORTED_PIXELS = ("FloatPixelData", "DoubleFloatPixelData", "PixelDataProviderURL")


def kind_of(dataset: Dataset, profile: Profile) -> str:
    """``volume``, ``radiograph`` or ``labels``; SeriesRefusedError for a class that the profile does not list."""
    uid = str(dataset.get("SOPClassUID", ""))
    if uid not in profile.classes:
        raise SeriesRefusedError("this class of DICOM object is not one that conf/dicom.toml treats")
    return profile.classes[uid]


def check_burned_in(dataset: Dataset, kind: str) -> None:
    """SeriesRefusedError if text may be burned into the pixels.

    A radiograph must declare that there is none; a volume need not if it is original and primary, as acquired.
    """
    declared = str(dataset.get("BurnedInAnnotation", "") or "").upper()
    if declared not in ("", "NO"):
        raise SeriesRefusedError("text is burned into the pixels (BurnedInAnnotation)")
    if declared == "NO" or kind == LABELS:
        return
    if kind == RADIOGRAPH:
        raise SeriesRefusedError("text may be burned into the pixels: a radiograph must say BurnedInAnnotation NO")
    if [str(word) for word in _values(dataset.get("ImageType"))][:2] != ["ORIGINAL", "PRIMARY"]:
        raise SeriesRefusedError(
            "text may be burned into the pixels: the image is neither original and primary, nor says NO"
        )


def says_head(dataset: Dataset, profile: Profile) -> bool:
    """Do the words of a file speak of a head? Its body part is one with a face, or a description has a word of one."""
    descriptions = " ".join(str(dataset.get(name, "") or "") for name in _DESCRIPTIONS).casefold()
    with_face = profile.words[tag_for_keyword("BodyPartExamined") or 0] - profile.faceless
    return _body_part(dataset) in with_face or any(word in f"{descriptions} " for word in profile.face_words)


def may_show_face(dataset: Dataset, kind: str, profile: Profile) -> bool:
    """May a face be recognised, by the words of a file? An unknown body part may have one, but on a radiograph."""
    if says_head(dataset, profile):
        return True
    return kind != RADIOGRAPH and _body_part(dataset) not in profile.faceless


def _body_part(dataset: Dataset) -> str:
    return str(dataset.get("BodyPartExamined", "") or "").strip().upper()


_DESCRIPTIONS = (
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "RequestedProcedureDescription",
    "PerformedProcedureStepDescription",
    "ImageComments",
)


def deidentify(
    dataset: Dataset, profile: Profile, new_uid: NewUid, *, patient: str, number: int, face: bool, text: Any = None
) -> Dataset:
    """The de-identified dataset, as image ``number`` of its series and of ``patient`` (a pseudonym).

    ``text``: True where text stands in the pixels (frames × rows × columns, or None), which is blackened.
    It is complete: file meta, pixels, and the marks of de-identification (PS3.15 §E.1.1). Raises SeriesRefusedError.
    """
    kind = kind_of(dataset, profile)
    check_burned_in(dataset, kind)
    with refuse_on_error("its attributes cannot be read"):
        result = _allowed(dataset, profile, new_uid)
    with refuse_on_error("its pixels cannot be read"):
        _set_pixels(result, dataset, text)
    _set_patient(result, patient)
    result.InstanceNumber = number
    _set_marks(result, face=face)
    if kind == LABELS:
        _name_segments(result)
    result.file_meta = _file_meta(result)
    return result


def _allowed(dataset: Dataset, profile: Profile, new_uid: NewUid) -> Dataset:
    """The attributes of a dataset that the profile allows, and those of the datasets in its sequences."""
    kept = Dataset()
    for tag in sorted(map(int, dataset.keys())):
        value = _allowed_value(dataset, tag, profile, new_uid)
        if value is not None:
            kept.add(DataElement(Tag(tag), _vr(dataset, tag), value))
    return kept


def _vr(dataset: Dataset, tag: int) -> str:
    """The standard's value representation; the file's if the standard allows several (US or SS)."""
    vr = dictionary_VR(tag)
    return vr if len(vr) == 2 else dataset[tag].VR


def _allowed_value(dataset: Dataset, tag: int, profile: Profile, new_uid: NewUid) -> Any:
    """The value to keep of one attribute; None if nothing of it may be kept."""
    if tag in profile.sequences:
        items = [_allowed(item, profile, new_uid) for item in dataset[tag].value]
        return Sequence(items) if items else None
    if tag in profile.codes:
        items = [code for item in dataset[tag].value if (code := _code(item))]
        return Sequence(items) if items else None
    if tag in profile.numbers:
        return _numbers(_values(dataset[tag].value), *profile.numbers[tag], _vr(dataset, tag))
    if tag in profile.words:
        return _one_or_list([word for word in map(str, _values(dataset[tag].value)) if word in profile.words[tag]])
    if tag in profile.uids:
        return _one_or_list([new_uid(uid) for uid in map(str, _values(dataset[tag].value)) if uid])
    if tag in profile.standard_uids:
        return _one_or_list([_class_uid(uid, new_uid) for uid in map(str, _values(dataset[tag].value)) if uid])
    if tag in profile.pointers:
        return _one_or_list([int(at) for at in _values(dataset[tag].value) if dictionary_has_tag(int(at))])
    return None


def _class_uid(uid: str, new_uid: NewUid) -> str:
    """A class that the standard lists; anything else, such as an identifier below its root, is replaced."""
    return uid if is_sop_class(uid) else new_uid(uid)


def _values(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else [value]


def _one_or_list(values: list[Any]) -> Any:
    return None if not values else values[0] if len(values) == 1 else values


def _numbers(values: list[Any], low: float, high: float, vr: str) -> Any:
    numbers = [float(value) for value in values]
    if not all(math.isfinite(number) and low <= number <= high for number in numbers):
        return None
    if vr == "DS":
        return _one_or_list([format_number_as_ds(number) for number in numbers])
    return _one_or_list(numbers if vr in ("FD", "FL") else [int(number) for number in numbers])


def _code(item: Dataset) -> Dataset | None:
    """A code of the standard's own lists, with their meaning; None for any other."""
    scheme, value = str(item.get("CodingSchemeDesignator", "")), str(item.get("CodeValue", ""))
    meaning = meanings(scheme).get(value)
    if meaning is None:
        return None
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def meanings(scheme: str) -> dict[str, str]:
    """Code → meaning of one coding scheme, from the lists of DICOM PS3.16 that pydicom carries."""
    concepts: Any = _concepts_dict.concepts.get(scheme, {})
    return {code: str(entry[0]) for codes in concepts.values() for code, entry in codes.items()}


def _set_pixels(result: Dataset, dataset: Dataset, text: Any) -> None:
    samples = samples_of(dataset)
    if text is not None:
        samples = blackened(samples, text)
    if int(dataset.BitsAllocated) > 1:
        result.BitsAllocated = samples.dtype.itemsize * 8
    result.add(DataElement(Tag("PixelData"), "OB" if samples.dtype.itemsize == 1 else "OW", _bytes(samples, dataset)))


def samples_of(dataset: Dataset) -> Any:
    """The grey levels of an image as stored (rows × columns, before them frames if it has any); SeriesRefusedError."""
    if any(name in dataset for name in _UNSUPPORTED_PIXELS) or "PixelData" not in dataset:
        raise SeriesRefusedError("it has no pixels of whole numbers")
    if dataset.get("SamplesPerPixel") != 1 or dataset.get("PhotometricInterpretation") not in _GREY:
        raise SeriesRefusedError("its pixels are not grey levels")
    stored = int(dataset.BitsStored)
    if not 0 < stored <= int(dataset.BitsAllocated) or int(dataset.HighBit) != stored - 1:
        raise SeriesRefusedError("its samples do not lie in the lowest bits")
    samples = np.asarray(_decoded(dataset))
    _check_shape(samples, dataset)
    return _without_spare_bits(samples, dataset)


def blackened(samples: Any, text: Any) -> Any:
    """The samples with the least of each frame where ``text`` is true."""
    frames = samples.reshape(-1, *samples.shape[-2:])
    least = frames.min(axis=(1, 2), keepdims=True)
    return np.where(text, least, frames).astype(samples.dtype).reshape(samples.shape)


def _decoded(dataset: Dataset) -> Any:
    try:
        return dataset.pixel_array
    except (RuntimeError, NotImplementedError):
        raise SeriesRefusedError("its pixels are compressed in a way that this installation cannot read") from None


def _check_shape(samples: Any, dataset: Dataset) -> None:
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    expected = (int(dataset.Rows), int(dataset.Columns))
    if samples.shape not in (expected, (frames, *expected)) or samples.size != frames * math.prod(expected):
        raise SeriesRefusedError("it has fewer pixels than it says")


def _without_spare_bits(samples: Any, dataset: Dataset) -> Any:
    """The samples with nothing in the bits above those stored."""
    if int(dataset.BitsAllocated) == 1:
        return samples
    stored = int(dataset.BitsStored)
    spare = samples.dtype.itemsize * 8 - stored
    if not spare:
        return samples
    signed = np.issubdtype(samples.dtype, np.signedinteger)
    return (samples << spare) >> spare if signed else samples & np.array((1 << stored) - 1, samples.dtype)


def _bytes(samples: Any, dataset: Dataset) -> bytes:
    """The samples in little endian."""
    if int(dataset.BitsAllocated) == 1:
        return bytes(pack_bits(samples.astype(np.uint8).ravel() & 1, pad=True))
    raw: bytes = samples.astype(samples.dtype.newbyteorder("<")).tobytes()
    return raw + b"\0" * (len(raw) % 2)


def _set_patient(result: Dataset, patient: str) -> None:
    for name in (*_EMPTY, *_EMPTY_TOO):
        setattr(result, name, None)
    result.PatientID = patient


def _set_marks(result: Dataset, *, face: bool) -> None:
    result.PatientIdentityRemoved = "YES"
    result.DeidentificationMethod = _METHOD
    result.DeidentificationMethodCodeSequence = Sequence([_method_code(*method) for method in _METHODS])
    result.BurnedInAnnotation = "NO"
    result.LongitudinalTemporalInformationModified = "REMOVED"
    result.RecognizableVisualFeatures = "YES" if face else "NO"


def _method_code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return code


def _name_segments(result: Dataset) -> None:
    """A segment must have a label, which was free text."""
    result.ContentLabel = "LABELS"
    for segment in result.get("SegmentSequence", []):
        segment.SegmentLabel = f"Segment {int(segment.SegmentNumber)}"


def _file_meta(result: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = result.SOPClassUID
    meta.MediaStorageSOPInstanceUID = result.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION
    return meta
