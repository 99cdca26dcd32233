"""SQL text of names and values: the one place that quotes them."""

from __future__ import annotations

from collections.abc import Iterable


def literal(value: object) -> str:
    """A SQL string of ``str(value)``."""
    return "'" + str(value).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A quoted SQL name."""
    return '"' + name.replace('"', '""') + '"'


def list_literal(values: Iterable[object]) -> str:
    """A SQL list of strings."""
    return f"[{', '.join(map(literal, values))}]"
