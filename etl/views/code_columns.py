"""Which columns of a view belong together: a code, its system, its label, its unit's name.

They are told by their paths: what stands before the last element is the same Coding or Quantity. Where several columns
have that path, below different ``forEach``, the one whose name begins alike is meant.
"""

from __future__ import annotations

from collections.abc import Sequence

from etl.views.compiled_view import Column


def code_beside(columns: Sequence[Column], column: Column) -> Column | None:
    """The code of which a column is the label, or the unit's name."""
    return _beside(columns, column, "code")


def system_beside(columns: Sequence[Column], column: Column) -> Column | None:
    """The code system of a code."""
    return _beside(columns, column, "system")


def _beside(columns: Sequence[Column], column: Column, element: str) -> Column | None:
    before, dot, last = column.path.strip().rpartition(".")
    if not dot or last not in ("code", "display", "unit"):
        return None
    path = f"{before}.{element}"
    beside = [c for c in columns if c.path.strip() == path and c.collection == column.collection]
    return max(beside, key=lambda c: _alike(c.name, column.name), default=None)


def _alike(name: str, other: str) -> int:
    """Letters with which both names begin."""
    return next((n for n, (a, b) in enumerate(zip(name, other, strict=False)) if a != b), min(len(name), len(other)))
