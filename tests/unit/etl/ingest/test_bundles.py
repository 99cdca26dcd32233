"""Bundles and contained resources come apart with canonical references, byte for byte."""

import json

import pytest

from etl.ingest.bundles import expand, standing_alone, without_parts

CONTAINER = (
    b'{"resourceType":"Claim","id":"7","contained":[{"resourceType":"Organization","id":"o1"}],'
    b'"insurer":{"reference":"#o1"},"total":{"value":1.10}}'
)


def test_a_plain_resource_is_itself():
    text = b'{"resourceType":"Patient","id":"a","x":1.10}'
    assert [(doc.part, doc.text) for doc in expand(text)] == [("", text)]


def test_a_contained_resource_gets_a_deterministic_key_and_its_parent_points_to_it():
    parent, inner = expand(CONTAINER)
    assert (inner.part, inner.given_id) == ("contained[0]", "Claim/7#o1")
    assert b'"insurer":{"reference":"Organization/Claim/7#o1"},"total":{"value":1.10}' in parent.text


def test_urn_references_become_those_of_the_resource():
    bundle = (
        b'{"resourceType":"Bundle","entry":['
        b'{"fullUrl":"urn:uuid:1","resource":{"resourceType":"Patient","id":"a"}},'
        b'{"fullUrl":"urn:uuid:2","resource":{"resourceType":"Encounter","subject":{"reference":"urn:uuid:1"}}}]}'
    )
    first, second = expand(bundle)
    assert (first.part, first.given_id) == ("entry[0]", "a")
    assert (second.given_id, b'"reference":"Patient/a"' in second.text) == ("2", True)


def test_an_entry_that_deletes_names_its_resource():
    bundle = b'{"resourceType":"Bundle","entry":[{"request":{"method":"DELETE","url":"Patient/a"}}]}'
    assert [(doc.action, doc.type, doc.given_id) for doc in expand(bundle)] == [("delete", "Patient", "a")]


def test_what_is_not_json_comes_back_whole():
    assert [doc.text for doc in expand(b'{"resourceType":"Bundle"')] == [b'{"resourceType":"Bundle"']


INNER = (
    '{"resourceType":"Claim","id":"7","total":1.10,'
    '"contained":[{"resourceType":"Patient","id":"p"}, {"resourceType":"Patient"}]}'
)
NESTED = (
    '{"resourceType":"Bundle","entry":[ {"resource": {"resourceType":"Patient","id":"é","x":1.10}},'
    '{"fullUrl":"x","resource":' + INNER + '}, {"resource":{"resourceType":"Bundle","entry":[{"a":1.0},{"b":2}]}}]}'
).encode()


@pytest.mark.parametrize(
    ("parts", "gone"),
    [
        (["entry[0]"], ['{"resource": {"resourceType":"Patient","id":"é","x":1.10}}']),
        (["entry[1].contained[0]"], ['{"resourceType":"Patient","id":"p"}']),
        (["entry[1]", "entry[1].contained[0]"], ['{"fullUrl":"x","resource":' + INNER + "}"]),
        (["entry[2].entry[1]", "entry[2].entry[0]"], ['{"a":1.0}', '{"b":2}']),
    ],
)
def test_erased_parts_leave_blanks_of_their_length_and_every_other_byte(parts, gone):
    wanted = NESTED
    for text in map(str.encode, gone):
        wanted = wanted.replace(text, b"null".ljust(len(text)))
    assert without_parts(NESTED, parts) == wanted
    json.loads(wanted)


def test_what_follows_an_erased_part_keeps_its_place():
    before = {doc.part: doc.text for doc in expand(NESTED)}
    after = {doc.part: doc.text for doc in expand(without_parts(NESTED, ["entry[0]", "entry[1].contained[0]"]))}
    assert before.keys() - after.keys() == {"entry[0]", "entry[1].contained[0]"}
    assert after["entry[2].entry[1]"] == before["entry[2].entry[1]"]


@pytest.mark.parametrize(
    "entry", ['{"fullUrl":"urn:uuid:1"}', '{"request":{"method":"DELETE","url":"Patient?name=x"}}', "{}"]
)
def test_an_entry_that_cannot_be_used_stands_alone_as_it_was(entry):
    (doc,) = expand(f'{{"resourceType":"Bundle","entry":[{entry}]}}'.encode())
    assert doc.text == entry.encode()
    (again,) = expand(standing_alone(doc))
    assert (again.reason, again.text) == (doc.reason, doc.text)
    assert doc.reason
