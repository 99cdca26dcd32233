"""The catalogue as the portal shows it: tables and columns with their words and privacy rules, from the views.

Its words are in the reader's language where the views' catalogue has them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache

from erios.settings import load_settings
from erios.translation import language
from erios.view_texts import ViewTexts, view_texts


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


def tables() -> tuple[Table, ...]:
    """Every table of conf/views, by name, in the reader's language."""
    return _translated(language())


@cache
def _translated(code: str) -> tuple[Table, ...]:
    texts = view_texts(load_settings().views_dir, code)
    return tuple(_translate(table, texts) for table in _written())


def _translate(table: Table, texts: ViewTexts) -> Table:
    columns = tuple(
        replace(column, title=texts.title(column.title), description=texts.text(column.description))
        for column in table.columns
    )
    return Table(table.name, texts.title(table.title), texts.text(table.description), columns)


@cache
def _written() -> tuple[Table, ...]:
    """The tables in the words of their views."""
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
