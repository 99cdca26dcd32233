"""A view run over an export without a warehouse: NDJSON, gzip, Bundles and single resources to CSV, NDJSON or Parquet.

It applies no privacy rule: what it writes is as clear as what it reads, so it is a tool for writing views, not a way
into the warehouse. Its errors name columns and files, never values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from etl.ingest.discovery import find_sources
from etl.sql import list_literal, literal
from etl.views.compiled_view import CompiledView
from etl.views.exact_decimals import exact_text
from etl.views.run import errors_without_values, open_duckdb, rows_sql

Format = Literal["csv", "ndjson", "parquet"]


FORMATS = {"csv": "FORMAT csv, HEADER true", "ndjson": "FORMAT json", "parquet": "FORMAT parquet"}


_LARGEST = 256 << 20


_ENTRIES = """list_transform(from_json(text, '{"entry": [{"resource": "JSON"}]}').entry, lambda e: e.resource)"""


def write_rows(view: CompiledView, path: Path, output: Path, form: Format) -> int:
    """Run a view over a file or folder, write its rows to ``output`` and answer how many there are.

    Raises InputError for files that cannot be read, ViewError for a column with several values where one may be,
    StorageError when ``output`` cannot be written.
    """
    with open_duckdb() as connection, errors_without_values(view, path, output):
        sql = f"COPY ({_presented(view, rows_sql(view, _texts_of(path)), form)}) TO {literal(output)}"
        row = connection.execute(f"{sql} ({FORMATS[form]})").fetchone()
    return int(row[0]) if row else 0


def _texts_of(path: Path) -> str:
    """FROM clause: the records of all files, one a row, Bundles opened up."""
    sources, _ = find_sources([path])
    files = list_literal(source.path for source in sources if not source.deletions)
    read = f"read_json_objects({files}, format = 'auto', maximum_object_size = {_LARGEST})"
    bundle = "contains(text, '\"Bundle\"') AND json_extract_string(text, '$.resourceType') = 'Bundle'"
    opened = f"CASE WHEN {bundle} THEN {_ENTRIES} ELSE [text::JSON] END"
    exact = exact_text("json::VARCHAR", precision=True)
    return f"(SELECT unnest({opened})::VARCHAR AS text FROM (SELECT {exact} AS text FROM {read}))"


def _presented(view: CompiledView, sql: str, form: Format) -> str:
    """CSV has no lists: they are written as JSON arrays."""
    lists = [c.name for c in view.columns if c.sql_type.endswith("[]")] if form == "csv" else []
    if not lists:
        return sql
    replaced = ", ".join(f'to_json("{name}") AS "{name}"' for name in lists)
    return f"SELECT * REPLACE ({replaced}) FROM ({sql})"
