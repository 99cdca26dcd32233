"""The compiler agrees with the slow evaluation of the standard's algorithm, on made-up resources and views."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl.views import CompiledView, ViewError, compile_view
from etl.views.run import fetch_rows, open_duckdb
from tests.property.slow_views import SeveralValuesError, rows
from tests.sampling import examples

WORDS = st.sampled_from(["a", "b", "Émile", "O'Brien", 'x"y', "", "é\\n"])
CODES = st.sampled_from(["home", "work", "old"])
DATES = st.sampled_from(["1970", "1970-06", "2000-02", "1999-02", "1970-06-01", "2024-02-29"])
NUMBER_TEXTS = ["1.0", "1.10", "-2.50", "0.587", "120", "1.5", "9876543210123456.7"]
DECIMALS = st.sampled_from(NUMBER_TEXTS)
URLS = ("http://a", "http://b")


def objects(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects in which every part may be missing, as in FHIR."""
    return st.fixed_dictionaries({}, optional=parts)


def lists(items: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(items, max_size=3)


extensions = objects(valueString=WORDS, valueCode=CODES).flatmap(
    lambda parts: st.sampled_from(URLS).map(lambda url: {"url": url, **dict(list(parts.items())[:1])})
)
names = objects(family=WORDS, use=CODES, given=lists(WORDS), extension=lists(extensions))
telecoms = objects(system=CODES, value=WORDS, rank=st.integers(1, 3))
references = st.sampled_from(
    ["Patient/p1", "Organization/o1", "http://x.test/fhir/Patient/p2", "Patient/p3/_history/2"]
).map(lambda text: {"reference": text})
births = objects(
    deceasedBoolean=st.booleans(), multipleBirthInteger=st.integers(1, 3), active=st.booleans(), birthDate=DATES
)
patients = st.builds(
    lambda number, parts, birth: {"resourceType": "Patient", "id": f"p{number}", **parts, **birth},
    st.integers(0, 9),
    objects(
        name=lists(names),
        telecom=lists(telecoms),
        contact=lists(objects(name=names, telecom=lists(telecoms), organization=references)),
        generalPractitioner=lists(references),
        _birthDate=objects(extension=lists(extensions)),
        extension=lists(extensions),
    ),
    births,
)
quantities = objects(value=DECIMALS, unit=WORDS)
measured = objects(valueQuantity=quantities) | objects(valueString=WORDS)
observations = st.builds(
    lambda number, parts, value: {"resourceType": "Observation", "id": f"o{number}", **parts, **value},
    st.integers(0, 9),
    objects(
        subject=references,
        component=lists(st.builds(lambda one, other: {**one, **other}, measured, objects(extension=lists(extensions)))),
    ),
    measured,
)

# What may be asked of each type: paths to one value, paths to several, and iterations with the type of their items.
NAME = (["family", "use", "given.first()", "given.join('-')", "given.count()", "given[1]", "%rowIndex"], ["given"])
TELECOM: tuple[list[str], list[str]] = (
    ["value", "system", "rank", "rank + 1", "rank * 2", "value = %word", "%rowIndex", "%limit"],
    [],
)
CONTACT = (
    [
        "name.family",
        "telecom.where(system = 'home').value.first()",
        "organization.getReferenceKey(Patient)",
        "organization.getReferenceKey()",
        "%rowIndex",
        "telecom.all(rank > 1)",
    ],
    ["telecom.value", "name.given"],
)
PATIENT = (
    [
        "id",
        "getResourceKey()",
        "active",
        "active.not()",
        "active = true",
        "active.exists() and birthDate.exists()",
        "active or name.empty()",
        "birthDate.lowBoundary()",
        "birthDate.highBoundary()",
        "birthDate.extension('http://a').value.ofType(string).first()",
        "extension('http://b').value.ofType(code).last()",
        "deceased.ofType(boolean)",
        "multipleBirth.ofType(integer)",
        "multipleBirth.ofType(integer) < 2",
        "name.family.first()",
        "name.where(use = %use).given.first()",
        "name.exists(family = 'a' and use != 'old')",
        "name[0].family",
        "name.given.join(',')",
        "telecom.where(rank >= %limit).value.first()",
        "contact.name.family",
        "generalPractitioner.first().getReferenceKey(Organization)",
        "where(active.empty()).birthDate",
        "where(name.exists()).id",
        "'literal'",
        "%rowIndex",
    ],
    ["name.family", "name.given", "contact.telecom.rank", "generalPractitioner.getReferenceKey()"],
)
COMPONENT = (
    [
        "value.ofType(Quantity).value",
        "value.ofType(Quantity).value.lowBoundary()",
        "value.ofType(string)",
        "value.exists()",
        "%rowIndex",
    ],
    ["extension('http://a').value.ofType(string)"],
)
OBSERVATION = (
    [*COMPONENT[0], "subject.getReferenceKey(Patient)", "component.count()", "value.ofType(Quantity).value > 1.2"],
    ["component.value.ofType(Quantity).unit"],
)
TYPES: dict[str, tuple[list[str], list[str]]] = {
    "HumanName": NAME,
    "ContactPoint": TELECOM,
    "Contact": CONTACT,
    "Patient": PATIENT,
    "Component": COMPONENT,
    "Observation": OBSERVATION,
    "string": (["$this", "%rowIndex", "$this = 'a'"], []),
}
ITERATIONS = {
    "Patient": [
        ("name", "HumanName"),
        ("telecom", "ContactPoint"),
        ("contact", "Contact"),
        ("contact.telecom", "ContactPoint"),
        ("name.where(use = 'home')", "HumanName"),
        ("name.given", "string"),
        ("contact.name", "HumanName"),
    ],
    "Contact": [("telecom", "ContactPoint"), ("name", "HumanName"), ("name.given", "string")],
    "HumanName": [("given", "string")],
    "Observation": [("component", "Component")],
}
CONSTANTS = [
    {"name": "use", "valueCode": "home"},
    {"name": "word", "valueString": "O'Brien"},
    {"name": "limit", "valueInteger": 2},
]


class Numbers:
    """Names of columns, all different in one view."""

    def __init__(self) -> None:
        self.last = 0

    def fresh(self) -> str:
        self.last += 1
        return f"c{self.last}"


@st.composite
def columns(draw: st.DrawFn, kind: str, numbers: Numbers) -> dict[str, Any]:
    single, several = TYPES[kind]
    path = draw(st.sampled_from([*single, *several]))
    collection = path in several and draw(st.integers(0, 4)) > 0
    return {"name": numbers.fresh(), "path": path, "collection": collection}


@st.composite
def selects(draw: st.DrawFn, kind: str, numbers: Numbers, depth: int) -> dict[str, Any]:
    select: dict[str, Any] = {}
    iterations = ITERATIONS.get(kind, [])
    if draw(st.booleans()) and iterations:
        path, kind = draw(st.sampled_from(iterations))
        select[draw(st.sampled_from(["forEach", "forEachOrNull"]))] = path
    select["column"] = [draw(columns(kind, numbers)) for _ in range(draw(st.integers(1, 2)))]
    if depth and draw(st.booleans()):
        select["select"] = [draw(selects(kind, numbers, depth - 1)) for _ in range(draw(st.integers(1, 2)))]
    if depth and draw(st.booleans()):
        select["unionAll"] = draw(unions(kind, numbers))
    return select


@st.composite
def unions(draw: st.DrawFn, kind: str, numbers: Numbers) -> list[dict[str, Any]]:
    """Branches with the same columns: an index, which every type has, iterated or not."""
    name = numbers.fresh()
    branches = []
    for _ in range(draw(st.integers(1, 3))):
        branch: dict[str, Any] = {"column": [{"name": name, "path": "%rowIndex"}]}
        if draw(st.booleans()) and (iterations := ITERATIONS.get(kind, [])):
            branch[draw(st.sampled_from(["forEach", "forEachOrNull"]))] = draw(st.sampled_from(iterations))[0]
        branches.append(branch)
    return branches


@st.composite
def views(draw: st.DrawFn, resource: str) -> dict[str, Any]:
    numbers = Numbers()
    view: dict[str, Any] = {"name": "v", "resource": resource, "constant": CONSTANTS}
    view["select"] = [draw(selects(resource, numbers, 2)) for _ in range(draw(st.integers(1, 2)))]
    if resource == "Patient" and draw(st.booleans()):
        view["where"] = [{"path": draw(st.sampled_from(["active", "name.exists()", "birthDate.exists().not()"]))}]
    return view


@pytest.fixture(scope="module")
def connection() -> Any:
    with open_duckdb(threads=1) as opened:
        yield opened


def comparable(value: Any) -> Any:
    """Numbers by value, and true is not 1."""
    if isinstance(value, list):
        return tuple(comparable(item) for item in value)
    if isinstance(value, bool):
        return ("boolean", value)
    return ("number", Decimal(value).normalize()) if isinstance(value, int | Decimal) else value


def as_read(value: Any, key: str = "") -> Any:
    """The resource as the slow evaluation reads it: the text of a quantity's value is a number."""
    if isinstance(value, dict):
        return {name: as_read(part, f"{key}.{name}") for name, part in value.items()}
    if isinstance(value, list):
        return [as_read(item, key) for item in value]
    return Decimal(value) if key.endswith("Quantity.value") else value


def as_written(resource: dict[str, Any]) -> str:
    """JSON with the digits of a quantity's value as they were generated, as a number."""
    text = json.dumps(resource, ensure_ascii=False)
    for digits in sorted(NUMBER_TEXTS, key=len, reverse=True):
        text = text.replace(f'"value": "{digits}"', f'"value": {digits}')
    return text


def check(connection: duckdb.DuckDBPyConnection, view: dict[str, Any], resources: list[dict[str, Any]]) -> None:
    """The view as it is, and narrowed to the elements that the resources have, against the slow evaluation."""
    compiled = compile_view(view)
    present = {name for resource in resources for name in resource}
    for each in (compiled, compiled.narrowed(present)):
        check_compiled(connection, each, view, resources)


def check_compiled(
    connection: duckdb.DuckDBPyConnection, compiled: CompiledView, view: dict[str, Any], resources: list[dict[str, Any]]
) -> None:
    texts = [as_written(resource) for resource in resources]
    names = [column.name for column in compiled.columns]
    try:
        expected = rows(view, [as_read(resource) for resource in resources])
    except SeveralValuesError:
        with pytest.raises(ViewError, match="more than one value"):
            fetch_rows(connection, compiled, texts)
        return
    actual = fetch_rows(connection, compiled, texts)
    wanted = Counter(tuple(comparable(row[name]) for name in names) for row in expected)
    assert Counter(tuple(comparable(value) for value in row) for row in actual) == wanted


LIMITS = settings(max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@LIMITS
@given(view=views("Patient"), resources=st.lists(patients, max_size=3))
def test_patient_views_agree_with_the_slow_evaluation(connection, view, resources):
    check(connection, view, resources)


@LIMITS
@given(view=views("Observation"), resources=st.lists(observations, max_size=3))
def test_observation_views_agree_with_the_slow_evaluation(connection, view, resources):
    check(connection, view, resources)
