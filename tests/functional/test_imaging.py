"""DICOM in the warehouse: nothing identifying in any byte, all consistent, and what cannot be treated held back."""

from __future__ import annotations

import csv
import json
import shutil
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from etl.dicom.archive import series_writer
from etl.dicom.series import SeriesReader
from etl.erasure import erase
from etl.errors import InputError, StorageError
from etl.ingest.discovery import is_dicom
from etl.ingest.quarantine import explain, find, refused, refused_series
from etl.maintenance import vacuum
from etl.pipeline import rebuild
from etl.synthetic import generate
from etl.synthetic.fhir import IPP
from etl.warehouse.garbage import unread
from etl.warehouse.image_files import check_voxel_file, voxel_path
from etl.warehouse.release import open_release, release_ids
from tests.crash import At, Forge
from tests.imaging import KEY, Imaging, edit, found_in, open_gate
from tests.inline import InlineRunner


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """Two patients with images: six series and one of a head."""
    out = tmp_path_factory.mktemp("hospital") / "out"
    generate(out, 2, 5, imaging=2, workers=1)
    for name in ("Patient.000.ndjson", "ImagingStudy.000.ndjson"):
        shutil.move(out / name, out.parent / name)
    for path in out.glob("*.*json*"):
        path.unlink()
    for name in ("Patient.000.ndjson", "ImagingStudy.000.ndjson"):
        shutil.move(out.parent / name, out / name)
    return out


@pytest.fixture(scope="module")
def loaded(hospital, tmp_path_factory):
    """A warehouse that loaded them."""
    imaging = Imaging(tmp_path_factory.mktemp("loaded"))
    imaging.load(hospital)
    return imaging


@pytest.fixture
def export(hospital, tmp_path):
    """The radiograph and the patient of it, free to be spoilt."""
    target = tmp_path / "export"
    shutil.copytree(hospital / "dicom" / "0000000" / "3", target)
    shutil.copy(hospital / "Patient.000.ndjson", target)
    return target


@pytest.fixture
def lived(loaded, tmp_path):
    """A copy of the loaded warehouse."""
    shutil.copytree(loaded.home, tmp_path / "home")
    return Imaging(tmp_path / "home")


def patients(hospital):
    return [json.loads(line) for line in (hospital / "Patient.000.ndjson").read_text().splitlines()]


def test_every_series_is_accounted_for_and_has_its_voxel_file(loaded):
    ends = ("superseded", "duplicates", "deleted", "objected", "quarantined", "contained")
    assert loaded.release.types["Media"] == {"in": 7, "written": 7, **dict.fromkeys(ends, 0)}
    columns = "kind, image_count, frame_count, face_present, blackened_image_count"
    assert loaded.rows(f"SELECT {columns} FROM dicom_series ORDER BY ALL") == [
        *[("labels", 1, 48, False, 0)] * 2,
        *[("radiograph", 1, 1, False, 0)] * 2,
        ("volume", 16, 16, True, 0),
        *[("volume", 48, 48, False, 0)] * 2,
    ]
    digests = {row[0] for row in loaded.rows("SELECT voxels_sha256 FROM dicom_series")}
    assert {path.stem for path in loaded.voxel_files()} == digests
    assert all(check_voxel_file(loaded.warehouse, digest) for digest in digests)


def test_rows_join_to_the_fhir_study_to_the_patient_and_from_labels_to_images(loaded):
    assert loaded.rows(
        """SELECT count(*), count(f.imaging_series_key), count(p.patient_key), count(l.dicom_series_key)
           FROM dicom_series d LEFT JOIN imaging_series f USING (study_uid_key, series_uid_key, patient_key)
           LEFT JOIN patient p USING (patient_key) LEFT JOIN dicom_series l ON l.series_uid_key = d.labels_of_uid_key"""
    ) == [(7, 7, 7, 2)]


