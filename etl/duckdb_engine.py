"""DuckDB connections of the tasks: one thread each, UTC, no extension fetched, nothing outside the given folder."""

from __future__ import annotations

from pathlib import Path

import duckdb


def connect(memory_mb: int, scratch: Path | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory connection; it may spill to ``scratch`` only, and without one not at all."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "memory_limit": f"{memory_mb}MB",
            "temp_directory": str(scratch) if scratch else "",
            "preserve_insertion_order": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def scalar(connection: duckdb.DuckDBPyConnection, sql: str, values: object = None) -> int:
    """The one integer a statement gives; the result is read to its end, as DuckDB wants before the next statement."""
    rows = connection.execute(sql, values).fetchall()
    return int(rows[0][0]) if rows else 0
