"""Problems of values that a column cannot hold, and decimals that keep their digits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from etl.views import CompiledView, ViewError, compile_view
from etl.views.conformance import report, run_suite
from etl.views.exact_decimals import exact_text
from etl.views.run import open_duckdb


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with open_duckdb(threads=1) as opened:
        yield opened


def view_of(resource: str, *columns: dict[str, Any]) -> CompiledView:
    return compile_view({"name": "case", "resource": resource, "select": [{"column": list(columns)}]})


def load(connection: duckdb.DuckDBPyConnection, view: CompiledView, record: str) -> list[tuple[Any, ...]]:
    """Rows as the load asks for them: with ``_problem``."""
    structure = json.dumps(view.structure).replace("'", "''")
    parsed = f"(SELECT from_json({exact_text('text')}, '{structure}') AS r, 7 AS seq FROM (SELECT ? AS text))"
    return connection.execute(view.sql(parsed, "r", ["seq"], problems=True), [record]).fetchall()


DATE = {"name": "born", "path": "birthDate", "tag": [{"name": "ansi/type", "value": "DATE"}]}
AT = {
    "name": "at",
    "path": "effective.ofType(dateTime)",
    "tag": [{"name": "ansi/type", "value": "TIMESTAMP WITH TIME ZONE"}],
}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1970-02-28", None),
        ("1970-02", None),
        ("1970", None),
        ("1970-02-30", "column born: not a valid date"),
        ("1970-13", "column born: not a valid date"),
        ("28/02/1970", "column born: not a valid date"),
        ("1970-02-28T10:00:00Z", "column born: not a valid date"),
    ],
)
def test_date_that_no_calendar_knows_is_a_problem(connection, text, problem):
    rows = load(connection, view_of("Patient", DATE), json.dumps({"birthDate": text}))

    assert [row[-1] for row in rows] == [problem]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2020-01-01T10:00:00+02:00", 1577865600),
        ("2020-01-01T10:00:00Z", 1577872800),
        ("2020-01-01T10:00:00", 1577872800),
        ("2020-01-01", 1577836800),
        ("2020", 1577836800),
    ],
)
def test_instant_does_not_depend_on_the_zone_of_the_session(connection, text, seconds):
    connection.execute("SET TimeZone = 'America/New_York'")
    sql = view_of("Observation", AT).sql("(SELECT {'effectiveDateTime': ?} AS r)")

    assert connection.execute(f'SELECT epoch("at") FROM ({sql})', [text]).fetchall() == [(seconds,)]


def test_several_values_are_a_problem_and_the_column_is_named(connection):
    view = view_of("Patient", {"name": "family", "path": "name.family"})

    rows = load(connection, view, '{"name": [{"family": "a"}, {"family": "b"}]}')

    assert rows == [(7, "a", "column family: more than one value at name.family")]


@pytest.mark.parametrize(
    ("written", "value", "problem"),
    [
        ("1.10", Decimal("1.10"), None),
        ("0.123456789012345678", Decimal("0.123456789012345678"), None),
        ("1234567890123456.5", Decimal("1234567890123456.5"), None),
        ("1.5e3", Decimal(1500), None),
        ("0.12345678901234567890123", Decimal("0.1234567890123456789012"), "column value: not a valid decimal"),
        ("1e40", None, "column value: not a valid decimal"),
    ],
)
def test_decimal_keeps_its_value_or_is_a_problem(connection, written, value, problem):
    view = view_of("Observation", {"name": "value", "path": "value.ofType(Quantity).value"})

    rows = load(connection, view, f'{{"valueQuantity": {{"value": {written}, "unit": "1.10"}}}}')

    assert rows == [(7, value, problem)]


@pytest.mark.parametrize("text", ['":1.50"', '"a\\":1.50"', '"x: 1e9"', '"\\\\":1.5'])
def test_exact_text_leaves_strings_alone(connection, text):
    record = f'{{"note": {text}, "value": 1.50}}' if text.endswith('"') else f'{{"a\\\\":1.5,"note": {text[:4]}}}'
    result = connection.execute(f"SELECT {exact_text('text', precision=True)} FROM (SELECT ? AS text)", [record])

    quoted = str(result.fetchall()[0][0])

    assert json.loads(quoted)["note"] == json.loads(record)["note"]


def test_integer_written_as_a_decimal_is_a_problem(connection):
    view = view_of("Patient", {"name": "order", "path": "multipleBirth.ofType(integer)"})

    assert load(connection, view, '{"multipleBirthInteger": 1.5}')[0][-1] == "column order: not a valid integer"


def test_column_that_the_load_uses_itself_is_refused():
    view = view_of("Patient", {"name": "seq", "path": "id"})

    with pytest.raises(ViewError, match="the column name 'seq' is taken by the load"):
        view.sql("parsed", "r", ["seq"])


def test_conformance_report_has_the_form_of_the_suite(tmp_path):
    view = {"resource": "Patient", "select": [{"column": [{"name": "id", "path": "id"}]}]}
    tests = [
        {"title": "right", "view": view, "expect": [{"id": "p"}]},
        {"title": "wrong", "view": view, "expect": [{"id": "q"}]},
        {"title": "no error", "view": view, "expectError": True},
        {"title": "columns", "view": view, "expectColumns": ["id"], "expectCount": 1},
    ]
    suite = {"resources": [{"resourceType": "Patient", "id": "p"}], "tests": tests}
    (tmp_path / "own.json").write_text(json.dumps(suite))

    result = report(run_suite(tmp_path))["own.json"]["tests"]

    assert [(test["name"], test["result"]["passed"]) for test in result] == [
        ("right", True),
        ("wrong", False),
        ("no error", False),
        ("columns", True),
    ]


def test_every_test_of_the_shared_suite_passes(shared):
    results = run_suite(shared / "conformance" / "sql-on-fhir")

    assert [(r.file, r.name, r.reason) for r in results if not r.passed] == []
    assert len(results) == 89