def test_uids_are_replaced_consistently_across_files(loaded, hospital):
    images = loaded.images()
    old = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(hospital.rglob("*.dcm"))]
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        before = Counter(Counter(str(one.get(name)) for one in old).values())
        assert Counter(Counter(str(one.get(name)) for one in images).values()) == before
        assert not {str(one.get(name)) for one in old} & {str(one.get(name)) for one in images} - {"None"}
    ct = {
        one.SeriesInstanceUID: {i.SOPInstanceUID for i in images if i.SeriesInstanceUID == one.SeriesInstanceUID}
        for one in images
        if one.Modality == "CT"
    }
    for labels in (one for one in images if one.Modality == "SEG"):
        (labelled,) = labels.ReferencedSeriesSequence
        assert {one.ReferencedSOPInstanceUID for one in labelled.ReferencedInstanceSequence} == ct[
            labelled.SeriesInstanceUID
        ]
    keys = {f"2.25.{int(row[0], 16)}" for row in loaded.rows("SELECT series_uid_key FROM dicom_series")}
    assert keys == {str(one.SeriesInstanceUID) for one in images}


def test_images_are_marked_as_deidentified_and_without_dates(loaded):
    for image in loaded.images():
        assert image.PatientIdentityRemoved == "YES"
        assert [code.CodeValue for code in image.DeidentificationMethodCodeSequence] == ["113100", "113101"]
        assert image.LongitudinalTemporalInformationModified == "REMOVED"
        assert image.RecognizableVisualFeatures == ("YES" if image.get("BodyPartExamined") == "HEAD" else "NO")
        assert len(image.PatientID) == 32
        assert not image.PatientName
        assert not [element for element in image.iterall() if element.VR in ("DA", "DT", "TM") and element.value]
        assert not [element for element in image.iterall() if element.tag.is_private]


def test_voxels_are_those_of_the_source(loaded, hospital):
    for part in ("0000000", "0000001"):
        source = [pydicom.dcmread(path).pixel_array for path in sorted((hospital / "dicom" / part / "1").iterdir())]
        (study,) = {pydicom.dcmread(p).SOPInstanceUID for p in (hospital / "dicom" / part / "1").glob("000001.dcm")}
        kept: dict[str, list[Dataset]] = {}
        for image in loaded.images():
            if image.Modality == "CT" and image.BodyPartExamined == "ABDOMEN":
                kept.setdefault(image.SeriesInstanceUID, []).append(image)
        volumes = [np.stack([one.pixel_array for one in images]) for images in kept.values()]
        assert any(np.array_equal(volume, np.stack(source)) for volume in volumes), study


def test_lesions_lie_where_the_truth_says(hospital):
    listed = list(csv.DictReader((hospital / "lesions.csv").read_text().splitlines()))
    for path in hospital.glob("dicom/*/2/*.dcm"):
        labels = pydicom.dcmread(path)
        of = labels.ReferencedSeriesSequence[0].SeriesInstanceUID
        mine = [one for one in listed if one["series_uid"] == of]
        shared = labels.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        voxel = shared.SpacingBetweenSlices * shared.PixelSpacing[0] * shared.PixelSpacing[1]
        volume = sum(4 / 3 * np.pi * float(one["radius_mm"]) ** 3 for one in mine)
        assert labels.pixel_array.sum() * voxel == pytest.approx(volume, rel=0.12)


# ---- identifiers

PLANTED = ["Zéphyrine", "Kervadec", "0612345678", "185027512345678", "rue des Lilas", "Dr Quintrec", "IPP-77-KRV"]


