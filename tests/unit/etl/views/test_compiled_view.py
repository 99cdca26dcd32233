"""A view narrowed to the elements that records have: the same rows, and nothing asked for that is not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest

from etl.synthetic import generate
from etl.tables import load_tables
from etl.views import CompiledView, compile_view
from etl.views.run import open_duckdb

VIEWS = Path(__file__).parents[4] / "conf" / "views"


def view_of(resource: str, *selects: dict[str, Any]) -> CompiledView:
    return compile_view({"name": "case", "resource": resource, "select": list(selects)})


def column(name: str, path: str, **more: Any) -> dict[str, Any]:
    return {"column": [{"name": name, "path": path, **more}]}


def rows(view: CompiledView, *records: dict[str, Any]) -> list[tuple[Any, ...]]:
    with open_duckdb(threads=1) as connection:
        structure = json.dumps(view.structure).replace("'", "''")
        texts = ", ".join("'" + json.dumps(record).replace("'", "''") + "'" for record in records)
        parsed = f"(SELECT from_json(unnest([{texts}]), '{structure}') AS r)"
        return connection.execute(view.sql(parsed, "r", problems=True)).fetchall()


def test_an_element_that_no_record_has_is_not_asked_for():
    view = view_of("Patient", column("family", "name.family.first()"), column("born", "birthDate"))
    narrowed = view.narrowed({"id", "birthDate"})
    assert narrowed.structure == {"birthDate": "VARCHAR"}
    assert narrowed.columns == view.columns
    assert "'name'" not in narrowed.sql("parsed")
    assert rows(narrowed, {"birthDate": "1970"}) == [(None, "1970", None)]


def test_a_collection_is_empty_rather_than_null():
    view = view_of("Patient", column("families", "name.family", collection=True)).narrowed(set())
    assert rows(view, {}) == [([], None)]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name.exists()", False),
        ("name.empty()", True),
        ("name.count()", 0),
        ("name.family.join(',')", ""),
        ("birthDate.exists() or active.exists()", False),
        ("iif(active, 'yes', 'no')", "no"),
        ("name.select(%resource.id)", None),
        ("name.select(%resource.id).count()", 0),
    ],
)
def test_what_is_something_of_nothing_stays(path, value):
    view = view_of("Patient", column("asked", path))
    record = {"id": "p1"}
    assert rows(view.narrowed({"id"}), record) == rows(view, record) == [(value, None)]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("where(deceased.empty()).gender", "male"),
        ("where(active.empty()).id", "p1"),
        ("where(gender = 'male').id", "p1"),
        ("Patient[0].gender", "male"),
        ("Patient.gender", "male"),
        ("take(1).gender", "male"),
        ("%resource.where(active.empty()).gender", "male"),
    ],
)
def test_a_path_that_starts_at_the_record_itself_stays(path, value):
    view = view_of("Patient", column("asked", path), column("family", "name.family.first()"))
    record = {"id": "p1", "gender": "male"}
    assert rows(view.narrowed({"id", "gender"}), record) == rows(view, record) == [(value, None, None)]


@pytest.mark.parametrize("iteration", ["forEach", "forEachOrNull"])
@pytest.mark.parametrize("path", ["$this", "Patient", "first()", "where(active.empty())"])
def test_an_iteration_over_the_record_itself_stays(iteration, path):
    view = view_of("Patient", {iteration: path, **column("asked", "gender")})
    record = {"id": "p1", "gender": "male"}
    assert rows(view.narrowed({"id", "gender"}), record) == rows(view, record) == [("male", None)]


def test_a_filter_of_the_record_itself_stays():
    wanted = {"name": "case", "resource": "Patient", "select": [column("asked", "gender")]}
    view = compile_view({**wanted, "where": [{"path": "where(active.empty()).birthDate.exists()"}]})
    record = {"gender": "male", "birthDate": "1970"}
    assert rows(view.narrowed(set(record)), record) == rows(view, record) == [("male", None)]


def test_a_check_of_a_value_that_is_there_stays():
    view = view_of("Patient", column("born", "birthDate", type="date")).narrowed({"birthDate"})
    assert rows(view, {"birthDate": "1970-13"}) == [("1970-13", "column born: not a valid date")]


def test_an_iteration_over_nothing_leaves_its_branch_of_a_union_out():
    union = {
        "unionAll": [
            column("value", "value.ofType(string)"),
            {"forEach": "component", **column("value", "value.ofType(string)")},
        ]
    }
    view = view_of("Observation", union)
    narrowed = view.narrowed({"valueString"})
    assert "component" not in narrowed.sql("parsed")
    assert rows(narrowed, {"valueString": "a"}) == [("a", None)]


@pytest.mark.parametrize(
    ("iteration", "expected"), [("forEach", []), ("forEachOrNull", [(None, None)]), ("repeat", [])]
)
def test_an_iteration_over_nothing_alone(iteration, expected):
    over = ["contact"] if iteration == "repeat" else "contact"
    view = view_of("Patient", {iteration: over, **column("family", "name.family")})
    assert rows(view.narrowed({"id"}), {"id": "p1"}) == rows(view, {"id": "p1"}) == expected


@pytest.mark.slow
def test_the_warehouses_views_give_the_same_rows_of_a_hospitals_records(tmp_path):
    generate(tmp_path / "export", 12, seed=4)
    compared = 0
    for table in load_tables(VIEWS):
        lines = [line for path in (tmp_path / "export").glob("*.ndjson") for line in path.read_bytes().splitlines()]
        records = [r for r in map(orjson.loads, lines) if r["resourceType"] == table.view.resource]
        for some in (records[:1], records):
            narrowed = table.view.narrowed({name for record in some for name in record})
            compared += len(some)
            assert typed(narrowed, some) == typed(table.view, some)
    assert compared > 1_000


def typed(view: CompiledView, records: list[dict[str, Any]]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The columns' types and the rows, in an order of their own."""
    with open_duckdb(threads=1) as connection:
        connection.execute("CREATE TABLE line (seq INTEGER, text VARCHAR)")
        if records:
            texts = [(number, orjson.dumps(record).decode()) for number, record in enumerate(records)]
            connection.executemany("INSERT INTO line VALUES (?, ?)", texts)
        structure = json.dumps(view.structure).replace("'", "''")
        source = f"(SELECT seq, from_json(text, '{structure}') AS r FROM line)"
        relation: duckdb.DuckDBPyRelation = connection.sql(view.sql(source, "r", ["seq"], problems=True))
        return [str(kind) for kind in relation.types], sorted(relation.fetchall(), key=repr)
