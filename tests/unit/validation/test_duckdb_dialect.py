"""Great Expectations may ask the checked tables, which others fill meanwhile, and may do nothing else to them."""

from __future__ import annotations

import duckdb
import pytest
import sqlalchemy as sa

from validation import duckdb_dialect


@pytest.fixture
def engine(tmp_path):
    duckdb_dialect.register()
    path = tmp_path / "checked.duckdb"
    with duckdb.connect(str(path)) as filling:
        filling.execute("CREATE TABLE checked AS SELECT 1 AS n")
        engine = sa.create_engine(f"{duckdb_dialect.SCHEME}:///{path}")
        yield engine
        engine.dispose()
        assert filling.execute("FROM checked").fetchall() == [(1,)]


@pytest.mark.parametrize("query", ["SELECT n FROM checked", "WITH c AS (SELECT n FROM checked) SELECT n FROM c"])
def test_a_query_is_answered(engine, query):
    with engine.connect() as connection:
        assert connection.exec_driver_sql(query).fetchall() == [(1,)]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO checked VALUES (2)",
        "WITH c AS (SELECT 2 AS n) INSERT INTO checked SELECT n FROM c",
        "SELECT 1; DROP TABLE checked",
        "CREATE TABLE other (n INTEGER)",
        "COPY checked TO 'elsewhere.parquet'",
        "",
    ],
)
def test_anything_else_is_refused(engine, statement):
    with engine.connect() as connection, pytest.raises(ValueError, match="one SELECT at a time"):
        connection.exec_driver_sql(statement)