def plant(image):
    """Identifiers wherever a file can hold them."""
    image.PatientName, image.InstitutionName = "Kervadec^Zéphyrine", "Hôpital Dr Quintrec"
    image.PatientComments = image.ImageComments = "Zéphyrine Kervadec, rue des Lilas, 0612345678"
    image.StudyDescription, image.Manufacturer = "Thorax Zéphyrine", "Kervadec"
    image.BodyPartExamined, image.ViewPosition, image.ImageLaterality = "KERVADEC", "LILAS", "Z"
    image.ImageType = ["ORIGINAL", "PRIMARY", "KERVADEC"]
    image.AccessionNumber = image.DeviceSerialNumber = "IPP-77-KRV"
    image.RescaleType, image.OperatorsName = "0612345678", "Quintrec"
    inner, deep = Dataset(), Dataset()
    deep.TextValue, deep.PersonName = "185027512345678 Zéphyrine", "Kervadec"
    deep.add_new(0x00990010, "LO", "Kervadec")
    inner.ContentSequence, inner.CodeMeaning = Sequence([deep]), "Dr Quintrec"
    inner.PixelSpacing, inner.ReferencedSOPInstanceUID = [1, 1], "1.2.840.10008.185027512345678"
    inner.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.185027512345678"
    image.FrameOfReferenceUID = "1.2.840.10008.1.4.1.185027512345678"
    for name in ("RequestAttributesSequence", "PixelMeasuresSequence", "ReferencedInstanceSequence"):
        setattr(image, name, Sequence([inner]))
    block = image.private_block(0x0029, "Kervadec", create=True)
    block.add_new(0x11, "UN", "Zéphyrine 185027512345678".encode())
    block.add_new(0x12, "SQ", Sequence([deep]))
    image.add_new(0x60003000, "OW", b"Kervadec Zephyrine 0612345678 " * 4)
    image.add_new(0x60001500, "LO", "Kervadec")
    image.add_new(0x50000030, "LO", "Kervadec")
    image.add_new(0xFFFCFFFC, "OB", b"Kervadec")
    image.file_meta.SourceApplicationEntityTitle = "KERVADEC"
    image.file_meta.PrivateInformationCreatorUID, image.file_meta.PrivateInformation = "1.2.3", b"rue des Lilas "
    image.preamble = b"Kervadec rue des Lilas".ljust(128, b"\0")
    image.PixelData += b"Kervadec"


def test_planted_identifiers_are_in_no_byte_of_the_warehouse(export, tmp_path):
    edit(export / "000001.dcm", plant)
    (export / "000001.dcm").rename(export / "Kervadec Zéphyrine.dcm")
    imaging = Imaging(tmp_path / "home")
    report = imaging.load(export)
    assert report.to_dict()["types"]["Media"]["written"] == 1
    assert found_in(imaging.home / "landing", PLANTED) >= {"Zéphyrine", "Kervadec", "rue des Lilas", "IPP-77-KRV"}
    assert found_in(imaging.warehouse, [*PLANTED, "KERVADEC", "LILAS", "Zephyrine", "Kervadec"]) == set()


def test_the_generated_hospitals_identifiers_are_in_no_byte_of_the_warehouse(loaded, hospital):
    words = {patient["id"] for patient in patients(hospital)}
    for path in hospital.rglob("*.dcm"):
        image = pydicom.dcmread(path, stop_before_pixels=True)
        words |= {image.PatientID, image.PatientName.family_name, image.PatientAddress, image.PatientBirthDate}
        words |= {image.AccessionNumber, image.StudyDate, image.StudyInstanceUID, image.StudyDescription}
    words = {str(word) for word in words if len(str(word)) > 5}
    assert len(words) > 12
    assert found_in(loaded.warehouse, sorted(words)) == set()


def test_bits_above_the_samples_are_cleared(export, tmp_path):
    def hide(image):
        values = np.frombuffer(image.PixelData, "<u2") | 0xA000
        image.PixelData = values.astype("<u2").tobytes()

    before = pydicom.dcmread(export / "000001.dcm").pixel_array
    edit(export / "000001.dcm", hide)
    imaging = Imaging(tmp_path / "home")
    imaging.load(export)
    (image,) = imaging.images()
    assert np.array_equal(image.pixel_array, before)


# ---- held back


def setting(**attributes):
    def change(image):
        for name, value in attributes.items():
            setattr(image, name, value)

    return change


