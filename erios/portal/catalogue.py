"""The catalogue as the portal shows it: tables and columns with their words and privacy rules, from the views."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

from erios.settings import load_settings


@dataclass(frozen=True)
class Column:
    """A column, its words, its type in DuckDB and its privacy rule."""

    name: str
    title: str
    description: str
    kind: str
    rule: str


@dataclass(frozen=True)
class Table:
    """A table of the warehouse."""

    name: str
    title: str
    description: str
    columns: tuple[Column, ...]


@cache
def tables() -> tuple[Table, ...]:
    """Every table of conf/views, by name."""
    from etl.tables import load_tables

    folder = load_settings().views_dir
    words = {raw["name"]: raw for raw in (json.loads(path.read_text("utf-8")) for path in folder.glob("*.json"))}
    return tuple(
        Table(
            table.name,
            words[table.name].get("title", table.name),
            words[table.name].get("description", ""),
            tuple(
                Column(c.name, c.tags.get("erios/title", c.name), c.description or "", c.sql_type, c.privacy or "")
                for c in table.view.columns
            ),
        )
        for table in sorted(load_tables(folder), key=lambda table: table.name)
    )
