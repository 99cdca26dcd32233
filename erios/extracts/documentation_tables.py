"""The tables of the documentation that derive from declarations, and the schema of criteria; tests compare them.

Write them anew with ``python -m erios.extracts.documentation_tables docs``: criteria, forms of a column,
figures of risk.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from erios.extracts.criteria import LEAVES
from erios.extracts.criteria.model import field_types
from erios.extracts.criteria.schema import json_schema
from erios.extracts.generalisation.columns import FORMS
from erios.extracts.generalisation.vocabulary import describe_level
from erios.extracts.risk.metrics import METRICS

START, END = "<!-- table -->", "<!-- /table -->"
SCHEMA = "reference/criteria.schema.json"


def criteria_table() -> str:
    """The leaf criteria and their fields."""
    return _table(["criterion", "field", "needed", "holds", "example or choices"], _criteria())


def _criteria() -> Iterator[list[str]]:
    for name, leaf in LEAVES.items():
        for field in field_types(leaf).values():
            key = "the value itself" if leaf.BARE else f"`{field.key}`"
            allowed = ", ".join(f"`{word}`" for word in field.choices)
            shown = allowed or (f"`{', '.join(field.examples)}`" if field.examples else "")
            yield [f"`{name}`", key, "yes" if field.required else "", field.meaning, shown]


def forms_table() -> str:
    """The forms that each kind of column may take."""
    return _table(["kind of column", "forms, the first where none is named"], _forms())


def _forms() -> Iterator[list[str]]:
    for kind, forms in FORMS.items():
        if forms:
            yield [kind, ", ".join(f"`{form}` ({_in_words(form)})" for form in forms)]


def _in_words(form: str) -> str:
    return "as `dates` says" if form == "policy" else describe_level(form, "en")


def metrics_table() -> str:
    """The figures of a risk report."""
    rows = ([f"`{metric.name}`", metric.definition, metric.formula, metric.source] for metric in METRICS)
    return _table(["figure", "meaning", "formula", "source"], rows)


def _table(head: list[str], rows: Iterator[list[str]]) -> str:
    cells = [head, ["---"] * len(head), *rows]
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row).strip() for row in cells]
    return "\n".join(f"| {line} |" for line in lines)


TABLES: Mapping[str, Callable[[], str]] = {
    "criteria.md": criteria_table,
    "extracts.md": forms_table,
    "risk.md": metrics_table,
}
"""Page → its table."""


def with_table(page: str, table: str) -> str:
    """A page with the table between its marks as it must be."""
    before, _, rest = page.partition(START)
    return f"{before}{START}\n{table}\n{END}{rest.partition(END)[2]}"


def schema_text() -> str:
    """The JSON Schema of criteria as the file holds it."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (Path(sys.argv[1]) / SCHEMA).write_text(schema_text(), encoding="utf-8")
    for name, table in TABLES.items():
        page = Path(sys.argv[1]) / name
        page.write_text(with_table(page.read_text(encoding="utf-8"), table()), encoding="utf-8")
