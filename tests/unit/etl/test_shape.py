"""The shape of a resource: names and JSON kinds, with reasons that name elements and no values."""

import json

import pytest

from etl.shape import patient_links, shape_of


@pytest.mark.parametrize(
    ("resource", "names", "reason"),
    [
        ("Patient", ["id", "gender"], None),
        ("Patient", ["id", "id"], "'id' appears twice in one object"),
        ("Patient", ["_birthDate"], None),
        ("Patient", ["animal"], "'animal' is not an element of Patient in FHIR R4; STU3 has it: export as FHIR R4"),
        (
            "Encounter",
            ["actualPeriod"],
            "'actualPeriod' is not an element of Encounter in FHIR R4; R5 has it: export as FHIR R4",
        ),
        ("Patient", ["Jean Martin"], "an element is not an element of Patient in FHIR R4"),
    ],
)
def test_names_are_checked(resource, names, reason):
    assert shape_of(resource).check_keys(names) == reason


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, None),
        ({"active": "yes"}, "Patient.active must be a JSON boolean"),
        ({"name": {"family": "x"}}, "Patient.name must be a JSON array"),
        ({"name": [{"given": "x"}]}, "Patient.name.given must be a JSON array"),
        ({"maritalStatus": []}, "Patient.maritalStatus must be a JSON object"),
    ],
)
def test_kinds_are_checked_at_any_depth(more, reason):
    assert shape_of("Patient").check_text(json.dumps({"resourceType": "Patient", "id": "a", **more})) == reason


def test_a_name_twice_at_depth_is_found():
    text = '{"resourceType":"Patient","id":"a","maritalStatus":{"text":"x","text":"y"}}'
    assert shape_of("Patient").check_text(text) == "'text' appears twice in one object"


def test_the_patient_of_a_resource_is_its_subject_first():
    assert patient_links("Observation") == ("subject.getReferenceKey(Patient)",)