def without(name):
    return lambda image: delattr(image, name)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (setting(BurnedInAnnotation="YES"), "text is burned into the pixels"),
        (without("BurnedInAnnotation"), "a radiograph must say BurnedInAnnotation NO"),
        (setting(SOPClassUID="1.2.840.10008.5.1.4.1.1.7"), "this class of DICOM object"),
        (setting(SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1"), "this class of DICOM object"),
        (setting(PatientID=""), "it names no patient"),
        (setting(IssuerOfPatientID="CHU INCONNU"), "IssuerOfPatientID is not one"),
        (without("PixelData"), "it has no pixels"),
        (setting(PhotometricInterpretation="PALETTE COLOR"), "not grey levels"),
        (setting(Rows=200), "its pixels cannot be read"),
        (setting(HighBit=13), "its samples do not lie in the lowest bits"),
        (setting(SeriesInstanceUID="not a uid"), "no legal SeriesInstanceUID"),
        (setting(StudyInstanceUID=""), "no legal StudyInstanceUID"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_the_profile_cannot_treat_is_held_back_with_a_reason(export, tmp_path, change, reason):
    edit(export / "000001.dcm", change)
    reader = SeriesReader(Imaging(tmp_path).rules, KEY, tmp_path / "voxels")
    assert reason in end_of(reader, export / "000001.dcm", tmp_path)
    assert list((tmp_path / "voxels").glob("*")) == []


def test_a_series_held_back_waits_in_quarantine_with_its_reason(export, tmp_path):
    edit(export / "000001.dcm", setting(BurnedInAnnotation="YES"))
    imaging = Imaging(tmp_path / "home")
    media = imaging.load(export).to_dict()["types"]["Media"]
    (row,) = refused(imaging.plan.zones.quarantine)
    assert (media["in"], media["quarantined"]) == (1, 1)
    assert (row.type, row.reason) == ("Media", "image 1 of 1: text is burned into the pixels (BurnedInAnnotation)")
    assert explain(find(imaging.plan.zones.quarantine, row.id), imaging.plan.zones.landing) == [row.reason]
    assert imaging.voxel_files() == []


def test_an_issuer_that_is_named_has_its_own_numbers(export, tmp_path):
    edit(export / "000001.dcm", setting(IssuerOfPatientID="AUTRE-CHU"))
    imaging = Imaging(tmp_path / "home")
    imaging.load(export)
    assert imaging.rows("SELECT count(p.patient_key) FROM dicom_series LEFT JOIN patient p USING (patient_key)") == [
        (0,)
    ]


@pytest.mark.parametrize(
    ("files", "change", "reason"),
    [
        (3, setting(PatientID="8000000000"), "its files differ in PatientID"),
        (3, setting(ImageType=["DERIVED", "SECONDARY"]), "image 2 of 3: text may be burned"),
        (
            3,
            lambda image: setattr(image, "PixelData", image.PixelData[:100]),
            "image 2 of 3: its pixels cannot be read",
        ),
    ],
)
def test_one_bad_image_holds_the_whole_series_back(hospital, tmp_path, files, change, reason):
    export = tmp_path / "export"
    export.mkdir()
    for number in range(1, files + 1):
        shutil.copy(hospital / "dicom" / "0000000" / "1" / f"{number:06d}.dcm", export)
    edit(export / "000002.dcm", change)
    imaging = Imaging(tmp_path / "home")
    report = imaging.load(export)
    assert report.release is None or imaging.voxel_files() == []
    assert [reason in row.reason for row in refused(imaging.plan.zones.quarantine)] == [True]


def test_a_file_cut_short_anywhere_is_held_back(export, tmp_path):
    whole, path = (export / "000001.dcm").read_bytes(), export / "000001.dcm"
    reader = SeriesReader(Imaging(tmp_path).rules, KEY, tmp_path / "voxels")
    for size in [*range(0, 3000, 97), len(whole) // 2, len(whole) - 2]:
        path.write_bytes(whole[:size])
        assert end_of(reader, path, tmp_path) != "passed", size
    assert list((tmp_path / "voxels").glob("*")) == []


def test_waiting_series_are_replayed_after_a_fix(export, tmp_path):
    edit(export / "000001.dcm", setting(IssuerOfPatientID="NOUVEAU"))
    imaging = Imaging(tmp_path / "home")
    imaging.load(export)
    series = refused_series(imaging.plan.zones.quarantine, imaging.plan.zones.landing)
    rules = replace(imaging.rules, issuers=(("NOUVEAU", imaging.rules.patient_system),))
    imaging.plan = replace(imaging.plan, dicom=rules)
    assert imaging.load(*series).to_dict()["types"]["Media"]["written"] == 1


# ---- zips


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_zip_loads_like_the_folder_in_it(hospital, loaded, tmp_path):
    files = {str(p.relative_to(hospital)): p.read_bytes() for p in sorted(hospital.rglob("*")) if p.is_file()}
    imaging = Imaging(tmp_path / "home")
    imaging.load(zipped(tmp_path / "export.zip", files))
    assert [path.stem for path in imaging.voxel_files()] == [path.stem for path in loaded.voxel_files()]


def link():
    info = zipfile.ZipInfo("a.dcm")
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"../../evil.dcm": b"x"}, "leads outside"),
        ({"/etc/evil.dcm": b"x"}, "leads outside"),
        ({"C:\\evil.dcm": b"x"}, "leads outside"),
        ({link(): b"/etc/passwd"}, "holds a link"),
        ({"a.dcm": bytes(100 << 20)}, "zip bomb"),
        ({f"{n}.dcm": bytes(9 << 20) for n in range(10)}, "zip bomb"),
        ({"inner.zip": b"PK\x03\x04"}, "holds another zip"),
    ],
)
def test_a_hostile_zip_is_refused_and_leaves_nothing(tmp_path, members, reason):
    imaging = Imaging(tmp_path / "home")
    with pytest.raises(InputError, match=reason):
        imaging.load(zipped(tmp_path / "export.zip", members))
    assert not any(path.is_file() for path in (tmp_path / "home" / "landing").rglob("*"))
    assert not (tmp_path / "evil.dcm").exists()


