"""Whether an image may show a face: whatever is not known to show none is taken for one that does."""

from __future__ import annotations

import pytest
from pydicom import Dataset

from erios.checkout import PROJECT
from etl.dicom.confidentiality_profile import RADIOGRAPH, VOLUME, Profile, read_profile
from etl.dicom.deidentification import may_show_face


@pytest.fixture(scope="module")
def profile() -> Profile:
    return read_profile(PROJECT / "conf" / "dicom.toml")


@pytest.mark.parametrize("body_part", [None, "", " ", "HEAD", "BRAIN", "WHOLEBODY", "SOMETHING NEW"])
def test_a_volume_of_an_unknown_body_part_may_show_a_face(profile: Profile, body_part: str | None) -> None:
    dataset = Dataset()
    if body_part is not None:
        dataset.BodyPartExamined = body_part

    assert may_show_face(dataset, VOLUME, profile)


@pytest.mark.parametrize("body_part", ["CHEST", "CHEST ", "PELVIS"])
def test_a_volume_of_a_part_without_a_face_shows_none(profile: Profile, body_part: str) -> None:
    dataset = Dataset()
    dataset.BodyPartExamined = body_part

    assert not may_show_face(dataset, VOLUME, profile)


@pytest.mark.parametrize("name", ["StudyDescription", "SeriesDescription", "ProtocolName"])
def test_a_word_of_the_head_in_a_description_outweighs_the_body_part(profile: Profile, name: str) -> None:
    dataset = Dataset()
    dataset.BodyPartExamined = "CHEST"
    setattr(dataset, name, f"scan {profile.face_words[0].strip().upper()} and chest")

    assert may_show_face(dataset, VOLUME, profile)


def test_a_radiograph_shows_no_face_that_anybody_recognises(profile: Profile) -> None:
    assert not may_show_face(Dataset(), RADIOGRAPH, profile)
