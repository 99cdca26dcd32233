"""Bundles and contained resources come apart with canonical references, byte for byte."""

from etl.bundles import expand

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
