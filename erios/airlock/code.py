"""Code: what a program says of the data it ran on.

Owns the checks of Python, R, SQL, TOML and YAML: the text checks, and data written into a program: tables as
literals, lists of figures, filters on one patient.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Collection, Iterator
from typing import Any

from erios.airlock.column_kinds import Kind, kind_of_name
from erios.airlock.findings import Finding
from erios.airlock.grids import grid_of_json
from erios.airlock.table_checks import check_tables
from erios.airlock.tables import Table, tables_of
from erios.airlock.texts import check_text
from erios.settings_sections import AirlockSettings

_ONE_PATIENT = re.compile(
    r"(?:patient_?(?:key|id)|ipp|nip|nda|nir|iep|pseudonym\w*|subject_?id|encounter_?(?:key|id)|stay_?id|person_?id|num_?(?:dossier|sejour))"
    r"[\"'\]` )]*\s*(?:==?|<-|%in%|\.isin\(|\bin\b|\blike\b|:)\s*[(\[{c ]*[\"']?[\w-]*\d",
    re.IGNORECASE,
)
_MOST_LITERALS = 24


def check_code(text: str, settings: AirlockSettings, *, pseudonyms: Collection[str] = ()) -> Iterator[Finding]:
    """What is seen in code; places are lines from 1."""
    yield from check_text(text, settings, code=True, pseudonyms=pseudonyms)
    for match in _ONE_PATIENT.finditer(text):
        yield Finding("one-patient", place="line", values={"line": text.count("\n", 0, match.start()) + 1})
    tree = parse_python(text)
    if tree is not None:
        yield from _literals(tree, settings)


def parse_python(text: str) -> ast.Module | None:
    """The syntax tree of Python; None for what is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _literals(tree: ast.Module, settings: AirlockSettings) -> Iterator[Finding]:
    """Lists with many figures, and tables of counts; strings are part of the text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _counts_few(node, settings.threshold):
            yield Finding("few-patients", place="line", values={"line": node.lineno, "threshold": settings.threshold})
        if isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict):
            figures = sum(
                isinstance(each, ast.Constant) and type(each.value) in (int, float) for each in ast.walk(node)
            )
            if figures > _MOST_LITERALS:
                yield Finding("numbers", place="line", values={"line": node.lineno})
            yield from _table(node, settings)


def _counts_few(node: ast.Assign, threshold: int) -> bool:
    """A list or mapping under the name of a count that holds a small one."""
    named = any(isinstance(name, ast.Name) and kind_of_name(name.id) == Kind.COUNT for name in node.targets)
    values = [each.value for each in ast.walk(node.value) if isinstance(each, ast.Constant)]
    counted = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    whole = isinstance(node.value, ast.Dict | ast.List | ast.Tuple) and len(counted) > 1
    return named and whole and any(0 < value < threshold for value in counted)


def _table(node: ast.expr, settings: AirlockSettings) -> Iterator[Finding]:
    """A literal that is a table of counts is checked as one."""
    grid = grid_of_json(_as_json(node))
    tables = [table for table in tables_of(grid) if _counts(table)] if grid else []
    for finding in check_tables(tables, (), (), settings):
        yield Finding(finding.check, finding.verdict, "line", {**finding.values, "line": node.lineno})


def _as_json(node: ast.expr) -> str:
    try:
        value: Any = ast.literal_eval(node)
        return json.dumps(value)
    except (ValueError, TypeError, RecursionError, MemoryError):
        return ""


def _counts(table: Table) -> bool:
    """Whether a column with labels beside it is called a count."""
    return bool(table.labels) and any(kind == Kind.COUNT for kind in table.column_kinds)
