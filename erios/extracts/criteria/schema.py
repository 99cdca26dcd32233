"""The JSON Schema of criteria, for editors and other programs: their form, and the fields of each criterion.

It derives from the declarations of the fields. What a schema cannot say (codes, fields that go together) ``parse``
checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from erios.extracts.criteria.kinds import LEAVES
from erios.extracts.criteria.model import Event, Leaf, field_types
from erios.extracts.criteria.parse import MAX_PARTS


def json_schema() -> dict[str, Any]:
    """The schema of a criterion, which docs/criteria.md describes."""
    parts = {"type": "array", "items": {"$ref": "#"}, "maxItems": MAX_PARTS}
    leaves = {name: _leaf(leaf) for name, leaf in LEAVES.items()}
    events = {name: {"$ref": f"#/properties/{name}"} for name, leaf in LEAVES.items() if issubclass(leaf, Event)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Criteria of a cohort",
        **_one_of({**leaves, "and": parts, "or": {**parts, "minItems": 1}, "not": {"$ref": "#"}}),
        "$defs": {"event": _one_of(events)},
    }


def _one_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """An object with one of these names."""
    form = {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": False}
    return {**form, "properties": dict(values)}


def _leaf(leaf: type[Leaf]) -> dict[str, Any]:
    types = field_types(leaf)
    if leaf.BARE:
        return types[leaf.BARE].schema()
    return {
        "type": "object",
        "properties": {field.key: {"description": field.meaning, **field.schema()} for field in types.values()},
        "required": [field.key for field in types.values() if field.required],
        "additionalProperties": False,
    }
