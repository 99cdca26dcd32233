"""The catalogue as the portal shows it: tables and columns with their words and privacy rules, from the views.

Its words are French to readers of French, by ``french.toml`` beside the views.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache

from django.utils.translation import get_language

from erios.settings import load_settings
from erios.translation import French, french_of


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
    return _written() if get_language() == "en" else _in_french()


@cache
def _in_french() -> tuple[Table, ...]:
    words = french_of(load_settings().views_dir)
    return tuple(_said(table, words) for table in _written())


def _said(table: Table, words: French) -> Table:
    columns = tuple(
        replace(column, title=words.title(column.title), description=words.text(column.description))
        for column in table.columns
    )
    return Table(table.name, words.title(table.title), words.text(table.description), columns)


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
