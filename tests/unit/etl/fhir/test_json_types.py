"""The typed decoders: every text whose JSON kinds are not FHIR's is a suspect, whatever stands around it."""

import pickle

import pyarrow as pa
import pytest

from etl.fhir.element_types import elements
from etl.fhir.json_types import json_types
from etl.fhir.resource_types import RESOURCE_TYPES


def _suspects(resource, *texts):
    return list(json_types(resource).suspects(pa.array(texts, pa.string())))


def test_wrong_kinds_are_found_by_their_place():
    right, wrong = '{"active":true,"name":[{"family":"é"}]}', '{"active":"oui"}'
    assert _suspects("Patient", right, wrong, right, wrong, "{") == [1, 3, 4]
    assert _suspects("Patient") == []


def test_a_slice_of_an_array_is_read_where_it_lies():
    texts = pa.array(["{", "{}", '{"active":1}', "{}", "{"], pa.string())
    assert list(json_types("Patient").suspects(texts.slice(1, 3))) == [1]


@pytest.mark.parametrize(
    ("resource", "text", "suspect"),
    [
        ("Observation", '{"code":{"coding":[{"code":"x"}]}}', False),
        ("Observation", '{"code":"x"}', True),
        ("Observation", '{"code":{"coding":[{"code":{}}]}}', True),
        ("Observation", '{"subject":{"identifier":[{"value":"x"}]}}', True),
        ("Patient", '{"identifier":[{"value":"x"}]}', False),
        ("Patient", '{"name":[{"given":["a",7]}]}', True),
        ("Patient", '{"name":[{"given":["a",null]}]}', False),
        ("Patient", '{"extension":[{"extension":[{"valueString":[]}]}]}', True),
        ("Encounter", '{"class":{"code":"AMB"}}', False),
        ("Claim", '{"contained":[{"resourceType":"Patient","active":"oui"}]}', False),
        ("Claim", '{"contained":["x"]}', True),
        ("Patient", '{"unknown":[1,{"x":"y"}]}', False),
        ("Patient", '{"multipleBirthInteger":1.5}', False),
        ("Patient", "[]", True),
        ("Patient", '{"extension":' + "[" * 10_000 + "]" * 10_000 + "}", True),
    ],
)
def test_the_same_name_has_the_kind_of_its_place(resource, text, suspect):
    assert _suspects(resource, text) == [0] * suspect


@pytest.mark.parametrize("resource", sorted(RESOURCE_TYPES))
def test_every_resource_type_has_a_decoder(resource):
    assert _suspects(resource, "{}", '{"id":7}') == ([1] if elements(resource) else [])


def test_kinds_read_the_same_after_their_way_to_a_task():
    kinds = pickle.loads(pickle.dumps(json_types("Observation")))
    assert list(kinds.suspects(pa.array(['{"code":"x"}']))) == [0]


def test_types_that_resources_share_travel_once():
    both, one = (
        len(pickle.dumps([json_types(name) for name in names])) for names in (["Patient", "Person"], ["Person"])
    )
    assert both < 1.5 * one
