"""Images in an extract: of the cohort alone, under the study's pseudonyms, without faces, in the signed manifest."""

from __future__ import annotations

import io
import json
from datetime import date

import duckdb
import numpy as np
import pydicom
import pytest

from erios.checkout import PROJECT
from erios.errors import InputError, RefusedError
from erios.extracts.build import build
from erios.extracts.build_plan import BuildPlan
from erios.extracts.generalisation.columns import Terms
from erios.extracts.generalisation.dates import DatePolicy
from erios.extracts.manifest import Manifest, list_files, public_key, root_of, write_manifest
from erios.extracts.opening import Clearance, open_verified
from erios.extracts.specification import dump_specification, read_specification
from erios.governance.extract import Facts, State
from etl.dicom.archive import members
from etl.dicom.errors import SeriesRefusedError
from etl.dicom.rekeying import rekey
from etl.privacy import PseudonymKey, pseudonym
from etl.synthetic import generate
from experiments.errors import DataError
from experiments.images import load_series
from tests.imaging import Imaging, every_text, tables
from tests.inline import InlineRunner

STUDY_KEY = PseudonymKey("k1", b"s" * 32)
COLUMNS = ("series_uid_key", "study_uid_key", "labels_of_uid_key", "kind", "modality", "face_present", "voxels_sha256")


def study_key():
    return STUDY_KEY


def specification(form="images", cohort=None):
    choices = {name: {"why": "lésions"} for name in COLUMNS}
    choices["voxels_sha256"]["as"] = form
    raw = {"cohort": cohort or {"and": []}, "tables": {"dicom_series": choices}}
    return read_specification(raw, PROJECT / "conf" / "views")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """The images of two patients, one of them with a head."""
    home = tmp_path_factory.mktemp("loaded")
    generate(home / "out", 2, 5, imaging=2, workers=1)
    for path in home.glob("out/*.*json*"):
        if not path.name.startswith(("Patient", "ImagingStudy")):
            path.unlink()
    people = [json.loads(line) for line in (home / "out" / "Patient.000.ndjson").read_text().splitlines()]
    told = [json.dumps(one | {"gender": sex}) for one, sex in zip(people, ("female", "male"), strict=True)]
    (home / "out" / "Patient.000.ndjson").write_text("\n".join(told))
    imaging = Imaging(home)
    imaging.load(home / "out")
    return imaging


@pytest.fixture(scope="module")
def built(loaded, tmp_path_factory):
    """Builds an extract of it."""

    def build_it(form="images", cohort=None):
        folder = tmp_path_factory.mktemp("extract")
        wanted = specification(form, cohort)
        known = {table.name: table for table in tables()}
        plan = BuildPlan(folder, wanted, known, Terms(DatePolicy.SHIFTED, 2026), 2, 512, study_key)
        build(plan, loaded.release, InlineRunner())
        return folder

    return build_it


@pytest.fixture(scope="module")
def extract(built):
    """All images of everybody."""
    return built()


def rows(folder, query):
    with duckdb.connect() as sql:
        sql.execute(f"CREATE VIEW series AS FROM read_parquet('{folder}/data/dicom_series/*.parquet')")
        return sql.execute(query).fetchall()


def images(folder):
    return [pydicom.dcmread(io.BytesIO(one)) for path in sorted(folder.glob("images/*")) for one in members(path)]


def test_rows_name_the_files_that_came_along_and_no_head_is_among_them(extract):
    assert rows(
        extract, "SELECT kind, face_present, count(voxels_sha256), count(*) FROM series GROUP BY ALL ORDER BY ALL"
    ) == [
        ("labels", False, 2, 2),
        ("radiograph", False, 2, 2),
        ("volume", False, 2, 2),
        ("volume", True, 0, 1),
    ]
    named = {
        f"{row[0]}.zip" for row in rows(extract, "SELECT voxels_sha256 FROM series WHERE voxels_sha256 IS NOT NULL")
    }
    assert {path.name for path in extract.glob("images/*")} == named
    assert {image.RecognizableVisualFeatures for image in images(extract)} == {"NO"}


@pytest.mark.parametrize(
    ("form", "kinds"), [("images:volume", {"volume", "labels"}), ("images:radiograph", {"radiograph"})]
)
def test_a_form_takes_one_kind_of_images(built, form, kinds):
    found = rows(built(form), "SELECT DISTINCT kind FROM series WHERE voxels_sha256 IS NOT NULL")
    assert {row[0] for row in found} == kinds


def test_only_the_cohorts_images_come(built, loaded):
    ((woman,),) = loaded.rows("SELECT patient_key FROM patient WHERE gender = 'female'")
    folder = built(cohort={"sex": "female"})
    assert len(list(folder.glob("images/*"))) == 3
    assert {image.PatientID for image in images(folder)} == {pseudonym(STUDY_KEY, woman)}


