"""Typed SQL expressions: their types, the projection of the record that they read, the scope they are compiled in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from etl.fhir.element_types import Element, elements
from etl.views.fhirpath.errors import PathError

DATES = frozenset({"date", "dateTime", "instant", "time"})
_TEXTS = {"string", "code", "id", "markdown", "base64Binary", "xhtml"}
_IDENTIFIERS = {"uri", "url", "canonical", "oid", "uuid"}
STRINGS = DATES | _TEXTS | _IDENTIFIERS
"""Types whose values are texts, in JSON and in SQL."""
INTEGERS = frozenset({"integer", "positiveInt", "unsignedInt", "integer64"})
SQL_TYPES = {
    "boolean": "BOOLEAN",
    "integer": "INTEGER",
    "positiveInt": "INTEGER",
    "unsignedInt": "INTEGER",
    "integer64": "BIGINT",
    "decimal": "DECIMAL(38,22)",
}


@dataclass
class Projection:
    """Which child elements of an element a view reads, and so which structure ``from_json`` is given."""

    is_list: bool = False
    children: dict[str, Projection] = field(default_factory=dict)
    nested: RecursiveElement | None = None

    def child(self, name: str, is_list: bool) -> Projection:
        """The projection of a child element, added if it is not there."""
        return self.children.setdefault(name, Projection(is_list))

    def record_structure(self) -> Any:
        """The structure of a record, which has at least one field; DuckDB has no empty struct."""
        return self.structure() if self.children else {"id": "VARCHAR"}

    def structure(self) -> Any:
        """The projection in the form of DuckDB's JSON structures; leaves are VARCHAR."""
        inner: Any = "VARCHAR"
        if self.nested is not None:
            inner = "JSON"
        elif self.children:
            inner = {name: child.structure() for name, child in self.children.items()}
        return [inner] if self.is_list else inner


@dataclass
class RecursiveElement:
    """An element that contains itself and that a view repeats over: read as JSON text, parsed level by level.

    ``marker`` is the placeholder of the structure of one level in the SQL; ``projection`` is complete, and replaces
    it, when the whole view has been compiled.
    """

    marker: str
    projection: Projection = field(default_factory=Projection)


@dataclass(frozen=True)
class Expr:
    """A typed SQL expression; ``raw``: its SQL gives the text of a primitive, not yet cast to ``type``.

    ``elements`` are the child elements of its type, None for a primitive. ``owner`` and ``name`` say of which
    expression it is which child. ``choice`` is the name before ``[x]`` of a choice element without a type yet.
    ``json`` is (this SQL, SQL of the JSON text that it parses) of an element that is read as JSON.
    """

    sql: str
    type: str
    is_list: bool = False
    raw: bool = False
    elements: Mapping[str, Element] | None = None
    projection: Projection | None = None
    owner: Expr | None = None
    name: str = ""
    choice: str = ""
    root: bool = False
    json: tuple[str, str] = ("", "")

    def typed(self) -> Expr:
        """The same with its values cast from text to the SQL type of its FHIR type."""
        if not self.raw:
            return self
        sql_type = SQL_TYPES.get(self.type, "VARCHAR")
        if sql_type == "VARCHAR":
            return replace(self, raw=False)
        if self.is_list:
            sql = f"list_transform({self.sql}, lambda v: TRY_CAST(v AS {sql_type}))"
        else:
            sql = f"TRY_CAST({self.sql} AS {sql_type})"
        return replace(self, sql=sql, raw=False)


class Names:
    """Generator of lambda variables; no column can have such a name, because columns begin with a letter."""

    def __init__(self) -> None:
        self._count = 0

    def fresh(self) -> str:
        """A name that was not used before."""
        self._count += 1
        return f"_x{self._count}"


@dataclass(frozen=True)
class Scope:
    """Where an expression is evaluated: its context, the resource, the constants and the row's index.

    ``record`` is the resource itself, for ``%resource`` inside an iteration; without one it is the context.
    """

    this: Expr
    resource: str
    constants: Mapping[str, Expr]
    row_index: str = "0"
    record: Expr | None = None
    context: Expr | None = None
    names: Names = field(default_factory=Names)


def root(resource: str, sql: str, projection: Projection) -> Expr:
    """The resource itself, as the struct column ``sql``; PathError for an unknown resource type."""
    if not (children := elements(resource)):
        raise PathError(f"'{resource}' is not a resource type of FHIR R4")
    return Expr(sql, resource, elements=children, projection=projection, root=True)


def list_sql(focus: Expr) -> str:
    """SQL of the items as a list; NULL for a scalar that is NULL."""
    return focus.sql if focus.is_list else f"CASE WHEN {focus.sql} IS NOT NULL THEN [{focus.sql}] END"


def without_nulls(sql: str, scope: Scope) -> str:
    """SQL of a list without its NULLs."""
    x = scope.names.fresh()
    return f"list_filter({sql}, lambda {x}: {x} IS NOT NULL)"


def each(focus: Expr, scope: Scope, body: Callable[[Expr], str]) -> str:
    """SQL of ``body`` for every item of a list, or for the one value."""
    if not focus.is_list:
        return body(focus)
    x = scope.names.fresh()
    return f"list_transform({focus.sql}, lambda {x}: {body(item(focus, x))})"


def item(focus: Expr, sql: str) -> Expr:
    """One item of a list expression, as ``sql``."""
    return replace(focus, sql=sql, is_list=False, root=False)


def subset(focus: Expr, sql: str, *, is_list: bool) -> Expr:
    """Some items of a list; of a primitive, the position that leads to its ``_name`` twin is lost."""
    items = replace(focus, sql=sql, is_list=is_list, root=False)
    return replace(items, name="") if focus.elements is None else items


def singleton(focus: Expr) -> Expr:
    """The typed value of an expression; of a list, see ``only_item`` (FHIRPath §5.2, evaluation)."""
    return only_item(focus.typed())


def only_item(focus: Expr) -> Expr:
    """The item of a list that has exactly one, else NULL; a scalar is itself."""
    if not focus.is_list:
        return focus
    return replace(focus, sql=f"CASE WHEN len({focus.sql}) = 1 THEN list_extract({focus.sql}, 1) END", is_list=False)


def type_group(fhir_type: str) -> str:
    """The group of types whose values can be compared with each other: string, number, or the type itself."""
    if fhir_type in STRINGS:
        return "string"
    return "number" if fhir_type in INTEGERS or fhir_type == "decimal" else fhir_type
