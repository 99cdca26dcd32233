"""The staged Parquet files as narrow tables of a DuckDB file, which Great Expectations queries.

One pass over a table's files computes the columns that its expectations name, derived ones included, into the DuckDB
file: on disk and within a limit of memory, whatever the size. Great Expectations' many queries then cost little.
Errors never quote a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from validation.errors import SuiteError
from validation.report import StagedTable
from validation.sql import identifier, literal
from validation.suites import Suite, joined_key, may_read_joined, named_columns

OFFLINE: dict[str, Any] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "preserve_insertion_order": False,
}
"""Settings of DuckDB with which it downloads no extension."""


def settings(folder: Path) -> dict[str, Any]:
    """The connection settings of a run; DuckDB spills into ``folder``."""
    return {**OFFLINE, "memory_limit": "512MB", "temp_directory": str(folder / "spill")}


def stage(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, StagedTable]) -> dict[str, dict[str, str]]:
    """Make a view ``staged.<table>`` of each table that has files, and ``fresh.<table>`` of the rows to check.

    Returns table → column → type of the tables to check. Lists of texts become one text with a space between items,
    so that text expectations apply to them.
    """
    connection.execute("CREATE SCHEMA staged")
    connection.execute("CREATE SCHEMA fresh")
    present = {table.name: table for table in tables.values() if table.files}
    columns = {name: _columns(connection, table.to_check or table.files) for name, table in present.items()}
    for name, table in present.items():
        _stage_one(connection, "staged", name, table.files, columns[name])
        if table.to_check:
            _stage_one(connection, "fresh", name, table.to_check, columns[name])
    return {name: columns[name] for name, table in present.items() if table.to_check}


def _columns(connection: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> dict[str, str]:
    """Names and types of a table's columns, the same in all its files."""
    described = connection.execute(f"DESCRIBE SELECT * FROM {_rows(paths)}").fetchall()
    return {str(row[0]): str(row[1]) for row in described}


def _stage_one(
    connection: duckdb.DuckDBPyConnection, schema: str, name: str, paths: Sequence[str], columns: Mapping[str, str]
) -> None:
    lists = [identifier(column) for column, kind in columns.items() if kind == "VARCHAR[]"]
    joined = ", ".join(f"nullif(array_to_string({column}, ' '), '') AS {column}" for column in lists)
    replaced = f" REPLACE ({joined})" if lists else ""
    connection.execute(f"CREATE VIEW {schema}.{identifier(name)} AS SELECT *{replaced} FROM {_rows(paths)}")


def _rows(paths: Sequence[str]) -> str:
    return f"read_parquet([{', '.join(map(literal, paths))}], hive_partitioning = false)"


def join(connection: duckdb.DuckDBPyConnection, suites: Iterable[Suite]) -> None:
    """Make a table ``joined.<table>`` of each table that suites join, read once for all suites.

    Each key has one struct, named after the table, from one row even if several have the key. Raises SuiteError.
    """
    connection.execute("CREATE SCHEMA joined")
    wanted: dict[str, dict[str, None]] = {}
    for suite in suites:
        for name, columns in suite.joins.items():
            wanted.setdefault(name, {}).update(dict.fromkeys(columns))
    for name, fields in wanted.items():
        _join_one(connection, name, list(fields))


def _join_one(connection: duckdb.DuckDBPyConnection, name: str, fields: Sequence[str]) -> None:
    values = ", ".join(f"{identifier(field)} := any_value({identifier(field)})" for field in fields)
    packed = f", struct_pack({values}) AS {identifier(name)}" if fields else ""
    rows = f"SELECT {identifier(f'{name}_key')} AS {joined_key(name)}{packed}"
    try:
        connection.execute(
            f"CREATE TABLE joined.{identifier(name)} AS {rows} FROM staged.{identifier(name)} GROUP BY 1"
        )
    except duckdb.BinderException:
        raise SuiteError(f"a suite joins {name} for {', '.join(fields)}, and not all are columns of it") from None


def fill(connection: duckdb.DuckDBPyConnection, suite: Suite) -> int:
    """Make the table that ``suite`` is run on, and return its number of rows. Raises SuiteError.

    ``join`` has run. Columns that need no joined table are computed before the join, which then carries few columns
    and no texts.
    """
    own, joins = identifier(suite.table), "".join(_join(suite.table, name) for name in suite.joins)
    named = sorted(set().union({f"{suite.table}_key"}, *map(named_columns, suite.checks)))
    derived = {name: suite.derived[name] for name in named if name in suite.derived}
    alone = {name: sql for name, sql in derived.items() if not may_read_joined(sql, suite.joins)}
    early = "".join(f", ({sql}) AS {identifier(name)}" for name, sql in alone.items())
    late = {name: f"({sql})" for name, sql in derived.items() if name not in alone}
    columns = ", ".join(f"{late.get(name, f'{own}.{identifier(name)}')} AS {identifier(name)}" for name in named)
    rows = f"(SELECT *{early} FROM fresh.{own} AS {own}) AS {own}{joins}"
    try:
        target = f"main.{identifier(table_name(suite.table))}"
        row = connection.execute(f"CREATE TABLE {target} AS SELECT {columns} FROM {rows}").fetchone()
    except duckdb.ProgrammingError as error:
        raise _refused(connection, suite, f"fresh.{own} AS {own}{joins}") or error from error
    except duckdb.DataError as error:
        reason = type(error).__name__  # its text may quote a value
        raise SuiteError(f"{suite.table}.json: a derived column fails on some row: {reason}") from None
    return int(row[0]) if row else 0


def _refused(connection: duckdb.DuckDBPyConnection, suite: Suite, source: str) -> SuiteError | None:
    """The error of the first derived column that is no valid SQL over the table; None if all are valid."""
    for name, sql in suite.derived.items():
        try:
            connection.execute(f"EXPLAIN SELECT ({sql}) FROM {source}")
        except duckdb.ProgrammingError as error:
            reason = str(error).split("\n", 1)[0]
            return SuiteError(f"{suite.table}.json: derived '{name}' is no SQL over {suite.table}: {reason}")
    return None


def table_name(table: str) -> str:
    """The name of the table that a suite is run on; never a keyword of SQL, because it is not quoted everywhere."""
    return f"checked_{table}"


def _join(table: str, other: str) -> str:
    key = f"{identifier(table)}.{identifier(f'{other}_key')}"
    return f" LEFT JOIN joined.{identifier(other)} AS {identifier(f'{other} rows')} ON {joined_key(other)} = {key}"