def test_a_zip_that_lies_about_its_size_is_cut_off(tmp_path):
    path = zipped(tmp_path / "export.zip", {"a.dcm": bytes(3 << 20)})
    imaging = Imaging(tmp_path / "home")
    imaging.plan = replace(imaging.plan, most_unpacked=1 << 20)
    raw = path.read_bytes()
    size = (3 << 20).to_bytes(4, "little")
    path.write_bytes(raw.replace(size, (1000).to_bytes(4, "little")))
    with pytest.raises(InputError, match=r"damaged zip|unpacks to more"):
        imaging.load(path)


def test_a_damaged_zip_is_refused(tmp_path):
    path = zipped(tmp_path / "export.zip", {"a.dcm": bytes(range(256)) * 64})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="damaged zip"):
        Imaging(tmp_path / "home").load(path)


# ---- a warehouse that lives


def series_of(imaging):
    return {row[0]: row[1] for row in imaging.rows("SELECT patient_key, count(*) FROM dicom_series GROUP BY ALL")}


def ipp_of(hospital, voxel_path):
    """The number under which DICOM names a patient, as an entry of the objection register."""
    image = pydicom.dcmread(next((hospital / "dicom" / voxel_path).rglob("*.dcm")), stop_before_pixels=True)
    return f"Patient?identifier={IPP}|{image.PatientID}"


def test_an_objection_takes_the_images_out_and_its_end_brings_them_back(lived, hospital):
    before = series_of(lived)
    objection = ipp_of(hospital, "0000000")
    lived.refresh(objection)
    assert sum(series_of(lived).values()) == 3
    vacuum(lived.plan, 1, dict)
    assert len(lived.voxel_files()) == 3
    lived.refresh()
    assert series_of(lived) == before
    assert len(lived.voxel_files()) == 7


def test_an_objectors_voxels_never_enter_the_warehouse(hospital, tmp_path):
    imaging = Imaging(tmp_path / "home")
    objection = ipp_of(hospital, "0000000")
    imaging.plan = replace(imaging.plan, read_objectors=lambda: frozenset([objection]))
    media = imaging.load(hospital).to_dict()["types"]["Media"]
    assert (media["in"], media["written"], media["objected"]) == (7, 3, 4)
    assert len(imaging.voxel_files()) == 3


def test_merged_identities_take_their_images_along(lived, hospital, tmp_path):
    first, second = patients(hospital)
    first["link"] = [{"type": "replaced-by", "other": {"reference": f"Patient/{second['id']}"}}]
    first["meta"]["lastUpdated"] = "2027-01-01T00:00:00Z"
    (tmp_path / "merge.ndjson").write_text(json.dumps(first) + "\n")
    lived.load(tmp_path / "merge.ndjson")
    assert sorted(series_of(lived).values()) == [7]


