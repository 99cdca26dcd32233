"""Boundaries of dates and decimals, and the order of repeat, against slow and obvious Python."""

from __future__ import annotations

import calendar
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from etl.views import compile_view
from etl.views.run import fetch_rows, open_duckdb
from tests.sampling import examples

CONNECTION = open_duckdb(threads=1)
DATES = compile_view(
    {
        "name": "dates",
        "resource": "Observation",
        "select": [
            {
                "column": [
                    {"name": "low", "path": "value.ofType(dateTime).lowBoundary()"},
                    {"name": "high", "path": "value.ofType(dateTime).highBoundary()"},
                ]
            }
        ],
    }
)
DECIMALS = compile_view(
    {
        "name": "decimals",
        "resource": "Observation",
        "select": [
            {
                "column": [
                    {"name": "low", "path": "value.ofType(Quantity).value.lowBoundary()"},
                    {"name": "high", "path": "value.ofType(Quantity).value.highBoundary()"},
                ]
            }
        ],
    }
)
ITEMS = compile_view(
    {
        "name": "items",
        "resource": "QuestionnaireResponse",
        "select": [
            {
                "repeat": ["item"],
                "column": [{"name": "at", "path": "%rowIndex"}, {"name": "link", "path": "linkId"}],
            }
        ],
    }
)


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, str, str]:
    """A dateTime of any precision with its boundaries, written part by part."""
    year, month = draw(st.integers(1900, 2100)), draw(st.integers(1, 12))
    last = calendar.monthrange(year, month)[1]
    day = draw(st.integers(1, last))
    match draw(st.sampled_from(["year", "month", "day", "minute"])):
        case "year":
            return f"{year}", f"{year}-01-01T00:00:00.000+14:00", f"{year}-12-31T23:59:59.999-12:00"
        case "month":
            text = f"{year}-{month:02}"
            return text, f"{text}-01T00:00:00.000+14:00", f"{text}-{last:02}T23:59:59.999-12:00"
        case "day":
            text = f"{year}-{month:02}-{day:02}"
            return text, f"{text}T00:00:00.000+14:00", f"{text}T23:59:59.999-12:00"
    text, zone = f"{year}-{month:02}-{day:02}T{draw(st.integers(0, 23)):02}:30", draw(st.sampled_from(["Z", "+02:00"]))
    return text + zone, f"{text}:00.000{zone}", f"{text}:59.999{zone}"


@given(moments())
@settings(max_examples=examples(60))
def test_boundaries_of_a_date_time(moment: tuple[str, str, str]) -> None:
    text, low, high = moment
    record = json.dumps({"resourceType": "Observation", "valueDateTime": text})

    assert fetch_rows(CONNECTION, DATES, [record]) == [(low, high)]


@given(st.decimals(min_value=-100_000, max_value=100_000, places=4), st.integers(0, 4))
@settings(max_examples=examples(60))
def test_boundaries_of_a_decimal_are_half_its_last_digit_away(number: Decimal, places: int) -> None:
    written = round(number, places)
    half = Decimal(5).scaleb(-places - 1)
    record = f'{{"resourceType": "Observation", "valueQuantity": {{"value": {written:f}}}}}'

    assert fetch_rows(CONNECTION, DECIMALS, [record]) == [(written - half, written + half)]


forms: st.SearchStrategy[list[dict[str, Any]]] = st.recursive(
    st.just([]), lambda below: st.lists(st.builds(lambda items: {"item": items}, below), max_size=3), max_leaves=8
)


def numbered(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """All items, parents before children."""
    for item in items:
        yield item
        yield from numbered(item.get("item", []))


@given(forms)
@settings(max_examples=examples(8))
def test_repeat_visits_parents_before_children(form: list[dict[str, Any]]) -> None:
    record = json.loads(json.dumps({"resourceType": "QuestionnaireResponse", "item": form}))
    for number, item in enumerate(numbered(record["item"])):
        item["linkId"] = str(number)
    expected = [(number, str(number)) for number, _ in enumerate(numbered(record["item"]))]

    assert sorted(fetch_rows(CONNECTION, ITEMS, [json.dumps(record)])) == expected
