"""The records are valid FHIR R4, point to each other, and show the shapes that a real export shows."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

_NAMES = """
AllergyIntolerance Condition DiagnosticReport DocumentReference Encounter ImagingStudy Immunization Location
Medication MedicationAdministration MedicationDispense MedicationRequest MedicationStatement Observation
Organization Patient Practitioner PractitionerRole Procedure Specimen
"""
KINDS = _NAMES.split()


def walk(value: Any):
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


def test_every_type_of_the_hospital_is_there(resources):
    assert sorted(resources) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_of_each_type_is_valid_r4(resources, kind):
    of_type = resources[kind]
    for resource in of_type[:: max(1, len(of_type) // 60)]:
        get_fhir_model_class(kind).model_validate(resource)


def test_ids_are_unique_and_every_literal_reference_resolves(resources):
    targets = {f"{kind}/{one['id']}" for kind, of_type in resources.items() for one in of_type}
    assert len(targets) == sum(map(len, resources.values()))
    for of_type in resources.values():
        for resource in of_type:
            inner = {f"#{one['id']}" for one in resource.get("contained", ())}
            for part in walk(resource):
                if "reference" in part:
                    target = part["reference"]
                    assert target in targets or target in inner


def test_references_by_identifier_name_a_practitioner_or_patient_of_the_export(resources):
    numbers = {
        (kind, one["system"], one["value"])
        for kind in ("Practitioner", "Patient")
        for resource in resources[kind]
        for one in resource["identifier"]
    }
    logical = [
        (part["type"], part["identifier"]["system"], part["identifier"]["value"])
        for of_type in resources.values()
        for resource in of_type
        for part in walk(resource)
        if "identifier" in part and "type" in part and isinstance(part["type"], str)
    ]
    assert {kind for kind, _, _ in logical} == {"Practitioner", "Patient"}
    assert set(logical) <= numbers


def test_movements_lie_within_their_stay(resources):
    stays = {f"Encounter/{one['id']}": one for one in resources["Encounter"]}
    movements = [one for one in resources["Encounter"] if "partOf" in one]
    assert len(movements) > 100
    for movement in movements:
        stay = stays[movement["partOf"]["reference"]]
        assert stay["subject"]["reference"] == movement["subject"]["reference"]
        assert movement["period"].get("end", "9") <= stay["period"].get("end", "9")
    assert {one["class"]["code"] for one in resources["Encounter"]} == {"IMP", "EMER", "AMB"}


def test_values_come_in_every_kind(resources):
    kinds = {name for one in resources["Observation"] for name in one if name.startswith("value")}
    assert kinds == {"valueQuantity", "valueCodeableConcept", "valueString", "valueBoolean", "valueInteger"}
    assert any(len(one.get("component", ())) == 2 for one in resources["Observation"])


def test_interpretation_agrees_with_the_reference_range(resources):
    for one in resources["Observation"]:
        if "referenceRange" not in one or "valueQuantity" not in one:
            continue
        limits, value = one["referenceRange"][0], one["valueQuantity"]["value"]
        low = "low" in limits and value < limits["low"]["value"]
        high = "high" in limits and value > limits["high"]["value"]
        wanted = "L" if low else "H" if high else "N"
        assert one["interpretation"][0]["coding"][0]["code"] == wanted


def test_dates_are_partial_at_times_and_times_carry_the_zone_of_paris(resources):
    onsets = {len(one["onsetDateTime"]) for one in resources["Condition"] if "onsetDateTime" in one}
    assert onsets == {4, 7, 10}
    zones = {one["meta"]["lastUpdated"][-6:] for one in resources["Observation"]}
    assert zones == {"+01:00", "+02:00"}
    for one in resources["Observation"]:
        month, zone = int(one["effectiveDateTime"][5:7]), one["effectiveDateTime"][-6:]
        if month in (12, 1, 2, 6, 7, 8):
            assert zone == ("+01:00" if month in (12, 1, 2) else "+02:00")


def test_letters_name_the_patient_the_doctors_and_a_phone(resources):
    people = {f"Patient/{one['id']}": one for one in resources["Patient"]}
    for one in resources["DocumentReference"]:
        attachment = one["content"][0]["attachment"]
        raw = b64decode(attachment["data"])
        text = raw.decode()
        person = people[one["subject"]["reference"]]
        assert len(raw) == attachment["size"]
        assert person["name"][-1]["family"].upper() in text
        assert person["identifier"][-1]["value"] in text
        assert re.search(r"Tél\. (\+33 )?[\d. ]{9,}", text)
        assert "Dr " in text


def test_some_resources_travel_inside_others(resources):
    inner = {
        (kind, one["resourceType"])
        for kind, of_type in resources.items()
        for resource in of_type
        for one in resource.get("contained", ())
    }
    assert inner >= {
        ("MedicationRequest", "Medication"),
        ("DiagnosticReport", "Specimen"),
        ("DocumentReference", "Practitioner"),
    }


def test_the_dead_have_a_date_after_their_birth(resources):
    dead = [one for one in resources["Patient"] if "deceasedDateTime" in one]
    assert dead
    assert all(one["deceasedDateTime"][:4] >= one["birthDate"][:4] for one in dead)
    assert any("deceasedBoolean" in one for one in resources["Patient"])