def test_files_and_rows_join_under_the_studys_pseudonyms_and_not_with_the_warehouse(extract, loaded):
    keys = rows(extract, "SELECT patient_key, series_uid_key FROM series WHERE voxels_sha256 IS NOT NULL")
    found = {
        (image.PatientID, f"{int(image.SeriesInstanceUID.removeprefix('2.25.')):032x}") for image in images(extract)
    }
    assert found == set(keys)
    inside = {str(e.value) for image in loaded.images() for e in image.iterall() if e.VR == "UI"}
    outside = {str(e.value) for image in images(extract) for e in image.iterall() if e.VR == "UI"}
    assert {uid for uid in inside & outside if not uid.startswith("1.2.840.10008.")} == set()
    secret = [
        row[0] for row in loaded.rows("SELECT voxels_sha256 FROM dicom_series UNION SELECT patient_key FROM patient")
    ]
    assert not any(word.encode() in text for _, text in every_text(extract) for word in secret)
    assert {pseudonym(STUDY_KEY, row[0]) for row in loaded.rows("SELECT patient_key FROM patient")} == {
        k[0] for k in keys
    }


def test_labels_still_point_to_their_images(extract):
    made = images(extract)
    uids = {image.SOPInstanceUID for image in made if image.Modality == "CT"}
    for labels in (image for image in made if image.Modality == "SEG"):
        referenced = labels.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        assert {one.ReferencedSOPInstanceUID for one in referenced} <= uids


def test_a_head_is_refused_whoever_asks_for_it(loaded, tmp_path):
    (digest,) = loaded.rows("SELECT voxels_sha256 FROM dicom_series WHERE face_present")[0]
    path = next(path for path in loaded.voxel_files() if path.stem == digest)
    with pytest.raises(SeriesRefusedError, match="face"):
        rekey(path, tmp_path, STUDY_KEY, "p")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def signed(extract, keyring, settings):
    """The extract with its signed manifest."""
    from erios.keys import read_key

    key_id = read_key(keyring).key_id
    files = list_files(extract, {})
    manifest = Manifest(
        "E1", "S1", 1, "r000001", dump_specification(specification()), {}, key_id, "", "", files, root_of(files)
    )
    write_manifest(extract, manifest, keyring)
    facts = Facts(State.RELEASED, "asker", expires=date(2099, 1, 1))
    yield Clearance(facts, manifest.root, public_key(keyring, key_id), extract)
    for name in ("manifest.json", "manifest.sig"):
        (extract / name).unlink()


def test_the_manifest_covers_images_and_opening_verifies_them(signed):
    opened = open_verified("E1", signed)
    (digest, *_) = [
        row[0] for row in rows(signed.folder, "SELECT voxels_sha256 FROM series WHERE kind = 'volume' ORDER BY 1")
    ]
    path = opened.image(digest)
    assert {entry.path for entry in opened.manifest.files} >= {f"images/{digest}.zip"}
    with pytest.raises(RefusedError, match="no such image"):
        opened.image("0" * 64)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"x")
    with pytest.raises(InputError, match="was changed after it was signed"):
        open_verified("E1", signed)
    path.write_bytes(content)


def test_a_series_opens_as_arrays_with_spacing_and_labels(extract, loaded):
    series = load_series(str(extract))
    assert len(series) == 2
    for one in series:
        voxels = one.read()
        assert voxels.values.shape == (48, 64, 64)
        assert voxels.spacing == (5.0, 4.5, 4.5)
        assert voxels.labels is not None
        liver, lesion = 108, voxels.values[voxels.labels == 1]
        assert lesion.mean() == pytest.approx(48, abs=14)
        assert lesion.mean() < liver - 35
        assert np.median(voxels.values[0, 0]) < -900
    radiographs = load_series(str(extract), "radiograph")
    assert [one.read().values.shape for one in radiographs] == [(1, 128, 128)] * 2
    assert all(one.label_file is None for one in radiographs)


def test_an_extract_without_images_says_so(built):
    with pytest.raises(DataError, match="no images of kind volume"):
        load_series(str(built("images:radiograph")))


def test_a_voxel_file_cannot_be_had_as_it_is():
    with pytest.raises(InputError, match="cannot be had as 'keep'; forms: images, images:volume, images:radiograph"):
        specification("keep")


def test_the_form_survives_the_json_form():
    wanted = specification("images:volume")
    again = read_specification(json.loads(json.dumps(dump_specification(wanted))), PROJECT / "conf" / "views")
    assert again == wanted
