"""Compiled views run in DuckDB, over JSON records and without a warehouse.

No privacy rule is applied: rows are as clear as the records, so this is for writing views and testing them. Errors
name columns and files, never values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from etl.errors import InputError, StorageError
from etl.sql import literal
from etl.views.compiled_view import CompiledView, merge_structures
from etl.views.definition import ViewError
from etl.views.exact_decimals import exact_text

_RESOURCE = "_resource"


def open_duckdb(threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory connection whose time zone is UTC."""
    connection = duckdb.connect(config={"threads": threads} if threads else {})
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def check_sql(view: CompiledView) -> None:
    """Let DuckDB plan a compiled view, without data; ViewError if it cannot, or if a column has another type."""
    source = f"(SELECT NULL::VARCHAR AS text WHERE false) {_RESOURCE}s"
    with open_duckdb(threads=1) as connection:
        try:
            described = connection.execute(f"DESCRIBE {rows_sql(view, source)}").fetchall()
        except duckdb.Error as error:
            raise ViewError(f"{view.name}: DuckDB cannot run the view: {str(error).splitlines()[0]}") from None
    for column, (name, sql_type, *_) in zip(view.columns, described, strict=True):
        if column.sql_type != sql_type:
            raise ViewError(
                f"{view.name}: column {name} is {sql_type} and not {column.sql_type}; correct its ansi/type"
            )


def rows_sql(view: CompiledView, texts: str) -> str:
    """SELECT of a view's rows over ``texts``, a FROM clause with a column ``text`` of JSON records of any type."""
    structure = merge_structures([view.structure, {"resourceType": "VARCHAR"}])
    parsed = f"from_json({exact_text('text', precision=True)}, {literal(json.dumps(structure))})"
    records = f"(SELECT {parsed} AS {_RESOURCE} FROM {texts})"
    own = f"(SELECT * FROM {records} WHERE struct_extract({_RESOURCE}, 'resourceType') = {literal(view.resource)})"
    return view.sql(own, _RESOURCE)


def fetch_rows(
    connection: duckdb.DuckDBPyConnection, view: CompiledView, texts: Sequence[str]
) -> list[tuple[object, ...]]:
    """The rows of a view over a few records, as Python values; for tests and the conformance suite."""
    connection.execute("CREATE OR REPLACE TEMP TABLE texts (text VARCHAR)")
    if texts:
        connection.execute("INSERT INTO texts SELECT unnest(?::VARCHAR[])", [list(texts)])
    timed = [c.name for c in view.columns if c.sql_type.startswith(("DATE", "TIME"))]
    replaced = ", ".join(f'CAST("{name}" AS VARCHAR) AS "{name}"' for name in timed)
    star = f"* REPLACE ({replaced})" if timed else "*"
    with errors_without_values(view, None, None):
        return connection.execute(f"SELECT {star} FROM ({rows_sql(view, 'texts')})").fetchall()


@contextmanager
def errors_without_values(view: CompiledView, path: Path | None, output: Path | None) -> Iterator[None]:
    """Translate DuckDB's errors, which may quote values of a record, to errors that do not."""
    try:
        yield
    except duckdb.Error as error:
        own = re.search(r"column \w+ \(.*\) has more than one value; use first\(\) or collection", str(error))
        own = own or re.search(r"column \w+: more than one value at [^\n]*", str(error))
        deep = re.search(r"\S*repeat: nested deeper than \d+", str(error))
        if sentence := own or deep:
            raise ViewError(f"{view.name}: {sentence[0]}") from None
        if isinstance(error, duckdb.IOException) and output is not None:
            raise StorageError(f"cannot read {path} or write {output}: check the disk and its permissions") from None
        if path is not None:
            raise InputError(f"{path} holds a text that is not JSON, or is truncated; check it") from None
        raise ViewError(f"{view.name}: DuckDB cannot run the view ({type(error).__name__})") from None
