"""What views mean, as a table: each case is a view over a few records and the rows that come of it.

The cases follow the sections of the standard (SQL on FHIR v2); the records are the tests' own.
"""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from etl.views import ViewError, compile_view
from etl.views.compiled_view import MAX_DEPTH
from etl.views.run import fetch_rows, open_duckdb

ANNA = {
    "resourceType": "Patient",
    "id": "anna",
    "active": True,
    "birthDate": "1970-06",
    "_birthDate": {"extension": [{"url": "urn:time", "valueDateTime": "1970-06-01T10:00:00Z"}]},
    "multipleBirthInteger": 2,
    "name": [{"family": "S", "given": ["J", "K"], "use": "official"}, {"family": "T", "given": ["L"]}],
    "contact": [
        {"name": {"family": "C"}, "telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "2"}]},
        {"name": {"family": "D"}, "telecom": [{"system": "phone", "value": "3"}]},
    ],
    "link": [{"other": {"reference": "Patient/anna"}}],
}
BERT = {
    "resourceType": "Patient",
    "id": "bert",
    "name": [{"family": "B"}],
    "link": [{"other": {"reference": "Patient/x"}}],
}
CARL = {"resourceType": "Patient", "id": "carl"}
PATIENTS = [ANNA, BERT, CARL]
FORM = {
    "resourceType": "QuestionnaireResponse",
    "id": "form",
    "item": [
        {
            "linkId": "1",
            "item": [
                {"linkId": "1.1", "answer": [{"valueString": "a", "item": [{"linkId": "1.1.1"}]}, {"valueDecimal": 2}]},
                {"linkId": "1.2", "item": [{"linkId": "1.2.1"}]},
            ],
        },
        {"linkId": "2"},
    ],
}


def columns(**paths: str) -> list[dict[str, str]]:
    return [{"name": name, "path": path} for name, path in paths.items()]


def rows(view: dict[str, Any], records: list[Any]) -> list[tuple[Any, ...]]:
    """The rows of a view; a record is given as JSON text where its digits matter."""
    texts = [record if isinstance(record, str) else json.dumps(record) for record in records]
    with open_duckdb(threads=1) as connection:
        return fetch_rows(connection, compile_view({"name": "case", **view}), texts)


def counted(actual: list[tuple[Any, ...]]) -> Counter[str]:
    return Counter(map(repr, actual))


ITERATION = {
    "forEach gives one row an item, and none without items": (
        [{"column": columns(id="id")}, {"forEach": "name", "column": columns(family="family", at="%rowIndex")}],
        [("anna", "S", 0), ("anna", "T", 1), ("bert", "B", 0)],
    ),
    "forEachOrNull keeps the record without items, at index 0": (
        [{"column": columns(id="id")}, {"forEachOrNull": "name", "column": columns(family="family", at="%rowIndex")}],
        [("anna", "S", 0), ("anna", "T", 1), ("bert", "B", 0), ("carl", None, 0)],
    ),
    "%rowIndex of the record itself is 0": (
        [{"column": columns(id="id", at="%rowIndex")}],
        [("anna", 0), ("bert", 0), ("carl", 0)],
    ),
    "each level of nesting counts for itself": (
        [
            {
                "forEach": "contact",
                "column": columns(i="%rowIndex", family="name.family"),
                "select": [{"forEach": "telecom", "column": columns(j="%rowIndex", value="value")}],
            }
        ],
        [(0, "C", 0, "1"), (0, "C", 1, "2"), (1, "D", 0, "3")],
    ),
    "forEachOrNull inside forEach": (
        [
            {
                "forEach": "name",
                "column": columns(family="family"),
                "select": [{"forEachOrNull": "given", "column": columns(given="$this", at="%rowIndex")}],
            }
        ],
        [("S", "J", 0), ("S", "K", 1), ("T", "L", 0), ("B", None, 0)],
    ),
    "forEach over a list of primitives, $this is the item": (
        [{"forEach": "name.given", "column": columns(given="$this", at="%rowIndex")}],
        [("J", 0), ("K", 1), ("L", 2)],
    ),
    "forEach over an element that occurs once": (
        [{"forEach": "name.where(use = 'official').first()", "column": columns(family="family", at="%rowIndex")}],
        [("S", 0)],
    ),
    "siblings are crossed": (
        [
            {"forEach": "name", "column": columns(family="family", i="%rowIndex")},
            {"forEachOrNull": "contact", "column": columns(contact="name.family", j="%rowIndex")},
        ],
        [("S", 0, "C", 0), ("S", 0, "D", 1), ("T", 1, "C", 0), ("T", 1, "D", 1), ("B", 0, None, 0)],
    ),
    "unionAll concatenates, and each branch counts for itself": (
        [
            {
                "unionAll": [
                    {"forEach": "name", "column": columns(at="%rowIndex", family="family")},
                    {"forEach": "contact", "column": columns(at="%rowIndex", family="name.family")},
                ]
            }
        ],
        [(0, "S"), (1, "T"), (0, "C"), (1, "D"), (0, "B")],
    ),
    "a branch without iteration has the index around it": (
        [
            {
                "forEach": "contact",
                "column": columns(i="%rowIndex"),
                "select": [
                    {
                        "unionAll": [
                            {"forEach": "telecom", "column": columns(j="%rowIndex", text="value")},
                            {"column": columns(j="%rowIndex", text="name.family")},
                        ]
                    }
                ],
            }
        ],
        [(0, 0, "1"), (0, 1, "2"), (0, 0, "C"), (1, 0, "3"), (1, 1, "D")],
    ),
    "a union crossed with its sibling": (
        [
            {"forEach": "contact", "column": columns(contact="name.family")},
            {"unionAll": [{"forEach": "name", "column": columns(x="family")}, {"column": columns(x="id")}]},
        ],
        [(contact, x) for contact in "CD" for x in ("S", "T", "anna")],
    ),
    "a union in a union": (
        [
            {
                "unionAll": [
                    {"unionAll": [{"forEach": "name", "column": columns(x="family")}, {"column": columns(x="id")}]},
                    {"forEach": "contact", "column": columns(x="name.family")},
                ]
            }
        ],
        [(x,) for x in ("S", "T", "B", "C", "D", "anna", "bert", "carl")],
    ),
    "columns stand in the order of the definition": (
        [
            {"forEach": "name", "column": columns(c="family"), "select": [{"column": columns(b="use")}]},
            {"column": columns(a="id")},
        ],
        [("S", "official", "anna"), ("T", None, "anna"), ("B", None, "bert")],
    ),
    "%resource is the record, also inside an iteration": (
        [{"forEach": "name", "column": columns(id="%resource.id", key="%resource.getResourceKey()")}],
        [("anna", "Patient/anna")] * 2 + [("bert", "Patient/bert")],
    ),
}

PATHS = {
    "an extension of a primitive": (
        "birthDate.extension('urn:time').value.ofType(dateTime).first()",
        ["1970-06-01T10:00:00Z", None, None],
    ),
    "an element that is not there is NULL": ("gender", [None, None, None]),
    "exists with a criterion": ("name.exists(use = 'official')", [True, False, False]),
    "empty after where": ("name.where(use = 'x').empty()", [True, True, True]),
    "count": ("name.given.count()", [3, 0, 0]),
    "join of nothing is an empty text": ("name.given.join('+')", ["J+K+L", "", ""]),
    "an index, also beyond the end": ("name[1].family", ["T", None, None]),
    "ofType of a choice": ("multipleBirth.ofType(integer)", [2, None, None]),
    "a reference to itself": ("getResourceKey() = link.other.getReferenceKey()", [True, False, None]),
    "a reference of the type asked for": ("link.other.getReferenceKey(Patient)", ["Patient/anna", "Patient/x", None]),
    "a reference of another type": ("link.other.getReferenceKey(Group)", [None, None, None]),
    "low boundary of a month": ("birthDate.lowBoundary()", ["1970-06-01", None, None]),
    "high boundary of a month": ("birthDate.highBoundary()", ["1970-06-30", None, None]),
    "a less precise date leaves equality open": ("birthDate = @1970-06-15", [None, None, None]),
    "a less precise date can still be another": ("birthDate = @1971-06-15", [False, None, None]),
    "a less precise date can still be before": ("birthDate < @1971-06-15", [True, None, None]),
}

REPEAT = {
    "parents come before children": (["item"], ["1", "1.1", "1.2", "1.2.1", "2"]),
    "several paths, one of them unknown to the record itself": (
        ["item", "answer.item"],
        ["1", "1.1", "1.1.1", "1.2", "1.2.1", "2"],
    ),
}

LOW_AND_HIGH = [
    ("value.ofType(Quantity).value", '"valueQuantity": {"value": 1.0}', Decimal("0.95"), Decimal("1.05")),
    ("value.ofType(Quantity).value", '"valueQuantity": {"value": 1}', Decimal("0.5"), Decimal("1.5")),
    ("value.ofType(Quantity).value", '"valueQuantity": {"value": -1.587}', Decimal("-1.5875"), Decimal("-1.5865")),
    ("value.ofType(integer)", '"valueInteger": 5', Decimal("4.5"), Decimal("5.5")),
    (
        "value.ofType(dateTime)",
        '"valueDateTime": "2010"',
        "2010-01-01T00:00:00.000+14:00",
        "2010-12-31T23:59:59.999-12:00",
    ),
    (
        "value.ofType(dateTime)",
        '"valueDateTime": "2024-02"',
        "2024-02-01T00:00:00.000+14:00",
        "2024-02-29T23:59:59.999-12:00",
    ),
    (
        "value.ofType(dateTime)",
        '"valueDateTime": "2016-07-23T14:35Z"',
        "2016-07-23T14:35:00.000Z",
        "2016-07-23T14:35:59.999Z",
    ),
    ("value.ofType(time)", '"valueTime": "12:34"', "12:34:00.000", "12:34:59.999"),
    ("value.ofType(time)", '"valueTime": "12:34:08.7"', "12:34:08.700", "12:34:08.799"),
    (
        "effective.ofType(instant)",
        '"effectiveInstant": "2015-02-07T13:28:17+02:00"',
        "2015-02-07T13:28:17.000+02:00",
        "2015-02-07T13:28:17.999+02:00",
    ),
]

CONSTANTS = [
    (
        "Base64Binary",
        "aGk=",
        "udiCarrier.first().carrierAIDC = %c",
        {"resourceType": "Device", "udiCarrier": [{"carrierAIDC": "aGk="}]},
        True,
    ),
    ("Boolean", True, "active = %c", ANNA, True),
    ("Code", "female", "gender = %c", {"resourceType": "Patient", "gender": "male"}, False),
    ("Date", "1978-03-12", "birthDate = %c", {"resourceType": "Patient", "birthDate": "1978-03-12"}, True),
    (
        "DateTime",
        "2016-11-12",
        "identified.ofType(dateTime) = %c",
        {"resourceType": "DetectedIssue", "identifiedDateTime": "2016-11-13"},
        False,
    ),
    (
        "Decimal",
        1.2,
        "value.ofType(Quantity).value < %c",
        {"resourceType": "Observation", "valueQuantity": {"value": 1.0}},
        True,
    ),
    (
        "Id",
        "one",
        "output.first().value.ofType(id) = %c",
        {"resourceType": "Task", "output": [{"valueId": "one"}]},
        True,
    ),
    (
        "Instant",
        "2015-02-07T13:28:17.239+02:00",
        "effective.ofType(instant) = %c",
        {"resourceType": "Observation", "effectiveInstant": "2015-02-07T11:28:17.239Z"},
        True,
    ),
    ("Integer", 1, "name[%c].family", ANNA, "T"),
    (
        "Oid",
        "urn:oid:1.0",
        "output.first().value.ofType(oid) = %c",
        {"resourceType": "Task", "output": [{"valueOid": "urn:oid:1.1"}]},
        False,
    ),
    (
        "PositiveInt",
        1,
        "item.first().itemSequence = %c",
        {"resourceType": "ClaimResponse", "item": [{"itemSequence": 1}]},
        True,
    ),
    ("String", "official", "name.where(use = %c).family", ANNA, "S"),
    ("Time", "18:12:00", "value.ofType(time) = %c", {"resourceType": "Observation", "valueTime": "18:12:00"}, True),
    ("UnsignedInt", 9, "numberOfSeries = %c", {"resourceType": "ImagingStudy", "numberOfSeries": 9}, True),
    ("Uri", "urn:a", "url = %c", {"resourceType": "Measure", "url": "urn:a"}, True),
    (
        "Url",
        "urn:a",
        "output.first().value.ofType(url) = %c",
        {"resourceType": "Task", "output": [{"valueUrl": "urn:b"}]},
        False,
    ),
    ("Uuid", "urn:uuid:1", "output.first().value.ofType(uuid) = %c", {"resourceType": "Task", "output": []}, None),
]


@pytest.mark.parametrize(("select", "expected"), ITERATION.values(), ids=ITERATION)
def test_iteration_gives_rows(select: list[Any], expected: list[tuple[Any, ...]]) -> None:
    assert counted(rows({"resource": "Patient", "select": select}, PATIENTS)) == counted(expected)


@pytest.mark.parametrize(("path", "expected"), PATHS.values(), ids=PATHS)
def test_path_gives_value(path: str, expected: list[Any]) -> None:
    actual = rows({"resource": "Patient", "select": [{"column": columns(id="id", value=path)}]}, PATIENTS)

    assert dict(actual) == dict(zip(["anna", "bert", "carl"], expected, strict=True))


@pytest.mark.parametrize(("paths", "expected"), REPEAT.values(), ids=REPEAT)
def test_repeat_counts_in_the_order_of_the_traversal(paths: list[str], expected: list[str]) -> None:
    select = [{"repeat": paths, "column": columns(at="%rowIndex", link="linkId")}]

    assert sorted(rows({"resource": "QuestionnaireResponse", "select": select}, [FORM])) == list(enumerate(expected))


def test_repeat_with_nested_for_each_or_null() -> None:
    answers = {"forEachOrNull": "answer", "column": columns(text="value.ofType(string)", j="%rowIndex")}
    select = [{"repeat": ["item"], "column": columns(link="linkId"), "select": [answers]}]

    actual = rows({"resource": "QuestionnaireResponse", "select": select}, [FORM])

    expected = [("1", None, 0), ("1.1", "a", 0), ("1.1", None, 1), ("1.2", None, 0), ("1.2.1", None, 0), ("2", None, 0)]
    assert counted(actual) == counted(expected)


def test_repeat_over_an_element_the_type_has_not_gives_no_row() -> None:
    select = [{"repeat": ["jurisdiction"], "column": columns(code="coding.code")}]

    assert rows({"resource": "QuestionnaireResponse", "select": select}, [FORM]) == []


@pytest.mark.parametrize(("depth", "is_refused"), [(MAX_DEPTH, False), (MAX_DEPTH + 2, True)])
def test_repeat_refuses_what_is_nested_too_deep(depth: int, is_refused: bool) -> None:
    item: dict[str, Any] = {"linkId": str(depth)}
    for level in range(depth - 1, 0, -1):
        item = {"linkId": str(level), "item": [item]}
    view = {"resource": "QuestionnaireResponse", "select": [{"repeat": ["item"], "column": columns(link="linkId")}]}
    record = {"resourceType": "QuestionnaireResponse", "item": [item]}

    if is_refused:
        with pytest.raises(ViewError, match=f"nested deeper than {MAX_DEPTH}"):
            rows(view, [record])
    else:
        assert len(rows(view, [record])) == depth


@pytest.mark.parametrize(("path", "element", "low", "high"), LOW_AND_HIGH)
def test_boundaries_of_values_as_written(path: str, element: str, low: Any, high: Any) -> None:
    select = [{"column": columns(low=f"{path}.lowBoundary()", high=f"{path}.highBoundary()")}]
    record = f'{{"resourceType": "Observation", {element}}}'

    assert rows({"resource": "Observation", "select": select}, [record]) == [(low, high)]


@pytest.mark.parametrize(("kind", "value", "path", "record", "expected"), CONSTANTS, ids=[c[0] for c in CONSTANTS])
def test_constant_of_every_type(kind: str, value: Any, path: str, record: dict[str, Any], expected: Any) -> None:
    view = {
        "resource": record["resourceType"],
        "constant": [{"name": "c", f"value{kind}": value}],
        "select": [{"column": columns(actual=path)}],
    }

    assert rows(view, [record]) == [(expected,)]


def test_collections_are_typed_and_never_null() -> None:
    view = {
        "resource": "Observation",
        "select": [
            {
                "column": [
                    {"name": "amounts", "path": "component.value.ofType(Quantity).value", "collection": True},
                    {"name": "flags", "path": "component.value.ofType(boolean)", "collection": True},
                    {"name": "codes", "path": "category.coding.code", "collection": True},
                ]
            }
        ],
    }
    values = '[{"valueQuantity": {"value": 1.10}}, {"valueBoolean": true}, {"valueQuantity": {"value": 2}}]'

    actual = rows(view, [f'{{"resourceType": "Observation", "component": {values}}}'])

    assert actual == [([Decimal("1.1"), Decimal(2)], [True], [])]


def test_where_filters_by_a_choice() -> None:
    view = {"resource": "Patient", "where": [{"path": "multipleBirth.ofType(integer) > 1"}]}

    assert rows({**view, "select": [{"column": columns(id="id")}]}, PATIENTS) == [("anna",)]


def test_records_of_other_types_give_no_row() -> None:
    view = {"resource": "Observation", "select": [{"column": columns(id="id")}]}

    assert rows(view, [ANNA, {"resourceType": "Observation", "id": "one"}]) == [("one",)]