def test_a_deleted_series_goes_and_its_voxels_with_the_last_release_that_has_them(lived, hospital, tmp_path):
    image = pydicom.dcmread(hospital / "dicom" / "0000000" / "3" / "000001.dcm", stop_before_pixels=True)
    gone = {"request": {"method": "DELETE", "url": f"Media/{image.SeriesInstanceUID}"}}
    (tmp_path / "gone.ndjson").write_text(json.dumps({"resourceType": "Bundle", "type": "batch", "entry": [gone]}))
    assert lived.load(tmp_path / "gone.ndjson").to_dict()["types"]["Media"]["deleted"] == 1
    assert (sum(series_of(lived).values()), len(lived.voxel_files())) == (6, 7)
    assert vacuum(lived.plan, 1, dict).files > 0
    assert len(lived.voxel_files()) == 6


def test_an_erasure_leaves_no_voxel_and_no_landed_image_of_the_patient(lived, hospital):
    first = patients(hospital)[0]
    words = [ipp_of(hospital, "0000000").split("|")[1], first["id"]]
    assert found_in(lived.home / "landing", words) == set(words)
    erasure = erase(lived.plan, [f"Patient/{first['id']}"], landing=True)
    assert erasure.before
    assert erasure.after
    assert sum(path.endswith(".zip") for path in erasure.before.occurrences) == 4
    assert erasure.after.hits == 0
    assert len(lived.voxel_files()) == 3
    assert found_in(lived.home / "landing", words) == set()
    rebuild(lived.plan, InlineRunner(), open_gate)
    assert sum(series_of(lived).values()) == 3


def test_the_same_series_again_changes_nothing_and_the_fuller_one_wins(hospital, tmp_path):
    source = hospital / "dicom" / "0000000" / "1"
    for name, files in (("whole", 8), ("part", 5)):
        (tmp_path / name).mkdir()
        for number in range(1, files + 1):
            shutil.copy(source / f"{number:06d}.dcm", tmp_path / name)
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    shutil.copy(hospital / "Patient.000.ndjson", tmp_path / "again")
    imaging = Imaging(tmp_path / "home")
    ends = [imaging.load(tmp_path / name).to_dict()["types"]["Media"] for name in ("part", "whole", "again", "part")]
    assert [next(k for k, v in end.items() if v and k != "in") for end in ends] == [
        "written",
        "written",
        "duplicates",
        "superseded",
    ]
    assert imaging.rows("SELECT frame_count, spacing_z_mm FROM dicom_series") == [(8, 5)]


def test_a_rebuild_makes_the_same_voxel_files(lived):
    before = lived.voxel_files()
    rebuild(lived.plan, InlineRunner(), open_gate, ("dicom_series",))
    assert lived.voxel_files() == before


def test_a_changed_voxel_file_is_noticed(lived):
    path = lived.voxel_files()[0]
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(StorageError, match="missing or damaged"):
        check_voxel_file(lived.warehouse, path.stem)
    voxel_path(lived.warehouse, path.stem).unlink()
    with pytest.raises(StorageError, match="missing or damaged"):
        check_voxel_file(lived.warehouse, path.stem)


# ---- kills


@pytest.fixture(scope="module")
def forge():
    started = Forge.start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def between(hospital, tmp_path_factory):
    """A home with a release of one patient's images; the exports of both patients lie in it."""
    home = tmp_path_factory.mktemp("between") / "home"
    for number, name in enumerate(("first", "second")):
        for series in ("2", "3"):
            shutil.copytree(hospital / "dicom" / f"{number:07d}" / series, home / "exports" / name / series)
        shutil.copy(hospital / "Patient.000.ndjson", home / "exports" / name)
    Imaging(home).load(home / "exports" / "first")
    return home


def state(home):
    """Every release with its series; each voxel file is looked at whole."""
    imaging, found = Imaging(home), {}
    for name in release_ids(imaging.warehouse):
        release = open_release(imaging.warehouse, name)
        rows = release.duckdb("dicom_series").project("series_uid_key, voxels_sha256").fetchall()
        assert all(check_voxel_file(imaging.warehouse, row[1]) for row in rows)
        found[name] = sorted(rows)
    return found


KILLED = [
    ("load", "second", At("voxels", "before", 1)),
    ("load", "second", At("voxels", "after", 1)),
    *(("load", "second", At("rename", "before", n)) for n in range(1, 7)),
    ("load", "second", At("commit", "after", 1)),
    ("load", "second", At("release", "before", 1)),
    ("load", "second", At("release", "after", 1)),
    ("vacuum", "1", At("delete", "before", 1)),
    ("vacuum", "1", At("delete", "after", 2)),
    ("erase", "{first}", At("rewrite", "before", 1)),
    ("erase", "{first}", At("pin", "after", 1)),
    ("erase", "{first}", At("delete", "before", 2)),
]
SHARE = pytest.mark.parametrize(
    "every", [pytest.param(3, id="third"), pytest.param(1, id="all", marks=pytest.mark.long)]
)


