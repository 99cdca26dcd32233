"""The conformance suite of SQL on FHIR (https://sql-on-fhir.org, «Testing»), run through the compiler.

A test file holds resources, and views with their expected rows, columns, count or error. Rows are compared without
their order, numbers by value.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from etl.errors import InputError
from etl.views.compiled_view import CompiledView
from etl.views.compiler import compile_view
from etl.views.definition import ViewError
from etl.views.run import fetch_rows, open_duckdb


@dataclass(frozen=True)
class TestResult:
    """Result of one test; ``reason`` of a failure."""

    __test__ = False  # a result, not a pytest class

    file: str
    name: str
    passed: bool
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The suite's own form of a result."""
        result = {"passed": True} if self.passed else {"passed": False, "reason": self.reason}
        return {"name": self.name, "result": result}


def run_suite(folder: Path) -> list[TestResult]:
    """Run every test file of a folder; InputError if it has none, or one that is not JSON."""
    files = sorted(Path(folder).glob("*.json"))
    results = []
    with open_duckdb(threads=1) as connection:
        for file in files:
            results += _run_file(connection, file)
    if not results:
        raise InputError(f"no conformance test (*.json with a list of tests) in {folder}")
    return results


def report(results: Sequence[TestResult]) -> dict[str, Any]:
    """``{"basic.json": {"tests": [{"name": …, "result": {"passed": true}}]}}``."""
    files: dict[str, Any] = {}
    for result in results:
        files.setdefault(result.file, {"tests": []})["tests"].append(result.to_dict())
    return files


def _run_file(connection: duckdb.DuckDBPyConnection, file: Path) -> list[TestResult]:
    text = _text(file)
    suite = _json(text, file)
    if not isinstance(suite, Mapping) or not isinstance(suite.get("tests"), list):
        return []
    resources = json.loads(text, parse_float=str).get("resources", [])
    texts = [json.dumps(resource, ensure_ascii=False) for resource in resources]
    return [_run_test(connection, file.name, test, texts) for test in suite["tests"]]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from None


def _json(text: str, file: Path) -> Any:
    try:
        return json.loads(text, parse_float=Decimal)
    except ValueError as error:
        raise InputError(f"{file} is not JSON: {error}") from None


def _run_test(
    connection: duckdb.DuckDBPyConnection, file: str, test: Mapping[str, Any], texts: Sequence[str]
) -> TestResult:
    name = str(test.get("title", ""))
    wants_error = test.get("expectError") is True
    try:
        view = compile_view(test["view"])
        rows = fetch_rows(connection, view, texts)
    except ViewError as error:
        return TestResult(file, name, wants_error, "" if wants_error else str(error))
    if wants_error:
        return TestResult(file, name, False, "an error was expected, and there was none")
    reason = _difference(test, view, rows)
    return TestResult(file, name, not reason, reason)


def _difference(test: Mapping[str, Any], view: CompiledView, rows: Sequence[tuple[Any, ...]]) -> str:
    """How the rows differ from those that the test expects; empty if they do not."""
    names = [column.name for column in view.columns]
    if (columns := test.get("expectColumns")) is not None and list(columns) != names:
        return f"columns {names}, expected {list(columns)}"
    if (count := test.get("expectCount")) is not None and count != len(rows):
        return f"{len(rows)} rows, expected {count}"
    if (expected := test.get("expect")) is None:
        return ""
    actual_rows = Counter(_row(dict(zip(names, row, strict=True))) for row in rows)
    expected_rows = Counter(map(_row, expected))
    if missing := expected_rows - actual_rows:
        return f"expected and not found: {_shown(missing)}"
    surplus = actual_rows - expected_rows
    return f"found and not expected: {_shown(surplus)}" if surplus else ""


def _shown(rows: Counter[Any]) -> str:
    """A few rows, of the suite's own invented resources."""
    return "; ".join(str(dict(row)) for row in list(rows)[:3])


def _row(row: Mapping[str, Any]) -> frozenset[tuple[str, Any]]:
    """A row in a form that can be compared; a missing column is NULL."""
    return frozenset((name, _value(value)) for name, value in row.items() if value is not None)


def _value(value: Any) -> Any:
    """A value in a form that can be compared: numbers by value, and true is not 1."""
    if isinstance(value, list):
        return tuple(_value(item) for item in value)
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, int | float | Decimal):
        return ("number", Decimal(str(value)).normalize())
    return value
