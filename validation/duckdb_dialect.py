"""SQLAlchemy over DuckDB, just as much of it as Great Expectations' SQL engine needs.

Owns the dialect ``erios_duckdb``: queries over the tables of a DuckDB file. Great Expectations knows no DuckDB;
DuckDB speaks PostgreSQL's SQL, so the dialect goes by that name and corrects the operator whose meaning differs.
It must never write to a database.
"""

from __future__ import annotations

from typing import Any

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
        import duckdb

        return duckdb

    def create_connect_args(self, url: URL) -> Any:
        """The file named by ``erios_duckdb:///FILE``; other connections of this process may be filling it."""
        return (), {"database": url.database}

    def initialize(self, connection: Connection) -> None:
        """No questions to a PostgreSQL server about itself."""
        self.default_schema_name = "main"
        self.server_version_info = (16, 0)

    def on_connect(self) -> Any:
        """Instants are compared with dates in UTC, wherever the machine stands."""
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
        """Every query stands alone."""

    def do_commit(self, dbapi_connection: Any) -> None:
        """Every query stands alone."""

    def do_rollback(self, dbapi_connection: Any) -> None:
        """Every query stands alone."""

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
        """Whether there is such a table or view."""
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
        """None has one."""
        return {"constrained_columns": [], "name": None}


def check_query(statement: str) -> None:
    """Raises ValueError, which quotes nothing of it, for a text that is more or less than one query."""
    import duckdb

    if [each.type for each in duckdb.extract_statements(statement)] != [duckdb.StatementType.SELECT]:
        raise ValueError("the checked tables are for queries only: one SELECT at a time")


def _type(text: str) -> Any:
    return _TYPES.get(text, postgresql.NUMERIC if text.startswith("DECIMAL") else postgresql.VARCHAR)()


def register() -> None:
    """Make ``erios_duckdb:///FILE`` known to SQLAlchemy."""
    registry.register(SCHEME, __name__, "DuckDBDialect")
