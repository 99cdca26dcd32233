"""A specification: its JSON form, each sentence for what is not as it must be, and what lies beyond the approval."""

from __future__ import annotations

import json
from typing import Any

import pytest

from erios.checkout import PROJECT
from erios.errors import InputError
from erios.extracts.specification import beyond, difference, dump_specification, from_proposal, read_specification

VIEWS = PROJECT / "conf" / "views"
BASE: dict[str, Any] = {
    "cohort": {"diagnosis": {"codes": ["I50"]}},
    "dates": "month",
    "destination": "cluster",
    "tables": {"patient": {"gender": "known", "birth_date": {"why": "age", "as": "years:5"}}},
}
CONTENT = {
    "cohort": {"and": [{"diagnosis": {"codes": ["I50"]}}]},
    "data": [{"table": "patient", "columns": [{"name": "gender", "why": "x"}, {"name": "birth_date", "why": "x"}]}],
}


def test_a_specification_is_read_back_as_it_was_written() -> None:
    specification = read_specification(json.dumps(BASE), VIEWS)

    assert read_specification(dump_specification(specification), VIEWS) == specification
    assert specification.columns()["patient.patient_key"].form == "study-key"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tables": {}}, "tables: an extract needs at least one table"),
        ({"tables": []}, "tables: must be an object"),
        ({"tables": {"x": {}}}, "tables: no table 'x' in the warehouse; tables: "),
        ({"tables": {"patient": {"x": "y"}}}, "tables.patient.x: no such column; docs/warehouse.md lists them"),
        ({"tables": {"patient": {"gender": ""}}}, "tables.patient.gender: needs a 'why', and may have an 'as'"),
        ({"tables": {"patient": {"gender": {"why": "y", "for": "z"}}}}, "tables.patient.gender: needs a 'why'"),
        ({"tables": {"patient": {"gender": 3}}}, "tables.patient.gender: must be an object"),
        ({"tables": {"patient": {"gender": {"why": "y", "as": "year"}}}}, "patient.gender cannot be had as 'year'"),
        ({"clock": "minute"}, "clock: one of day, part, hour"),
        ({"clock": {"as": "part", "x": 1}}, "clock: one of day, part, hour"),
        ({"clock": "hour"}, "clock: the hour of an event leaves only with its 'why'"),
        ({"dates": "day"}, "dates: one of exact, shifted, blocks, month, year"),
        ({"destination": "x" * 201}, "destination: a text of at most 200 characters"),
        ({"cohort": {"sex": "x"}}, "cohort.sex: 'x' is not one of"),
        (
            {"more": 1},
            "a specification has the fields clock, cohort, dates, destination, sample, stays, suppress_under, tables",
        ),
        ({"sample": 0}, "sample: a whole number from 1 to 99, or null for all of the patients"),
        ({"sample": True}, "sample: a whole number from 1 to 99"),
        ({"sample": 100}, "sample: a whole number from 1 to 99"),
        ({"suppress_under": 1}, "suppress_under: a whole number from 2 to 1000000, or null for no suppression"),
        ({"suppress_under": "11"}, "suppress_under: a whole number from 2"),
        ({"stays": 1.5}, "stays: a whole number from 1 to 1000, or null for all"),
        (
            {"tables": {"condition": {"code": "x", "code_icd10": {"why": "x", "as": "chapter"}}}},
            "tables.condition: code tells what code_icd10 as 'chapter' hides",
        ),
    ],
)
def test_what_is_not_as_it_must_be_is_one_sentence(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as refusal:
        read_specification({**BASE, **change}, VIEWS)

    assert sentence in str(refusal.value)


@pytest.mark.parametrize("raw", ["{", "[]", {"cohort": {}}, 3])
def test_what_is_no_specification_names_the_page(raw: Any) -> None:
    with pytest.raises(InputError, match=r"docs/extracts\.md shows the form"):
        read_specification(raw, VIEWS)


def test_columns_and_cohorts_beyond_the_approval_are_named() -> None:
    more = {**BASE, "cohort": {"sex": "female"}, "tables": {"patient": {"gender": "x", "departement": "y"}}}

    assert beyond(read_specification(BASE, VIEWS), CONTENT) == ()
    assert beyond(read_specification(more, VIEWS), CONTENT) == ("cohort", "patient.departement")
    assert beyond(read_specification(from_proposal(CONTENT), VIEWS), CONTENT) == ()


def test_a_difference_has_a_line_for_each_change() -> None:
    old = read_specification(BASE, VIEWS)
    columns = {"gender": "other", "departement": {"why": "z", "as": "region"}}
    new = {**BASE, "dates": "year", "sample": 50, "suppress_under": 11, "tables": {"patient": columns}}

    assert difference(None, old) == []
    assert difference(old, old) == []
    lines = difference(old, read_specification(new, VIEWS))
    assert len(lines) == 6
    assert any(line.endswith("tous → 50") for line in lines)
    assert any(line.endswith("tous → 11") for line in lines)
