"""The repository's suites against the repository's views."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from etl.views import compile_view, load_view
from validation.report import StagedTable
from validation.staged_tables import fill, join, stage, table_name
from validation.suites import load_suite

CONF = Path(__file__).resolve().parents[3] / "conf"
VIEWS = sorted((CONF / "views").glob("*.json"))
KERNEL = {"_last_updated": "VARCHAR", "_version": "VARCHAR", "_hash": "BIGINT", "bucket": "INTEGER"}


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A DuckDB connection with every warehouse table staged without rows and joined, and their columns."""
    folder = tmp_path_factory.mktemp("empty")
    tables = {}
    for path in VIEWS:
        view = compile_view(load_view(path))
        types = {**{column.name: column.sql_type for column in view.columns}, **KERNEL}
        columns = ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in types.items())
        file = folder / f"{view.name}.parquet"
        duckdb.execute(f"COPY (SELECT {columns} LIMIT 0) TO '{file}' (FORMAT parquet)")
        tables[view.name] = StagedTable(view.name, (str(file),))
    with duckdb.connect() as connection:
        staged = stage(connection, tables)
        join(connection, [load_suite(CONF / "suites", table, staged[table], staged) for table in staged])
        yield connection, staged


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("table", [path.stem for path in VIEWS])
def test_suite_names_only_columns_of_its_view(empty, table, few):
    connection, columns = empty

    suite = load_suite(CONF / "suites", table, columns[table], columns, few=few)

    assert suite.skipped == ()
    assert fill(connection, suite) == 0
    connection.execute(f"DROP TABLE {table_name(table)}")


def test_every_suite_has_a_table():
    tables = {path.stem for path in VIEWS}

    assert {path.stem for path in (CONF / "suites").glob("*.json")} - {"every_table"} == tables


@pytest.mark.parametrize("table", [path.stem for path in VIEWS])
def test_each_check_says_what_fails(empty, table):
    _, columns = empty

    checks = load_suite(CONF / "suites", table, columns[table], columns).checks

    assert {check.severity for check in checks} <= {"block", "warn"}
    assert all(check.sentence.endswith(".") and len(check.sentence) > 20 for check in checks)
