"""The form of criteria keeps every documented criterion: through its rows, and through a page that is posted back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from erios.extracts.criteria import canonical_json, parse, steps
from erios.portal.criteria_form import criteria_of, rows_from
from tests.property.test_criteria import any_criterion
from tests.sampling import examples
from tests.unit.erios.extracts.test_criteria import EXAMPLES

BARE: list[dict[str, Any]] = [
    {"sex": "other"},
    {"sex": ["female", "other"]},
    {"age": {"min": 18, "at": "2026-01-01"}},
    {"stay": {"class": "IMP"}},
    {"stay": {"class": ["IMP", "EMER"], "to": "2023-12-31"}},
    {"treatment": {"atc": "A10", "via": ["administration"]}},
    {"diagnosis": {"codes": "e11.9"}},
    {"laboratory": {"loinc": "718-7"}},
    {"not": {"not": {"sex": "male"}}},
    {"and": []},
    {"and": [{"and": [{"sex": "male"}, {"stay": {}}]}]},
    {"or": [{"stay": {}}, {"within": {"event": {"stay": {}}, "days": 3, "of": {"stay": {"class": "EMER"}}}}]},
    {"or": [{"and": [{"sex": "male"}]}, {"not": {"or": [{"sex": "female"}, {"stay": {}}]}}]},
]


@st.composite
def criteria(draw: Any) -> dict[str, Any]:
    """Generated criteria, with bare forms and those that rows cannot say among their leaves."""
    choose: Callable[[list[Any]], Any] = lambda options: draw(st.sampled_from(options))  # noqa: E731
    value: dict[str, Any] = any_criterion(choose, choose([0, 1, 2, 3]))
    whole: dict[str, Any] = choose(
        [value, {"and": [value, choose(BARE)]}, {"or": [choose(BARE), value]}, {"not": value}]
    )
    return whole


@settings(max_examples=examples(300))
@given(value=criteria())
@example(value={"and": [*BARE]})
def test_rows_give_back_the_same_criteria(value: dict[str, Any]) -> None:
    again = parse(criteria_of(rows_from(value)))
    assert canonical_json(again) == canonical_json(parse(value))
    assert [canonical_json(step) for step in steps(again)] == [canonical_json(step) for step in steps(parse(value))]


@pytest.mark.parametrize("value", [*BARE, *map(json.loads, EXAMPLES)], ids=str)
def test_a_documented_form_is_kept(value: dict[str, Any]) -> None:
    assert canonical_json(parse(criteria_of(rows_from(value)))) == canonical_json(parse(value))
