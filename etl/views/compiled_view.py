"""Compiled views: their columns, the structure of the record that they parse, and their SQL."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from etl.views.definition import ViewError
from etl.views.query import Query
from etl.views.rows import PROBLEM, RESOURCE, Rows, elements_read

MAX_DEPTH = 32
"""How many levels ``repeat`` follows; a deeper record has a problem and is never cut silently."""
TOO_DEEP = "«too deep»"
"""Placeholder of the value of a ``repeat`` that is deeper than ``MAX_DEPTH``."""


@dataclass(frozen=True)
class Column:
    """A column of a compiled view; ``sql_type`` is its DuckDB type."""

    name: str
    path: str
    fhir_type: str
    sql_type: str
    collection: bool
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str | None = None

    @property
    def privacy(self) -> str | None:
        """The name of the column's privacy rule; None if the view names none."""
        return self.tags.get("erios/privacy")


@dataclass(frozen=True)
class CompiledView:
    """A view as SQL: which structure to parse (``from_json``) and what to select from it."""

    name: str
    resource: str
    columns: tuple[Column, ...]
    structure: Mapping[str, Any]
    _rows: Rows
    _filters: tuple[str, ...]

    def narrowed(self, present: Collection[str]) -> CompiledView:
        """The view for records that have no top-level elements other than ``present``.

        It has the same columns but reads less: most records lack most elements of a wide view. A view that uses the
        record itself, rather than its elements, stays as it is.
        """
        if elements_read(" ".join([*self._rows.texts(), *self._filters])) is None:
            return self
        rows = self._rows.narrowed(present) or self._rows
        read = elements_read(" ".join([*rows.texts(), *self._filters])) or frozenset()
        structure = {name: child for name, child in self.structure.items() if name in read}
        return replace(self, structure=structure or {"id": "VARCHAR"}, _rows=rows)

    def sql(self, source: str, resource: str = "r", carry: Sequence[str] = (), *, problems: bool = False) -> str:
        """SELECT of ``carry`` and the view's columns from ``source``, whose STRUCT column ``resource`` holds records.

        Several values in a column that is no collection raise an error in SQL. With ``problems`` the value is NULL
        instead, and the extra column ``_problem`` names the column, also for invalid dates and numbers.
        """
        where = f" WHERE {' AND '.join(self._filters)}" if self._filters else ""
        self._check_names((*carry, resource))
        too_deep = "[NULL]" if problems else f"error('repeat: nested deeper than {MAX_DEPTH}')"
        query = Query(tuple(carry), problems).sql(self._rows, f"{source}{where}")
        inner = query.replace(TOO_DEEP, too_deep).replace(RESOURCE, resource)
        extra = [f'"{PROBLEM}"'] if problems else []
        names = [*carry, *(f'"{column.name}"' for column in self.columns), *extra]
        return f"SELECT {', '.join(names)} FROM ({inner})"

    def _check_names(self, taken: Sequence[str]) -> None:
        names = {name.casefold() for name in taken}
        if clash := [column.name for column in self.columns if column.name.casefold() in names]:
            raise ViewError(f"{self.name}: the column name '{clash[0]}' is taken by the load; choose another")


@dataclass(frozen=True)
class CompiledPath:
    """A FHIRPath expression over a resource as SQL of a list of texts."""

    structure: Mapping[str, Any]
    _list: str

    def sql(self, resource: str = "r") -> str:
        """SQL of the list over the STRUCT column ``resource``."""
        return self._list.replace(RESOURCE, resource)


def merge_structures(structures: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The union of structures, so that several views can read one parsed record."""
    merged: dict[str, Any] = {}
    for structure in structures:
        for name, child in structure.items():
            merged[name] = _merge(merged[name], child) if name in merged else child
    return merged or {"id": "VARCHAR"}


def _merge(left: Any, right: Any) -> Any:
    if isinstance(left, list):
        return [_merge(left[0], right[0])]
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return merge_structures([left, right])
    if "JSON" in (left, right) and left != right:
        raise ViewError("one view repeats over an element that another view reads as a structure; split the types")
    return left if isinstance(left, Mapping) else right
