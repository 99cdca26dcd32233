"""The quick check of shapes against the close look: what the second refuses, the first never lets pass."""

from __future__ import annotations

import json

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from etl.fhir.element_types import elements
from etl.fhir.resource_types import RESOURCE_TYPES
from etl.fhir.structure import resource_structure

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "code", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)
MODELLED = sorted(name for name in RESOURCE_TYPES if elements(name))


@st.composite
def bodies(draw, known, depth=0):
    """An object of a type with a few elements: right containers around any JSON at all."""
    body = {}
    for name in draw(st.lists(st.sampled_from(sorted(known)), min_size=1, max_size=2, unique=True)):
        element = known[name]
        inside = element.parts() if depth < 3 else {}
        value = draw(bodies(inside, depth + 1) if inside and draw(st.booleans()) else JSON)
        body[name] = [value] if element.is_list and draw(st.booleans()) else value
    return body


@given(st.data())
def test_what_the_close_look_refuses_is_a_suspect(data):
    shape = resource_structure(data.draw(st.sampled_from(MODELLED)))
    text = json.dumps(data.draw(bodies(elements(shape.resource))))
    reason = shape.check_text(text)
    suspects = list(shape.json_types.suspects(pa.array([text])))
    assert reason is None or suspects == [0]
