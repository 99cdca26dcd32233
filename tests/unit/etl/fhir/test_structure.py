"""The shape of a resource: names and JSON kinds, with reasons that name elements and no values."""

import json

import pyarrow as pa
import pytest

from erios.checkout import PROJECT
from etl.fhir.element_types import elements
from etl.fhir.structure import patient_links, resource_structure
from etl.ingest.reading import Chunk
from etl.ingest.resource_type_plans import type_plans
from etl.ingest.transform import ChunkTransform, TransformPlan
from etl.privacy import PseudonymKey
from etl.tables import load_tables


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
    assert resource_structure(resource).check_keys(names) == reason


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
    assert (
        resource_structure("Patient").check_text(json.dumps({"resourceType": "Patient", "id": "a", **more})) == reason
    )


def test_a_name_twice_at_depth_is_found():
    text = '{"resourceType":"Patient","id":"a","maritalStatus":{"text":"x","text":"y"}}'
    assert resource_structure("Patient").check_text(text) == "'text' appears twice in one object"


def test_the_patient_of_a_resource_is_its_subject_first():
    assert patient_links("Observation") == ("subject.getReferenceKey(Patient)",)


def _paths(known, structure, at=()):
    """Paths of the elements that views read, each with its element."""
    inside = structure[0] if isinstance(structure, list) else structure
    if isinstance(inside, dict):
        for name, part in inside.items():
            yield (*at, name), known[name]
            yield from _paths(known[name].parts(), part, (*at, name))


def _holding(known, path, value):
    """An object of a type with one element set, and the containers above it."""
    element = known[path[0]]
    if len(path) == 1:
        return {path[0]: value}
    inner = _holding(element.parts(), path[1:], value)
    return {path[0]: [inner] if element.is_list else inner}


def _item(element):
    """One value of the element's kind."""
    texts = {"instant": "2020-01-01T00:00:00Z", "time": "10:00:00"}
    return {"string": texts.get(element.type, "2020-01-01"), "number": 1, "boolean": True, "object": {}}[element.kind]


WRONG = {"string": "x", "number": 7, "boolean": True, "object": {"x": 1}, "list": ["x"]}


def _right_and_wrong(element):
    """(is it right, value) for an element: its own kind, every other, and for a list every other item, alone or not."""
    good = _item(element)
    yield True, [good] if element.is_list else good
    yield from ((False, v) for kind, v in WRONG.items() if kind != ("list" if element.is_list else element.kind))
    if element.is_list:
        for value in (v for kind, v in WRONG.items() if kind != element.kind):
            yield from ((False, items) for items in ([value], [good, value], [value, good], [None, value]))


@pytest.fixture(scope="module")
def plans():
    return type_plans(load_tables(PROJECT / "conf" / "views"))


def _reasons(plans, texts):
    table = {"file": ["f"] * len(texts), "line": range(len(texts)), "text": pa.array(texts, pa.large_string())}
    with ChunkTransform(TransformPlan(plans, 4, 1 << 20), PseudonymKey("k1", b"k" * 32)) as transform:
        transform.load(Chunk(pa.table(table)), 0)
        for resource in transform.types():
            transform.evaluate(resource)
        return [row[0] for row in transform.sql.execute("SELECT reason FROM doc ORDER BY line").fetchall()]


READ_TYPES = sorted({table.view.resource for table in load_tables(PROJECT / "conf" / "views")})


@pytest.mark.parametrize("resource", READ_TYPES)
def test_no_element_that_a_view_reads_is_lost_without_a_word(plans, resource):
    """Every element of the structures, set to every wrong kind, ends with a reason; set to its own, with none."""
    known = elements(resource)
    cases = [
        (".".join(path), right, _holding(known, path, value))
        for path, element in _paths(known, plans[resource].structure)
        if path != ("id",)
        for right, value in _right_and_wrong(element)
    ]
    reasons = _reasons(plans, [json.dumps({"resourceType": resource, "id": "a", **body}) for _, _, body in cases])
    assert len(cases) > 20
    assert [(case, reason) for case, reason in zip(cases, reasons, strict=True) if case[1] != (reason is None)] == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"resourceType":"Patient","id":"a","active":NaN}', "the line is not valid JSON"),
        ('{"resourceType":"Patient","id":"a","active":true,}', "the line is not valid JSON"),
        ('{"resourceType":"Patient","id":"a","_active":true}', "Patient._active must be a JSON object"),
        ('{"resourceType":"Patient","id":"a","active":null}', "Patient.active must be a JSON boolean"),
        ('{"resourceType":"Patient","id":"a","name":[{"given":[null],"_given":[{"id":"x"}]}]}', None),
        ('{"resourceType":"Patient","id":"a","photo":[{"size":1e999}]}', None),
    ],
)
def test_what_json_forgives_is_looked_at(plans, text, reason):
    assert _reasons(plans, [text]) == [reason]


def test_a_wrong_text_does_not_spoil_its_neighbours(plans):
    right, wrong = ({"resourceType": "Patient", "id": "a", "active": value} for value in (True, "yes"))
    reasons = _reasons(plans, [json.dumps(body) for body in (right, wrong, right, wrong)])
    assert reasons == [None, "Patient.active must be a JSON boolean"] * 2
