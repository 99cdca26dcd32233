"""The criteria builder: rows of a form to the JSON of criteria, and back, without loss.

One row a leaf criterion, read from top to bottom. A row joins the one before it by "and", by "or", or by "within N days
of"; "except" turns it round. What rows cannot say (deeper nesting) is a row that holds its JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from erios.errors import InputError
from erios.extracts.criteria import LEAVES, Criterion, Leaf, Not, Or, Within, describe, dump, parse, steps
from erios.extracts.criteria.fields import FieldType
from erios.extracts.criteria.model import Event, field_types
from erios.extracts.criteria.words import label, option_label

JSON = "json"
KINDS = tuple(name for name in LEAVES if name != Within.NAME)
"""The leaves that a row can be about."""
_WITHIN = {name: field for name, field in field_types(Within).items() if field.widget != "event"}
_EVENTS = {event.NAME for event in Event.__subclasses__()}
_FIELD_NAME = re.compile(r"([0-9]{1,3}):([a-z]+)")


@dataclass(frozen=True)
class Row:
    """One row of the form: the text of each of its fields by name; ``kind`` is a leaf's name or ``json``."""

    values: Mapping[str, str]

    def get(self, name: str) -> str:
        return self.values.get(name, "").strip()


@dataclass(frozen=True)
class Input:
    """A field of a row as the page shows it; ``options``: value, words, is it chosen."""

    name: str
    label: str
    widget: str
    value: str
    placeholder: str
    options: tuple[tuple[str, str, bool], ...]


def rows_of(post: Mapping[str, Sequence[str]]) -> list[Row]:
    """The rows of a submitted form, whose fields are named ``3:codes``; several values have spaces between."""
    rows: dict[int, dict[str, str]] = {}
    for name, values in post.items():
        if match := _FIELD_NAME.fullmatch(name):
            rows.setdefault(int(match[1]), {})[match[2]] = " ".join(values)
    return [Row(values) for _, values in sorted(rows.items())]


def new_row(kind: str) -> Row:
    """An empty row about a kind of criterion; a choice that is required starts at its first option."""
    types = field_types(LEAVES[kind if kind in KINDS else "diagnosis"])
    first = {field.key: field.choices[0] for field in types.values() if field.required and field.choices}
    return Row({"kind": kind if kind in KINDS else "diagnosis", **first})


def criteria_of(rows: Sequence[Row]) -> dict[str, Any]:
    """The criteria that the rows say, checked. InputError names the row, or the place, that does not fit."""
    groups: list[list[dict[str, Any]]] = []
    for join, criterion in _joined(rows):
        if join == "or" and groups:
            groups[-1].append(criterion)
        else:
            groups.append([criterion])
    parts = [group[0] if len(group) == 1 else {"or": group} for group in groups]
    criteria = parts[0] if len(parts) == 1 and "and" not in parts[0] else {"and": parts}
    parse(criteria)
    return criteria


def _joined(rows: Sequence[Row]) -> list[tuple[str, dict[str, Any]]]:
    """The criteria with how each joins the one before; rows joined by "within" are one."""
    joined: list[tuple[str, dict[str, Any]]] = []
    for number, row in enumerate(rows, start=1):
        join, criterion = row.get("join"), _criterion(row, number)
        if join == "within" and joined:
            join, of = joined.pop()
            criterion = {"within": {"event": criterion, "of": _event(of, number), **_fields(_WITHIN, row, number)}}
        joined.append((join, {"not": criterion} if row.get("except") else criterion))
    return joined


def _event(criterion: Mapping[str, Any], number: int) -> Mapping[str, Any]:
    if not set(criterion) <= _EVENTS:
        raise InputError(f"line {number}: 'within days of' follows a single stay, diagnosis, result, treatment or act")
    return criterion


def _criterion(row: Row, number: int) -> dict[str, Any]:
    kind = row.get("kind")
    if kind == JSON:
        return dump(parse(row.get(JSON), at=f"line {number}"))
    if kind not in KINDS:
        raise InputError(f"line {number}: choose what it is about: {', '.join(KINDS)}")
    values = _fields(field_types(LEAVES[kind]), row, number)
    return {kind: next(iter(values.values())) if LEAVES[kind].BARE else values}


def _fields(types: Mapping[str, FieldType], row: Row, number: int) -> dict[str, Any]:
    try:
        values = {field.key: field.from_form(row.get(field.key)) for field in types.values()}
    except InputError as error:
        raise InputError(f"line {number}: {error.sentence}") from None
    return {key: value for key, value in values.items() if value is not None}


def rows_from(criteria: Mapping[str, Any] | None) -> list[Row]:
    """Rows that say these criteria; ``criteria_of`` gives them back."""
    if not criteria:
        return []
    try:
        criterion = parse(criteria)
    except InputError:
        return [Row({"kind": JSON, JSON: json.dumps(criteria, ensure_ascii=False)})]
    rows = []
    for step in steps(criterion):
        for n, part in enumerate(step.any if isinstance(step, Or) else (step,)):
            rows += _rows(part, "or" if n else "and")
    return rows


def _rows(part: Criterion, join: str) -> list[Row]:
    negated = {"except": "1"} if isinstance(part, Not) else {}
    inner = part.criterion if isinstance(part, Not) else part
    match inner:
        case Within(event, of):
            near = {field.key: field.to_form(getattr(inner, name)) for name, field in _WITHIN.items()}
            return [Row({**_values(of), "join": join}), Row({**_values(event), **near, **negated, "join": "within"})]
        case Leaf():
            return [Row({**_values(inner), **negated, "join": join})]
    return [Row({"kind": JSON, JSON: json.dumps(dump(part), ensure_ascii=False), "join": join})]


def _values(leaf: Leaf) -> dict[str, str]:
    types = field_types(type(leaf))
    return {"kind": leaf.NAME, **{field.key: field.to_form(getattr(leaf, name)) for name, field in types.items()}}


def shown(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as the page shows them: their words and inputs."""
    return [_shown(row, n) for n, row in enumerate(rows)]


def _shown(row: Row, n: int) -> dict[str, Any]:
    kind = row.get("kind")
    types = [*field_types(LEAVES[kind]).values()] if kind in KINDS else []
    near = [*_WITHIN.values()] if n else []
    return {
        "kind": kind,
        "title": label(kind if kind in KINDS else JSON),
        "join": row.get("join"),
        "except": row.get("except"),
        "json": row.get(JSON),
        "words": _words(row) if kind == JSON else "",
        "inputs": [_input(field, row) for field in [*types, *near]],
    }


def _words(row: Row) -> str:
    try:
        return describe(parse(row.get(JSON)))
    except InputError as error:
        return error.sentence


def _input(field: FieldType, row: Row) -> Input:
    value = row.get(field.key)
    chosen = set((value or field.default_choice).split())
    options = tuple((choice, option_label(choice), choice in chosen) for choice in field.choices)
    if field.widget == "select" and not field.default_choice:
        options = (("", "–", not chosen), *options)
    return Input(field.key, label(field.key), field.widget, value, ", ".join(field.examples), options)