@pytest.mark.slow
@SHARE
@pytest.mark.parametrize("action", ["load", "vacuum", "erase"])
def test_killed_at_any_moment_the_last_good_state_stands_and_a_rerun_ends_the_work(
    between, forge, hospital, tmp_path, action, every
):
    start, end = tmp_path / "start", tmp_path / "end"
    shutil.copytree(between, start)
    if action != "load":
        forge.run(start, ("images", "load", "second"))
    shutil.copytree(start, end)
    steps = [(what.format(first=ipp_of(hospital, "0000000")), at) for name, what, at in KILLED if name == action]
    steps = steps[::every]
    whole = forge.run(end, ("images", action, steps[0][0]))
    assert "error" not in whole, whole
    before, done = state(start), state(end)
    assert before != done
    for number, (what, at) in enumerate(steps):
        home = tmp_path / str(number)
        shutil.copytree(start, home)
        assert forge.run(home, ("images", action, what), at)["killed"], at
        assert all(rows in (before.get(name), done.get(name)) for name, rows in state(home).items()), at
        assert "error" not in forge.run(home, ("images", action, what)), at
        assert state(home) == done, at
        assert list(unread(home / "warehouse", release_ids(home / "warehouse"))) == [], at


# ---- pydicom's own files


OWN_FILES = {
    "passed": 25,
    "text may be burned into the pixels: the image is neither original and primary, nor says NO": 68,
    "this class of DICOM object is not one that conf/dicom.toml treats": 61,
    "it has no legal SeriesInstanceUID": 28,
    "text may be burned into the pixels: a radiograph must say BurnedInAnnotation NO": 6,
    "a file of it is no DICOM that can be read (InvalidDicomError)": 4,
}
"""How the files inside the installed pydicom end, each read as a series of its own."""
OWN_PIXELS = {
    "passed": 64,
    "it has no pixels of whole numbers": 81,
    "its pixels are not grey levels": 34,
    "its pixels are compressed in a way that this installation cannot read": 6,
    "a file of it is no DICOM that can be read (InvalidDicomError)": 4,
    "its pixels cannot be read (ValueError)": 2,
    "not written": 1,
}
"""The same where only the pixels decide."""


def own_files():
    data = Path(pydicom.__file__).parent / "data"
    return sorted(path for path in data.rglob("*") if path.is_file() and is_dicom(path))


def end_of(reader, path, folder):
    """``passed``, or the reason why it is held back."""
    container = folder / "series"
    with series_writer(container, compress=False) as out:
        out.add_file(path)
    result = reader.to_fhir(container)
    assert bool(result.text) != bool(result.reason), path.name
    return "passed" if result.text else result.reason.removeprefix("image 1 of 1: ")


def test_pydicoms_own_files_pass_or_are_held_back_with_a_reason(tmp_path):
    reader = SeriesReader(Imaging(tmp_path).rules, KEY, tmp_path / "voxels")
    assert Counter(end_of(reader, path, tmp_path) for path in own_files()) == OWN_FILES


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_pydicoms_own_pixels_pass_or_are_held_back_with_a_reason(tmp_path):
    """The same files said to be CT without text, so that only their pixels decide."""
    reader = SeriesReader(Imaging(tmp_path).rules, KEY, tmp_path / "voxels")
    ends: Counter[str] = Counter()
    for path in own_files():
        try:
            image = pydicom.dcmread(path, force=True)
            image.SOPClassUID, image.BurnedInAnnotation, image.PatientID = "1.2.840.10008.5.1.4.1.1.2", "NO", "1"
            image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID = "1.2.3", "1.2.3.4", "1.2.3.4.5"
            image.save_as(tmp_path / "said")
        except Exception:
            ends["not written"] += 1
            continue
        ends[end_of(reader, tmp_path / "said", tmp_path)] += 1
    assert ends == OWN_PIXELS
