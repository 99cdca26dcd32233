"""An extract's folder as DuckDB views, in a private working folder that is removed.

Owns the connection, its memory limit and where it spills. Only aggregates and samples of bounded size may come back
through it; an error must never carry a value of a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from erios.errors import InputError, StorageError
from etl.sql import identifier, list_literal

if TYPE_CHECKING:
    import duckdb

KEY = "patient_key"
LEAST_MEMORY_MB = 256
_NUMBERS = ("DECIMAL", "DOUBLE", "FLOAT")


@dataclass(frozen=True)
class Table:
    """A table of the extract: ``types`` of its columns; ``view`` is its name in SQL."""

    name: str
    view: str
    types: Mapping[str, str]

    @property
    def has_patients(self) -> bool:
        """Are its rows about patients?"""
        return KEY in self.types

    def text(self, column: str) -> str:
        """SQL of a column as text: numbers without trailing zeros, lists joined."""
        kind, name = self.types[column], identifier(column)
        if kind.startswith(_NUMBERS):
            return f"regexp_replace(CAST(CAST({name} AS DOUBLE) AS VARCHAR), '\\.0$', '')"
        if kind.endswith("[]"):
            return f"array_to_string(list_sort({name}), ',')"
        return name if kind == "VARCHAR" else f"CAST({name} AS VARCHAR)"


@dataclass(frozen=True)
class Extract:
    """An open extract: its tables, and the connection that reads them."""

    sql: duckdb.DuckDBPyConnection
    tables: Mapping[str, Table]

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query whose result is small by its nature."""
        return self.sql.execute(query, list(values)).fetchall()

    def scalar(self, query: str, values: Sequence[Any] = ()) -> Any:
        """The one value of a query."""
        return self.rows(query, values)[0][0]

    def run(self, statement: str, values: Sequence[Any] = ()) -> None:
        """A statement whose result nobody reads."""
        self.sql.execute(statement, list(values)).fetchall()


@contextmanager
def open_folder(
    folder: Path, tables: Mapping[str, Sequence[str]], memory_mb: int, scratch: Path | None
) -> Iterator[Extract]:
    """The extract in ``folder``; what it works with lies under ``scratch`` (default: the folder itself) and goes."""
    with working_folder(scratch or folder) as working, _connect(working, memory_mb) as sql:
        yield Extract(sql, {name: add_table(sql, folder, name, columns) for name, columns in tables.items()})


@contextmanager
def working_folder(parent: Path) -> Iterator[Path]:
    """A folder for this process's user alone, removed at the end; StorageError if it cannot be made."""
    try:
        holder = TemporaryDirectory(prefix=".risk-", dir=parent)
    except OSError as error:
        raise StorageError(f"cannot make a working folder in {parent}: {error.strerror}") from None
    with holder as working:
        yield Path(working)


@contextmanager
def _connect(working: Path, memory_mb: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database on disk. Its faults may quote values, so they come out as a sentence without any."""
    import duckdb

    limits: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{max(memory_mb, LEAST_MEMORY_MB)}MB",
        "temp_directory": str(working / "spill"),
        "preserve_insertion_order": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    try:
        with duckdb.connect(working / "risk.duckdb", config=limits) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET enable_progress_bar = false")
            yield connection
    except duckdb.OutOfMemoryException:
        raise StorageError(f"the risk report needs more than {memory_mb} MB; allow it more memory") from None
    except (duckdb.IOException, duckdb.InvalidInputException):
        raise StorageError("an extract's file cannot be read, or the disk is full; check both and run again") from None


def add_table(sql: duckdb.DuckDBPyConnection, folder: Path, name: str, columns: Sequence[str], as_: str = "") -> Table:
    """A view over the files of a table; a table without files has no columns."""
    import duckdb

    files = sorted((folder / name).glob("part-*.parquet"))
    if not (folder / name).is_dir():
        raise InputError(f"the extract has no folder for its table {name}; build it again")
    view = as_ or f"rows_{name}"
    if not files:
        return Table(name, identifier(view), {})
    paths = list_literal(files)
    source = f"read_parquet({paths}, hive_partitioning = false)"
    try:
        sql.execute(f"CREATE VIEW {identifier(view)} AS SELECT * FROM {source}")
    except duckdb.Error:
        raise StorageError(f"a file of the extract's table {name} cannot be read; build the extract again") from None
    described = sql.execute(f"DESCRIBE {identifier(view)}").fetchall()
    types = {str(row[0]): str(row[1]) for row in described}
    for column in columns:
        if column not in types:
            raise InputError(
                f"the extract's table {name} has no column {column}, which it was asked for; build it again"
            )
    return Table(name, identifier(view), types)
