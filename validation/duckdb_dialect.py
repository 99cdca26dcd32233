"""A dialect of SQLAlchemy for DuckDB (``erios_duckdb``), as far as Great Expectations' SQL engine needs it.

Great Expectations does not support DuckDB, whose SQL is close to PostgreSQL's: the dialect is PostgreSQL's with the
operators corrected whose meaning differs. It runs queries only and never writes to a database.
"""

from __future__ import annotations

from typing import Any

import duckdb
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql, registry
from sqlalchemy.dialects.postgresql.base import PGCompiler, PGDialect
from sqlalchemy.engine import URL, Connection

SCHEME = "erios_duckdb"
_TYPES = {
    "BOOLEAN": postgresql.BOOLEAN,
    "INTEGER": postgresql.INTEGER,
    "BIGINT": postgresql.BIGINT,
    "DATE": postgresql.DATE,
    "DOUBLE": postgresql.DOUBLE_PRECISION,
    "TIMESTAMP WITH TIME ZONE": postgresql.TIMESTAMP,
    "VARCHAR": postgresql.VARCHAR,
}


class DuckDBCompiler(PGCompiler):
    """PostgreSQL's SQL with its regular expressions: DuckDB's own ``~`` matches whole texts only."""

    def visit_custom_op_binary(self, element: Any, operator: Any, **options: Any) -> str:
        """``a ~ b``: a match anywhere in ``a``; ``a !~ b``: none."""
        if operator.opstring not in ("~", "!~"):
            other: Any = super()
            return str(other.visit_custom_op_binary(element, operator, **options))
        text, pattern = (self.process(side, **options) for side in (element.left, element.right))
        return f"({'NOT ' if operator.opstring == '!~' else ''}regexp_matches({text}, {pattern}))"


class DuckDBDialect(PGDialect):
    """The tables of one DuckDB file through DuckDB's own DB-API; queries only, so no transactions."""

    driver = "duckdb"
    statement_compiler = DuckDBCompiler
    supports_statement_cache = True
    supports_server_side_cursors = False
    default_paramstyle = "qmark"

    @classmethod
    def import_dbapi(cls) -> Any:
        """DuckDB's DB-API module."""
        return duckdb

    def create_connect_args(self, url: URL) -> Any:
        """The file named by ``erios_duckdb:///FILE``; other connections of this process may be filling it."""
        return (), {"database": url.database}

    def initialize(self, connection: Connection) -> None:
        """Set what the base class would query a PostgreSQL server for."""
        self.default_schema_name = "main"
        self.server_version_info = (16, 0)

    def on_connect(self) -> Any:
        """Compare instants with dates in UTC, whatever the machine's time zone."""
        return lambda connection: connection.execute("SET TimeZone = 'UTC'")

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        """A query; anything else is refused, because the file is open for writing to those who fill it."""
        check_query(statement)
        super().do_execute(cursor, statement, parameters, context)  # type: ignore[no-untyped-call]

    def do_execute_no_params(self, cursor: Any, statement: str, context: Any = None) -> None:
        """See ``do_execute``."""
        check_query(statement)
        super().do_execute_no_params(cursor, statement, context)  # type: ignore[no-untyped-call]

    def do_begin(self, dbapi_connection: Any) -> None:
        """There are no transactions."""

    def do_commit(self, dbapi_connection: Any) -> None:
        """There are no transactions."""

    def do_rollback(self, dbapi_connection: Any) -> None:
        """There are no transactions."""

    def get_schema_names(self, connection: Connection, **options: Any) -> list[str]:
        """The one schema in which the checked tables are."""
        return ["main"]

    def get_table_names(self, connection: Connection, schema: str | None = None, **options: Any) -> list[str]:
        """The checked tables."""
        query = "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'"
        return [row[0] for row in connection.exec_driver_sql(query)]

    def get_view_names(self, connection: Connection, schema: str | None = None, **options: Any) -> list[str]:
        """The checked tables put together."""
        query = "SELECT view_name FROM duckdb_views() WHERE schema_name = 'main' AND NOT internal"
        return [row[0] for row in connection.exec_driver_sql(query)]

    def has_table(self, connection: Connection, table_name: str, schema: str | None = None, **options: Any) -> bool:
        """Is there such a table or view?"""
        return table_name in [*self.get_table_names(connection), *self.get_view_names(connection)]

    def get_columns(self, connection: Connection, table_name: str, schema: str | None = None, **options: Any) -> Any:
        """Names and types of a table's columns."""
        query = (
            "SELECT column_name, data_type FROM duckdb_columns()"
            " WHERE schema_name = 'main' AND table_name = ? ORDER BY column_index"
        )
        rows = connection.exec_driver_sql(query, (str(table_name),)).fetchall()
        if not rows:
            raise exc.NoSuchTableError(table_name)
        return [{"name": name, "type": _type(text), "nullable": True, "default": None} for name, text in rows]

    def get_pk_constraint(
        self, connection: Connection, table_name: str, schema: str | None = None, **options: Any
    ) -> Any:
        """No table has a primary key."""
        return {"constrained_columns": [], "name": None}


def check_query(statement: str) -> None:
    """Raise ValueError, without quoting the text, unless it is exactly one SELECT."""
    if [each.type for each in duckdb.extract_statements(statement)] != [duckdb.StatementType.SELECT]:
        raise ValueError("the checked tables are for queries only: one SELECT at a time")


def _type(text: str) -> Any:
    return _TYPES.get(text, postgresql.NUMERIC if text.startswith("DECIMAL") else postgresql.VARCHAR)()


def register() -> None:
    """Register ``erios_duckdb:///FILE`` with SQLAlchemy."""
    registry.register(SCHEME, __name__, "DuckDBDialect")
