"""The reference page of the warehouse, generated from the views: tables, columns, privacy rules and meanings.

Owns the text of ``docs/warehouse.md``, which has nothing that is not in the ViewDefinitions. Generate it with
``python -m etl.warehouse_reference conf/views docs/warehouse.md``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from etl.privacy import RULES
from etl.views import Column, CompiledView, ViewError, compile_view, load_view
from etl.warehouse.columns import LINEAGE_TYPES

_INTRODUCTION = """\
# The warehouse: tables and columns

<!-- Written by etl/warehouse_reference.py from conf/views: change a view, not this page. -->

A table is one SQL-on-FHIR ViewDefinition in `conf/views`; adding a file adds a table. Every column
carries the rule that decides what of it may enter the warehouse:

| rule | effect |
|---|---|
{rules}

Rows are unique on the table's key together with its `_index` column, if it has one. Columns that end in
`_key` join to the key that their description names. A date is kept as FHIR text, with its precision and
time zone; the column of the same name with `_at` (an instant) or `_on` (a day) is its typed twin. Of an
element that repeats, a plain column holds the first value, and lists (`[]`) hold all.

Text never comes from the record as it is: codes are those of code lists or of forms that cannot hold an identifier
(`conf/terminology`, `erios codes`), labels and names of units are the lists'; any other code is a keyed pseudonym,
`local-` and 32 hexadecimal digits, which a person can look up and adopt ([how](how-to-codes.md)).

Every table also has columns of the load itself:

| column | type | meaning |
|---|---|---|
| `_last_updated` | {_last_updated} | the day on which the record was last changed at the source, if it says so |
| `bucket` | INTEGER | partition: leading bits of the patient's pseudonym |
"""
_HEADER = "| column | type | rule | code system | meaning |\n|---|---|---|---|---|"


def warehouse_page(views_dir: Path) -> str:
    """The whole page as Markdown; ViewError when the folder holds no view or one that does not compile."""
    files = sorted(Path(views_dir).glob("*.json"))
    if not files:
        raise ViewError(f"no view (*.json) in {views_dir}")
    pages = [(json.loads(file.read_bytes()), compile_view(load_view(file))) for file in files]
    contents = [f"- [`{view.name}`](#{view.name}): {definition['title']}" for definition, view in pages]
    tables = ["\n".join(_table(definition, view)) for definition, view in pages]
    rules = "\n".join(f"| `{name}` | {rule.effect} |" for name, rule in RULES.items())
    return "\n".join([_INTRODUCTION.format(rules=rules, **LINEAGE_TYPES), "## Tables\n", *contents, "", *tables])


def _table(definition: Mapping[str, Any], view: CompiledView) -> Iterator[str]:
    unique = ", ".join(f"`{name}`" for name in row_key(view.columns))
    yield f"## {view.name}\n"
    yield f"**{definition['title']}**, from `{view.resource}`. {definition['description']}\n"
    yield f"Unique: {unique}.\n"
    yield _HEADER
    yield from (_row(column) for column in view.columns)
    yield ""


def row_key(columns: Sequence[Column]) -> list[str]:
    """Names of the columns that together are unique: the first, and every ``_index``."""
    indexes = [c.name for c in columns if c.name.endswith("_index") and c.sql_type == "INTEGER"]
    return [columns[0].name, *indexes]


def _row(column: Column) -> str:
    system = column.tags.get("erios/system")
    cells = (
        f"`{column.name}`",
        column.sql_type,
        f"`{column.privacy}`",
        f"`{system}`" if system else "",
        f"**{column.tags.get('erios/title', '')}.** {column.description or ''}",
    )
    return _cells(cells)


def _cells(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(warehouse_page(Path(sys.argv[1])))
