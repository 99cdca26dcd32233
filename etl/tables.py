"""The warehouse's tables: ViewDefinitions with a privacy decision on every column, and their lineage columns.

Owns what makes a ViewDefinition a warehouse table (a resource key column, known privacy rules) and which
columns the loader adds. A table nobody decided on cannot be made: PrivacyError names the column.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from etl.errors import PrivacyError
from etl.privacy import check_rule
from etl.views import Column, CompiledView, compile_view, load_view
from etl.views.code_columns import code_beside
from etl.warehouse.columns import LINEAGE_TYPES

RESOURCE_KEY_PATH = "getResourceKey()"


@dataclass(frozen=True)
class WarehouseTable:
    """A compiled view and the name of the column that holds its resource's pseudonym."""

    name: str
    view: CompiledView
    key: str
    digest: str = ""
    """Of everything in the view's file that decides on a value: two views that keep the same have the same."""

    @property
    def references(self) -> tuple[Column, ...]:
        """Columns that hold pseudonyms of other resources."""
        return tuple(c for c in self.view.columns if c.privacy == "pseudonym" and c.name != self.key)

    def column_types(self) -> dict[str, str]:
        """Column → DuckDB type, in file order, without the partition column."""
        return {**{c.name: _stored_type(c) for c in self.view.columns}, **LINEAGE_TYPES}


def _stored_type(column: Column) -> str:
    if column.privacy == "pseudonym":
        return "VARCHAR[]" if column.collection else "VARCHAR"
    return column.sql_type


def load_tables(views_dir: Path) -> tuple[WarehouseTable, ...]:
    """Every view file of a folder as a table, by name; ViewError or PrivacyError says which column is at fault."""
    return tuple(
        replace(as_table(compile_view(load_view(path))), digest=_digest(path))
        for path in sorted(views_dir.glob("*.json"))
    )


def _digest(path: Path) -> str:
    decisive = json.dumps(_without_words(json.loads(path.read_text(encoding="utf-8"))), sort_keys=True)
    return hashlib.sha256(decisive.encode()).hexdigest()[:16]


_WORDS = {"title", "description", "status", "experimental", "publisher", "contact", "copyright", "date"}


def _without_words(value: object) -> object:
    """A view without what only people read: titles, descriptions, tags that decide on no value."""
    if isinstance(value, list):
        kept = [item for item in value if not _is_word(item)]
        return [_without_words(item) for item in kept]
    if isinstance(value, dict):
        return {name: _without_words(part) for name, part in value.items() if name not in _WORDS}
    return value


def _is_word(item: object) -> bool:
    """Is it a tag that decides on no value?"""
    return (
        isinstance(item, dict)
        and set(item) == {"name", "value"}
        and item["name"] not in ("erios/privacy", "erios/system")
    )


def as_table(view: CompiledView) -> WarehouseTable:
    """Check that a compiled view may be a warehouse table."""
    for column in view.columns:
        check_rule(view.name, column.name, column.privacy, is_text=_is_text(column))
        _check_label(view, column)
    return WarehouseTable(view.name, view, _resource_key(view.name, view.columns))


_TIMES = frozenset({"date", "dateTime", "instant", "time"})


def _is_text(column: Column) -> bool:
    return column.sql_type.removesuffix("[]") == "VARCHAR" and column.fhir_type not in _TIMES


def _check_label(view: CompiledView, column: Column) -> None:
    if column.privacy == "display" and code_beside(view.columns, column) is None:
        raise PrivacyError(
            f"{view.name}.{column.name}: a label comes from the code list of its code, so the view needs a column with"
            f" the path {column.path.rpartition('.')[0]}.code"
        )


def _resource_key(table: str, columns: Sequence[Column]) -> str:
    keys = [c.name for c in columns if c.path.strip() == RESOURCE_KEY_PATH and c.privacy == "pseudonym"]
    if not keys:
        raise PrivacyError(
            f"table {table} needs a column with the path {RESOURCE_KEY_PATH} and the rule pseudonym,"
            " so that corrections and deletions can find its rows"
        )
    return keys[0]
