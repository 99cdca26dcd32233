"""Errors of a faulty view: one sentence with the view, the JSON path of the fault and what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from etl.views import ViewError, compile_path, compile_view, load_view
from etl.views.run import fetch_rows, open_duckdb

COLUMN = {"name": "id", "path": "id"}


def view(*select: Any, **more: Any) -> dict[str, Any]:
    return {"name": "case", "resource": "Patient", "select": list(select), **more}


def path(text: str, **more: Any) -> dict[str, Any]:
    return view({"column": [{"name": "a", "path": text, **more}]})


FAULTS = {
    "unknown element": (
        path("name.famly"),
        "case: select[0].column[0].path 'name.famly': HumanName has no element 'famly'",
    ),
    "unknown element in a union": (
        view({"select": [{"unionAll": [{"column": [COLUMN]}, {"column": [{"name": "id", "path": "idd"}]}]}]}),
        "case: select[0].select[0].unionAll[1].column[0].path 'idd': Patient has no element 'idd'",
    ),
    "unknown element to iterate over": (
        view({"forEach": "nam", "column": [COLUMN]}),
        "select[0].forEach 'nam': Patient has no element 'nam'",
    ),
    "unknown constant": (path("%nope"), "the constant %nope is not defined"),
    "unknown function": (path("name.frobnicate()"), "the function frobnicate() is not supported"),
    "unknown resource": ({**view({"column": [COLUMN]}), "resource": "Pateint"}, "'Pateint' is not a resource type"),
    "no resource": ({"name": "case", "select": [{"column": [COLUMN]}]}, "case: resource"),
    "no select": ({"name": "case", "resource": "Patient"}, "case: select"),
    "a column without a path": (view({"column": [{"name": "a"}]}), "select[0].column[0].path"),
    "a complex column": (path("name"), "is a HumanName"),
    "a choice without a type": (path("multipleBirth"), "ofType"),
    "another type than declared": (path("active", type="string"), "is a boolean, and the column is declared string"),
    "a filter that is no condition": (
        view({"column": [COLUMN]}, where=[{"path": "name.family"}]),
        "where[0].path 'name.family'",
    ),
    "a column twice": (view({"column": [COLUMN]}, {"column": [COLUMN]}), "'id' a second time"),
    "branches with other columns": (
        view({"unionAll": [{"column": [COLUMN]}, {"column": [{"name": "b", "path": "id"}]}]}),
        "select[0].unionAll[1]",
    ),
    "two iterations in one select": (
        view({"forEach": "name", "repeat": ["name"], "column": [COLUMN]}),
        "select[0] has",
    ),
}

BROKEN = ["name.", "name family", "name.family)", "name..family", "(id", "name[0", "id = ", "'abc", "id #x"]


@pytest.mark.parametrize(("definition", "sentence"), FAULTS.values(), ids=FAULTS)
def test_compile_view_names_the_place_of_a_fault(definition: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ViewError) as caught:
        compile_view(definition)

    assert sentence in str(caught.value)


@pytest.mark.parametrize("text", BROKEN)
def test_compile_path_refuses_what_is_not_fhirpath_to_its_end(text: str) -> None:
    with pytest.raises(ViewError, match="is not a FHIRPath expression"):
        compile_path("Patient", text)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [("{", "is not JSON"), ("[]", "a ViewDefinition is a JSON object"), (None, "cannot read the view")],
)
def test_load_view_says_why_a_file_cannot_be_used(tmp_path: Path, content: str | None, sentence: str) -> None:
    file = tmp_path / "broken.json"
    if content is not None:
        file.write_text(content)

    with pytest.raises(ViewError, match=sentence):
        load_view(file)


@pytest.mark.parametrize(
    "select",
    [
        [{"column": [{"name": "family", "path": "name.family"}]}],
        [{"forEach": "contact", "column": [{"name": "family", "path": "telecom.value"}]}],
    ],
    ids=["in the record", "in an item"],
)
def test_several_values_where_one_may_be_are_refused_without_the_values(select: list[Any]) -> None:
    contact = {"telecom": [{"value": "secret1"}, {"value": "secret2"}]}
    record = {"resourceType": "Patient", "name": [{"family": "secret1"}, {"family": "secret2"}], "contact": [contact]}

    with open_duckdb(threads=1) as connection, pytest.raises(ViewError) as caught:
        fetch_rows(connection, compile_view(view(*select)), [json.dumps(record)])

    assert "column family" in str(caught.value)
    assert "secret" not in str(caught.value)
