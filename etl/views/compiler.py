"""ViewDefinition → one DuckDB SELECT.

Owns the meaning of select, forEach, forEachOrNull, repeat, unionAll, column and where (SQL-on-FHIR v2, «Processing
Algorithm»). A select that iterates becomes one expression of type LIST of STRUCT: nested selects are nested list
functions, siblings a cross product, a union a concatenation; a view unnests once, at the end. So there are no
correlated joins, and each record is handled by DuckDB's vectorised list functions alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import reduce
from typing import Any

from etl.fhir.element_types import elements
from etl.sql import literal
from etl.views import boundaries
from etl.views.definition import ColumnDefinition, Constant, Select, ViewDefinition, ViewError, parse_view
from etl.views.fhirpath import compile_expression
from etl.views.fhirpath.errors import PathError, UnknownElementError
from etl.views.fhirpath.expressions import (
    DATES,
    INTEGERS,
    SQL_TYPES,
    STRINGS,
    Expr,
    Names,
    Projection,
    RecursiveElement,
    Scope,
    root,
)
from etl.views.fhirpath.syntax import is_path
from etl.views.rows import RESOURCE, Check, Iteration, Rows, Union, Value, elements_read
from etl.views.sharing import share_paths

MAX_DEPTH = 32
"""How deep ``repeat`` follows a structure; deeper data is a problem of its record, never cut silently."""
_PROBLEM = "_problem"
_KNOWN_TYPES = STRINGS | INTEGERS | {"boolean", "decimal"}


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
        """The privacy rule that the file names for the column."""
        return self.tags.get("erios/privacy")


@dataclass(frozen=True)
class CompiledView:
    """A view as SQL: which structure to parse and what to select from it."""

    name: str
    resource: str
    columns: tuple[Column, ...]
    structure: Mapping[str, Any]
    _rows: Rows
    _filters: tuple[str, ...]

    def narrowed(self, present: Collection[str]) -> CompiledView:
        """The view as it is for records with no other elements than ``present`` at their top level.

        It has the same columns, and asks for nothing that is not there: most records lack most elements of a wide view.
        One that takes the record itself, rather than its elements, stays as it is.
        """
        if elements_read(" ".join([*self._rows.texts(), *self._filters])) is None:
            return self
        rows = self._rows.narrowed(present) or self._rows
        read = elements_read(" ".join([*rows.texts(), *self._filters])) or frozenset()
        structure = {name: part for name, part in self.structure.items() if name in read}
        return replace(self, structure=structure or {"id": "VARCHAR"}, _rows=rows)

    def sql(self, source: str, resource: str = "r", carry: Sequence[str] = (), *, problems: bool = False) -> str:
        """SELECT of ``carry`` and the view's columns from ``source``, whose STRUCT column ``resource`` holds records.

        A column that is no collection and finds several values raises in SQL; with ``problems`` it is NULL, and the
        extra column ``_problem`` says which column, as it does for dates and numbers that cannot be read.
        """
        where = f" WHERE {' AND '.join(self._filters)}" if self._filters else ""
        self._check_names((*carry, resource))
        too_deep = "[NULL]" if problems else f"error('repeat: nested deeper than {MAX_DEPTH}')"
        query = _Query(tuple(carry), problems).sql(self._rows, f"{source}{where}")
        inner = query.replace(_TOO_DEEP, too_deep).replace(RESOURCE, resource)
        extra = [f'"{_PROBLEM}"'] if problems else []
        names = [*carry, *(f'"{column.name}"' for column in self.columns), *extra]
        return f"SELECT {', '.join(names)} FROM ({inner})"

    def _check_names(self, taken: Sequence[str]) -> None:
        names = {name.casefold() for name in taken}
        if clash := [column.name for column in self.columns if column.name.casefold() in names]:
            raise ViewError(f"{self.name}: the column name '{clash[0]}' is taken by the load; choose another")


@dataclass(frozen=True)
class CompiledPath:
    """A single FHIRPath over a resource as SQL giving a list of text."""

    structure: Mapping[str, Any]
    _list: str

    def sql(self, resource: str = "r") -> str:
        return self._list.replace(RESOURCE, resource)


_NULL_FOR_NULL = ("%rowIndex", "$this")
"""Paths that need no guard where there is no item: the index of the only row is 0, and NULL is NULL."""
_STRUCTURE = "«structure {}»"
_TOO_DEEP = "«too deep»"


def compile_view(definition: ViewDefinition | Mapping[str, Any]) -> CompiledView:
    """Compile a view; ViewError names the view, the JSON path of the fault and what is wanted."""
    view = definition if isinstance(definition, ViewDefinition) else parse_view(definition)
    return _Compiler(view).compile()


def compile_path(resource: str, path: str) -> CompiledPath:
    """Compile one expression over a resource type; ViewError if it does not fit the type."""
    projection = Projection()
    try:
        expr = compile_expression(path, Scope(root(resource, RESOURCE, projection), resource, {}))
    except PathError as error:
        raise ViewError(f"{resource}: path '{path}': {error}") from None
    expr = expr.typed()
    sql = expr.sql if expr.is_list else f"CASE WHEN {expr.sql} IS NOT NULL THEN [{expr.sql}] END"
    return CompiledPath(projection.structure() if projection.children else {"id": "VARCHAR"}, sql)


def merge_structures(structures: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The union of structures, so that several views can read one parsed record."""
    merged: dict[str, Any] = {}
    for structure in structures:
        for name, part in structure.items():
            merged[name] = _merge(merged[name], part) if name in merged else part
    return merged or {"id": "VARCHAR"}


def _read_both_ways(projection: Projection) -> bool:
    """Was any element read as a structure before it was found to be repeated over?"""
    return bool(projection.nested and projection.children) or any(map(_read_both_ways, projection.children.values()))


def _json_texts(expr: Expr) -> str:
    """SQL of a list of the JSON texts of an expression's items."""
    parsed, text = expr.json
    if parsed != expr.sql:
        text = expr.sql
    elif not expr.is_list:
        return f"CASE WHEN {text} IS NOT NULL THEN [{text}] END"
    if expr.is_list:
        return f"list_transform({text}, lambda t: to_json(t))"
    return f"CASE WHEN {text} IS NOT NULL THEN [to_json({text})] END"


def _merge(one: Any, other: Any) -> Any:
    if isinstance(one, list):
        return [_merge(one[0], other[0])]
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return merge_structures([one, other])
    if "JSON" in (one, other) and one != other:
        raise ViewError("one view repeats over an element that another view reads as a structure; split the types")
    return one if isinstance(one, Mapping) else other


class _Compiler:
    def __init__(self, view: ViewDefinition) -> None:
        self._view = view
        self._projection = Projection()
        self._columns: dict[str, Column] = {}
        self._names = Names()
        self._nested: dict[str, RecursiveElement] = {}

    def compile(self) -> CompiledView:
        """Compile; once more, when it turned out late that an element already read is repeated over."""
        view = self._compile()
        if any(map(_read_both_ways, [self._projection, *(nested.projection for nested in self._nested.values())])):
            self._columns, self._names = {}, Names()
            return self._compile()
        return view

    def _compile(self) -> CompiledView:
        scope = self._scope()
        filters = [self._filter(path, number, scope) for number, path in enumerate(self._view.filters)]
        rows = Rows()
        for select in self._view.selects:
            self._add(rows, self._select(select, scope), select.where)
        columns = tuple(self._columns[name] for name in rows.order)
        structure = self._projection.structure() if self._projection.children else {"id": "VARCHAR"}
        return CompiledView(
            self._view.name,
            self._view.resource,
            columns,
            structure,
            rows.mapped(self._fill),
            tuple(self._fill(text) for text in filters),
        )

    def _error(self, where: str, problem: str) -> ViewError:
        return ViewError(f"{self._view.name}: {where} {problem}")

    def _scope(self) -> Scope:
        try:
            this = root(self._view.resource, RESOURCE, self._projection)
        except PathError as error:
            raise self._error("resource", str(error)) from None
        constants = {name: self._constant(c) for name, c in self._view.constants.items()}
        return Scope(this, self._view.resource, constants, record=this, names=self._names)

    def _constant(self, constant: Constant) -> Expr:
        if constant.type not in _KNOWN_TYPES:
            raise self._error(f"constant '{constant.name}'", f"has the unknown type value{constant.type}")
        if not _is_constant(constant):
            raise self._error(f"constant '{constant.name}'", f"has a value that is no {constant.type}")
        if constant.type == "boolean":
            return Expr("true" if constant.value else "false", "boolean")
        text = str(constant.value)
        if constant.type in INTEGERS:
            return Expr(text, constant.type)
        return Expr(literal(text), constant.type, raw=constant.type == "decimal" or constant.type in DATES)

    def _filter(self, path: str, number: int, scope: Scope) -> str:
        where = f"where[{number}].path '{path}'"
        expr = self._expression(path, scope, where)
        if expr.type not in ("boolean", "empty"):
            raise self._error(where, f"must be true or false, and is a {expr.type}")
        typed = expr.typed()
        return f"coalesce(list_extract({typed.sql}, 1), false)" if typed.is_list else f"coalesce({typed.sql}, false)"

    def _expression(self, path: str, scope: Scope, where: str) -> Expr:
        try:
            return compile_expression(path, scope)
        except PathError as error:
            raise ViewError(f"{self._view.name}: {where}: {error}") from None

    def _select(self, select: Select, scope: Scope) -> Rows:
        if select.repeat:
            return self._iterated(select, *self._repeat(select, scope))
        if select.for_each is None:
            return self._body(select, scope)
        iteration = "forEachOrNull" if select.or_null else "forEach"
        focus = self._expression(select.for_each, scope, f"{select.where}.{iteration} '{select.for_each}'")
        if focus.choice:
            raise self._error(f"{select.where}.{iteration}", f"'{focus.choice}' has several types; add ofType()")
        items = focus.sql if focus.is_list else f"CASE WHEN {focus.sql} IS NOT NULL THEN [{focus.sql}] END"
        if select.or_null:
            items = f"CASE WHEN len({items}) > 0 THEN {items} ELSE [NULL] END"
        of_path = scope.this.root and not select.or_null and is_path(select.for_each)
        return self._iterated(select, focus, items, scope, of_path=of_path)

    def _iterated(self, select: Select, focus: Expr, items: str, scope: Scope, *, of_path: bool = False) -> Rows:
        """Rows of a select for every item of a list."""
        x, i = self._names.fresh(), self._names.fresh()
        this = replace(focus, sql=x, is_list=False, root=False)
        inner = self._body(select, replace(scope, this=this, row_index=f"({i} - 1)"))
        if select.or_null:
            inner = self._one_row_of_nulls(inner, f"{x} IS NULL")
        if select.repeat:
            reason = literal(f"{select.where}.repeat: nested deeper than {MAX_DEPTH}")
            inner.checks.append(Check(f"CASE WHEN {x} IS NULL THEN {reason} END"))
        return Rows(lists=[Iteration(items, x, i, inner, of_path)], order=inner.order)

    def _one_row_of_nulls(self, rows: Rows, nothing: str) -> Rows:
        """The rows of a focus; where there is ``nothing``, one row of NULLs, and 0 for every ``%rowIndex``."""
        values = {
            name: value if self._columns[name].path.strip() in _NULL_FOR_NULL else value.guarded(nothing)
            for name, value in rows.values.items()
        }
        lists = [self._one_of_nulls(part, nothing) for part in rows.lists]
        return Rows(values, lists, rows.checks, rows.order)

    def _one_of_nulls(self, part: Iteration | Union, nothing: str) -> Iteration | Union:
        """The same for a list of rows: an iteration over one NULL; of a union, its first branch alone."""
        if isinstance(part, Iteration):
            items = f"CASE WHEN {nothing} THEN [NULL] ELSE {part.items} END"
            return replace(part, items=items, body=self._one_row_of_nulls(part.body, f"{part.item} IS NULL"))
        first, *others = part.branches
        kept = [self._only_unless(branch, nothing) for branch in others]
        return Union([self._one_row_of_nulls(first, nothing), *kept])

    def _only_unless(self, rows: Rows, nothing: str) -> Rows:
        """The rows of a focus, and none where there is nothing."""
        items = f"CASE WHEN {nothing} THEN [] ELSE [true] END"
        return Rows(lists=[Iteration(items, self._names.fresh(), self._names.fresh(), rows)], order=rows.order)

    def _repeat(self, select: Select, scope: Scope) -> tuple[Expr, str, Scope]:
        """Every item that the paths reach, again and again, parents before children.

        Items are kept as JSON texts with one common structure per repeat, so that all depths have one SQL type.
        """
        firsts = self._reached(select, scope)
        kind = next((expr for expr in firsts if expr.type != "empty"), None)
        if kind is None:
            nothing = Expr("NULL", "empty")
            return nothing, "CAST([] AS INTEGER[])", scope
        nested = self._nested.setdefault(kind.type, RecursiveElement(_STRUCTURE.format(len(self._nested))))
        start = self._json_items(firsts, nested, select)
        item = replace(kind, sql="", is_list=False, raw=False, projection=nested.projection, root=False)
        return replace(item, is_list=True), self._all_levels(select, item, start, scope, nested), scope

    def _reached(self, select: Select, scope: Scope) -> list[Expr]:
        """What the paths of a repeat reach from here. The types on the way differ, so an element may be unknown."""
        reached = []
        for number, path in enumerate(select.repeat):
            try:
                reached.append(compile_expression(path, scope))
            except UnknownElementError:
                reached.append(Expr("NULL", "empty"))
            except PathError as error:
                raise ViewError(f"{self._view.name}: {select.where}.repeat[{number}] '{path}': {error}") from None
        return reached

    def _json_items(self, paths: Sequence[Expr], nested: RecursiveElement, select: Select) -> str:
        """SQL of the JSON texts of what the paths reach, one list."""
        parts = []
        for expr in paths:
            if expr.type == "empty":
                continue
            if expr.projection is None or expr.elements is None:
                raise self._error(f"{select.where}.repeat", "must lead to elements that hold parts")
            parts.append(_json_texts(expr))
            if expr.json[0] != expr.sql and expr.projection is not nested.projection:
                expr.projection.nested = nested
        both = reduce(lambda one, other: f"list_concat({one}, {other})", parts, "CAST([] AS JSON[])")
        return f"list_filter({both}, lambda j: j IS NOT NULL AND j <> 'null')"

    def _all_levels(self, select: Select, item: Expr, start: str, scope: Scope, nested: RecursiveElement) -> str:
        """SQL of the items of all levels: level by level, then in the order of their places in the tree.

        One reduction carries the items ``reached`` and those ``fresh`` on the last level, each a struct of its place
        (the numbers of its ancestors) and its JSON text. Nested lambdas would cost DuckDB's binder a factor a level.
        """
        a, c, e, m, p, q, r, n = (self._names.fresh() for _ in range(8))
        inner = self._reached(select, replace(scope, this=replace(item, sql=q)))
        below = self._json_items(inner, nested, select)
        parsed = f"from_json({p}.text, '{nested.marker}')"
        placed = f"lambda {c}, {m}: {{'place': list_append({p}.place, {m}), 'text': {c}}}"
        of_one = f"list_transform([{parsed}], lambda {q}: list_transform({below}, {placed}))"
        fresh = f"flatten(flatten(list_transform({a}.fresh, lambda {p}: {of_one})))"
        first = f"list_transform({start}, lambda {c}, {m}: {{'place': [{m}], 'text': {c}}})"
        states = f"list_transform(range({MAX_DEPTH + 1}), lambda {n}: {{'reached': {first}, 'fresh': {first}}})"
        step = f"{{'reached': list_concat({a}.reached, {fresh}), 'fresh': {fresh}}}"
        last = f"list_reduce({states}, lambda {a}, {n}: {step})"
        items = f"list_transform(list_sort({r}.reached), lambda {e}: from_json({e}.text, '{nested.marker}'))"
        either = f"CASE WHEN len({r}.fresh) > 0 THEN {_TOO_DEEP} ELSE {items} END"
        return f"list_extract(list_transform([{last}], lambda {r}: {either}), 1)"

    def _body(self, select: Select, scope: Scope) -> Rows:
        """Columns, nested selects and union of a select, for one focus."""
        rows, checked = Rows(), set[str]()
        for column in select.columns:
            self._add(rows, self._column(column, scope, checked), column.where)
        for nested in select.selects:
            self._add(rows, self._select(nested, scope), nested.where)
        if select.union:
            self._add(rows, self._union(select, scope), f"{select.where}.unionAll")
        return rows

    def _add(self, rows: Rows, more: Rows, where: str) -> None:
        twice = set(rows.order) & set(more.order)
        if twice:
            raise self._error(where, f"gives the column '{min(twice)}' a second time")
        rows.values |= more.values
        rows.lists += more.lists
        rows.checks += more.checks
        rows.order += more.order

    def _union(self, select: Select, scope: Scope) -> Rows:
        outer = self._columns
        branches: list[Rows] = []
        sets: list[dict[str, Column]] = []
        for branch in select.union:
            self._columns = {}
            branches.append(self._select(branch, scope))
            sets.append(self._columns)
        self._columns = outer
        self._check_union(select, branches, sets)
        self._columns |= sets[0]
        return Rows(lists=[Union(branches)], order=branches[0].order)

    def _check_union(self, select: Select, branches: Sequence[Rows], sets: Sequence[Mapping[str, Column]]) -> None:
        wanted = [(n, sets[0][n].sql_type) for n in branches[0].order]
        for number, (branch, columns) in enumerate(zip(branches, sets, strict=True)):
            found = [(n, columns[n].sql_type) for n in branch.order]
            if found != wanted:
                raise self._error(
                    f"{select.union[number].where}",
                    f"has the columns {_listed(found)}, and the first branch has {_listed(wanted)};"
                    " the branches of a union have the same columns in the same order",
                )

    def _column(self, column: ColumnDefinition, scope: Scope, checked: set[str]) -> Rows:
        where = f"{column.where}.path '{column.path}'"
        expr = self._expression(column.path, scope, where)
        self._check_column(column, expr, where)
        declared = _declared(column)
        fhir_type = declared or expr.type
        ansi = self._ansi_type(column)
        sql_type = ansi or SQL_TYPES.get(_result_type(expr, declared), "VARCHAR")
        typed = _typed(expr, ansi, sql_type)
        of_path = scope.this.root and is_path(column.path)
        checks = [Check(sql, of_path) for sql in _checks(column, expr, typed, checked)]
        value = _value(column, typed, sql_type)
        self._columns[column.name] = Column(
            column.name,
            column.path,
            fhir_type if fhir_type != "empty" else "string",
            f"{sql_type}[]" if column.collection else sql_type,
            column.collection,
            column.tags,
            column.description,
        )
        values = {column.name: replace(value, empty=_nothing(column, sql_type)) if of_path else value}
        return Rows(values, checks=checks, order=[column.name])

    def _check_column(self, column: ColumnDefinition, expr: Expr, where: str) -> None:
        if expr.choice:
            raise self._error(where, f"'{expr.choice}' has several types; add ofType()")
        if expr.elements is not None:
            raise self._error(where, f"is a {expr.type}; a column is a primitive value, so go on to one of its parts")
        if not (declared := _declared(column)):
            return
        if declared not in _KNOWN_TYPES and not elements(declared):
            raise self._error(f"{column.where}.type '{column.type}'", "is not a type of FHIR")
        families = (_family(declared), _family(expr.type))
        if expr.type != "empty" and families[0] != families[1] and families != ("decimal", "integer"):
            raise self._error(where, f"is a {expr.type}, and the column is declared {declared}")

    def _ansi_type(self, column: ColumnDefinition) -> str | None:
        """The DuckDB type that the tag ``ansi/type`` asks for."""
        if (asked := column.tags.get("ansi/type")) is None:
            return None
        found = _ANSI.fullmatch(" ".join(asked.upper().split()))
        name, size = (found[1], found[2]) if found else ("", "")
        if name not in _ANSI_TYPES:
            known = ", ".join(sorted(_ANSI_TYPES))
            raise self._error(f"{column.where}.tag", f"ansi/type '{asked}' is unknown; known: {known}")
        kind = _ANSI_TYPES[name]
        return f"{kind}{(size or '(18,3)').replace(' ', '')}" if kind == "DECIMAL" else kind

    def _fill(self, text: str) -> str:
        for nested in self._nested.values():
            structure = nested.projection.structure() if nested.projection.children else {"id": "VARCHAR"}
            text = text.replace(nested.marker, json.dumps(structure).replace("'", "''"))
        return text


_FORMS = {
    "integer": r"-?(0|[1-9]\d{0,9})",
    "positiveInt": r"[1-9]\d{0,9}",
    "unsignedInt": r"0|[1-9]\d{0,9}",
    "integer64": r"-?(0|[1-9]\d{0,18})",
    "decimal": r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?",
    "date": r"\d{4}(-\d\d(-\d\d)?)?",
    "dateTime": r"\d{4}(-\d\d(-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?",
    "instant": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    "time": r"\d\d:\d\d(:\d\d(\.\d+)?)?",
}


def _is_constant(constant: Constant) -> bool:
    """Is the JSON value one of the constant's type? FHIR writes an integer64 as text."""
    if constant.type == "boolean":
        return isinstance(constant.value, bool)
    numeric = constant.type in INTEGERS or constant.type == "decimal"
    kinds = (int, float, Decimal) if numeric else (str,)
    if isinstance(constant.value, bool) or not isinstance(constant.value, (*kinds, str)):
        return False
    return re.fullmatch(_FORMS.get(constant.type, r"[\s\S]*"), str(constant.value)) is not None


def _listed(columns: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns)


def _family(kind: str) -> str:
    if kind in STRINGS:
        return "string"
    return "integer" if kind in INTEGERS else kind


_ANSI = re.compile(r"([A-Z ]+?) ?(\(\d+(?:, ?\d+)?\))?")
_ANSI_TYPES = {
    "BIGINT": "BIGINT",
    "BOOLEAN": "BOOLEAN",
    "CHAR": "VARCHAR",
    "CHARACTER": "VARCHAR",
    "CHARACTER VARYING": "VARCHAR",
    "DATE": "DATE",
    "DEC": "DECIMAL",
    "DECIMAL": "DECIMAL",
    "DOUBLE": "DOUBLE",
    "DOUBLE PRECISION": "DOUBLE",
    "FLOAT": "DOUBLE",
    "INT": "INTEGER",
    "INTEGER": "INTEGER",
    "NUMERIC": "DECIMAL",
    "REAL": "FLOAT",
    "SMALLINT": "SMALLINT",
    "TEXT": "VARCHAR",
    "TIME": "TIME",
    "TIMESTAMP": "TIMESTAMP",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP WITH TIME ZONE",
    "TIMESTAMP WITHOUT TIME ZONE": "TIMESTAMP",
    "VARCHAR": "VARCHAR",
}
"""ISO/IEC 9075 type of the tag ``ansi/type`` → DuckDB's."""
_PREFIXES = ("http://hl7.org/fhir/StructureDefinition/", "http://hl7.org/fhirpath/System.")


def _declared(column: ColumnDefinition) -> str:
    """The FHIR type that a column declares, as a name; empty without one."""
    name = column.type or ""
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name[:1].lower() + name[1:] if name != (column.type or "") and name in ("String", "Boolean") else name


def _result_type(expr: Expr, declared: str) -> str:
    """The FHIR type that decides on the SQL type: the declared one where the path leaves it open."""
    widened = expr.type in INTEGERS and declared in ("decimal", "integer64")
    return declared if declared and (expr.type == "empty" or widened) else expr.type


def _typed(expr: Expr, ansi: str | None, sql_type: str) -> Expr:
    """The column's values: cast by FHIR type, or as the tag ``ansi/type`` says."""
    if expr.type == "empty":
        return replace(expr, sql=f"CAST(NULL AS {sql_type})", is_list=False, raw=False)
    if ansi is None and SQL_TYPES.get(expr.type, "VARCHAR") == sql_type:
        return expr.typed()
    is_date = expr.type in ("date", "dateTime", "instant")
    cast = _cast_date(sql_type) if is_date else f"TRY_CAST({{0}} AS {sql_type})"
    each = cast.replace("{0}", "v" if expr.is_list else expr.sql)
    sql = f"list_transform({expr.sql}, lambda v: {each})" if expr.is_list else each
    return replace(expr, sql=sql, raw=False)


def _cast_date(ansi: str) -> str:
    if ansi == "DATE":
        filled = "CASE length({0}) WHEN 4 THEN {0} || '-01-01' WHEN 7 THEN {0} || '-01' ELSE left({0}, 10) END"
        return f"TRY_CAST({filled} AS DATE)"
    if ansi == "VARCHAR":
        return "{0}"
    instant = boundaries.instant("{0}")
    return instant if ansi == "TIMESTAMP WITH TIME ZONE" else f"TRY_CAST(timezone('UTC', {instant}) AS {ansi})"


def _nothing(column: ColumnDefinition, sql_type: str) -> str:
    """SQL of a column that finds no value."""
    return f"CAST([] AS {sql_type}[])" if column.collection else f"CAST(NULL AS {sql_type})"


def _value(column: ColumnDefinition, typed: Expr, sql_type: str) -> Value:
    if column.collection:
        as_list = typed.sql if typed.is_list else f"CASE WHEN {typed.sql} IS NOT NULL THEN [{typed.sql}] ELSE [] END"
        sql = f"CAST(coalesce({as_list}, []) AS {sql_type}[])"
        return Value(sql, sql)
    if not typed.is_list:
        return Value(typed.sql, typed.sql)
    one = f"list_extract({typed.sql}, 1)"
    message = literal(f"column {column.name} ({column.path}) has more than one value; use first() or collection")
    return Value(one, f"CASE WHEN len({typed.sql}) > 1 THEN error({message}) ELSE {one} END")


def _checks(column: ColumnDefinition, expr: Expr, typed: Expr, checked: set[str]) -> list[str]:
    """SQL texts that are NULL, or the reason why a value of the column cannot be used; no test is made twice."""
    checks = []
    if typed.is_list and not column.collection:
        reason = literal(f"column {column.name}: more than one value at {column.path}")
        checks.append(f"CASE WHEN len({typed.sql}) > 1 THEN {reason} END")
    if wrong := [test for test in _unreadable(expr, typed) if test not in checked]:
        checked.update(wrong)
        some = " OR ".join(wrong)
        found = some if expr.is_list else f"{expr.sql} IS NOT NULL AND ({some})"
        checks.append(f"CASE WHEN {found} THEN {literal(f'column {column.name}: not a valid {expr.type}')} END")
    return checks


def _unreadable(expr: Expr, typed: Expr) -> list[str]:
    """SQL, any of them: is there a text that the column's type cannot hold?"""
    if not expr.raw or (typed.sql == expr.sql and expr.type not in DATES):
        return []
    wrong = _wrong_text(expr.type, "v" if expr.is_list else expr.sql)
    if expr.is_list:
        tests = [f"len(list_filter({expr.sql}, lambda v: {wrong})) > 0"] if wrong else []
        unread = f"len(list_filter({typed.sql}, lambda v: v IS NULL)) > 0"
    else:
        tests, unread = [wrong] if wrong else [], f"{typed.sql} IS NULL"
    return [*tests, unread] if typed.sql != expr.sql else tests


def _wrong_text(kind: str, text: str) -> str:
    """SQL: is a text no value of the type, though SQL would cast it? Empty where no such text exists."""
    if kind in DATES:
        return f"NOT {boundaries.is_valid(text, kind)}"
    if kind in INTEGERS:
        return f"contains({text}, '.')"
    if kind == "boolean":
        return f"{text} NOT IN ('true', 'false')"
    if kind == "decimal":
        tiny = f"contains(lower({text}), 'e-') AND TRY_CAST({text} AS {SQL_TYPES[kind]}) = 0 AND {text}[1] <> '0'"
        return f"(length({text}) > 24 AND length(split_part({text}, '.', 2)) > 22) OR ({tiny})"
    return ""


def _pack(values: Mapping[str, str], checks: Sequence[str]) -> str:
    """A row as a struct, its problem included."""
    fields = [f'"{name}" := {sql}' for name, sql in values.items()]
    problem = f"coalesce({', '.join(checks)}, NULL)" if checks else "CAST(NULL AS VARCHAR)"
    return f"struct_pack({', '.join([*fields, f'{_quoted(_PROBLEM)} := {problem}'])})"


def _quoted(name: str) -> str:
    return f'"{name}"'


def _row_list(rows: Rows, names: Names) -> tuple[str, bool]:
    """SQL of a focus's rows and whether it is a list of rows rather than one row."""
    values = {name: value.sql for name, value in rows.values.items()}
    checks = [check.sql for check in rows.checks]
    if not rows.lists:
        return _pack(values, checks), False
    crossed, crossed_names = _crossed(rows.lists, names)
    if not values and not checks:
        return crossed, True
    y = names.fresh()
    values |= {name: f"struct_extract({y}, {literal(name)})" for name in crossed_names}
    checks += [f"struct_extract({y}, '{_PROBLEM}')"]
    return f"list_transform({crossed}, lambda {y}: {_pack(values, checks)})", True


def _list_sql(part: Iteration | Union, names: Names) -> str:
    """SQL of a list of rows."""
    if isinstance(part, Iteration):
        row, nested = _row_list(part.body, names)
        body = f"list_transform({part.items}, lambda {part.item}, {part.index}: {row})"
        return f"flatten({body})" if nested else body
    lists = [_as_list(branch, part.order, names) for branch in part.branches]
    return reduce(lambda one, other: f"list_concat({one}, {other})", lists)


def _crossed(parts: Sequence[Iteration | Union], names: Names) -> tuple[str, list[str]]:
    """The cross product of lists of rows."""
    sql, columns = _list_sql(parts[0], names), parts[0].order
    for part in parts[1:]:
        a, b = names.fresh(), names.fresh()
        values = {name: f"struct_extract({a}, {literal(name)})" for name in columns}
        values |= {name: f"struct_extract({b}, {literal(name)})" for name in part.order}
        row = _pack(values, [f"struct_extract({a}, '{_PROBLEM}')", f"struct_extract({b}, '{_PROBLEM}')"])
        inner = f"list_transform({_list_sql(part, names)}, lambda {b}: {row})"
        sql = f"flatten(list_transform({sql}, lambda {a}: {inner}))"
        columns = [*columns, *part.order]
    return sql, columns


def _as_list(rows: Rows, order: Sequence[str], names: Names) -> str:
    """A branch of a union as a list of rows with its fields in one order."""
    row, nested = _row_list(rows, names)
    sql = row if nested else f"[{row}]"
    if list(rows.values) == list(order):
        return sql
    z = names.fresh()
    ordered = {name: f"struct_extract({z}, {literal(name)})" for name in order}
    return f"list_transform({sql}, lambda {z}: {_pack(ordered, [f'struct_extract({z}, {literal(_PROBLEM)})'])})"


@dataclass(frozen=True)
class _Query:
    """Writes the SELECT of a view: one iteration is one UNNEST, a union is UNION ALL, and only what is nested
    deeper or crossed with a sibling goes through lists of structs."""

    carry: tuple[str, ...]
    problems: bool
    names: Names = field(default_factory=lambda: _OuterNames())  # noqa: PLW0108 - defined below

    def sql(self, rows: Rows, source: str, passed: tuple[str, ...] = ()) -> str:
        """SELECT of ``carry``, the columns ``passed`` through from the source, the rows' own and the problem."""
        if not rows.lists:
            return self._flat(rows, source, passed)
        if len(rows.lists) > 1:
            return self._through_lists(rows, source, passed)
        part = rows.lists[0]
        if isinstance(part, Iteration):
            return self._unnested(rows, part, source, passed)
        return " UNION ALL BY NAME ".join(self.sql(_joined(rows, branch), source, passed) for branch in part.branches)

    def _value(self, value: Value) -> str:
        return value.sql if self.problems else value.raising

    def _own(self, rows: Rows, passed: tuple[str, ...]) -> list[str]:
        values = [f'{self._value(value)} AS "{name}"' for name, value in rows.values.items()]
        return [*self.carry, *(f'"{name}"' for name in passed if name != _PROBLEM), *values]

    def _problem(self, rows: Rows, passed: tuple[str, ...], *more: str) -> str:
        checks = [*([f'"{_PROBLEM}"'] if _PROBLEM in passed else []), *(check.sql for check in rows.checks), *more]
        found = f"coalesce({', '.join(checks)}, NULL)" if checks else "CAST(NULL AS VARCHAR)"
        return f'{found} AS "{_PROBLEM}"'

    def _flat(self, rows: Rows, source: str, passed: tuple[str, ...]) -> str:
        columns, source = self._shared([*self._own(rows, passed), self._problem(rows, passed)], source, passed)
        return f"SELECT {', '.join(columns)} FROM {source}"

    def _shared(self, columns: Sequence[str], source: str, passed: tuple[str, ...]) -> tuple[list[str], str]:
        return share_paths(columns, source, {RESOURCE, *filter(_is_variable, passed)})

    def _unnested(self, rows: Rows, part: Iteration, source: str, passed: tuple[str, ...]) -> str:
        """The items as rows first; then the body's columns are computed on them like any others."""
        body = part.body
        resource = ["«resource» AS «resource»"] if _mentions(body, RESOURCE) else []
        outer = [name for name in passed if name != _PROBLEM and _is_variable(name)]
        items = [f'unnest({part.items}) AS "{part.item}"']
        if _mentions(body, part.index):
            items.append(f'unnest(range(1, len({part.items}) + 1)) AS "{part.index}"')
        columns = [*self._own(rows, passed), self._problem(rows, passed), *resource, *items]
        filled = f"(SELECT * FROM {source}) WHERE len({part.items}) > 0"  # before the columns are computed
        columns, filled = self._shared(columns, filled, passed)
        inner = f"(SELECT {', '.join(columns)} FROM {filled})"
        names = (*passed, *rows.values, _PROBLEM)
        variables = tuple(v for v in (part.item, part.index) if _mentions_below(body, v))
        return self.sql(body, inner, tuple(dict.fromkeys((*outer, *names, *variables))))

    def _through_lists(self, rows: Rows, source: str, passed: tuple[str, ...]) -> str:
        crossed, columns = _crossed(rows.lists, self.names)
        unnested = [*self._own(rows, passed), self._problem(rows, passed), f'unnest({crossed}) AS "_row"']
        inner = f"(SELECT {', '.join(unnested)} FROM {source})"
        kept = [*self.carry, *(f'"{name}"' for name in (*passed, *rows.values) if name != _PROBLEM)]
        listed = [f'struct_extract("_row", {literal(name)}) AS "{name}"' for name in columns]
        nested = f"""struct_extract("_row", '{_PROBLEM}')"""
        problem = f'coalesce("{_PROBLEM}", {nested}) AS "{_PROBLEM}"'
        check = "" if self.problems else f" WHERE {_raised(nested)}"
        return f"SELECT {', '.join([*kept, *listed, problem])} FROM {inner}{check}"


def _joined(rows: Rows, branch: Rows) -> Rows:
    """A branch of a union together with the row that the union belongs to."""
    return Rows(
        {**rows.values, **branch.values}, branch.lists, [*rows.checks, *branch.checks], [*rows.order, *branch.order]
    )


def _mentions(rows: Rows, name: str) -> bool:
    """Does any SQL of the rows use a name?"""
    use = re.compile(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])")
    return any(use.search(text) for text in rows.texts())


def _mentions_below(rows: Rows, name: str) -> bool:
    """Does SQL that is evaluated after a further unnesting use a name?"""
    inner = [p.body for p in rows.lists if isinstance(p, Iteration)]
    inner += [b for p in rows.lists if isinstance(p, Union) for b in p.branches if b.lists]
    return any(_mentions(body, name) for body in inner)


def _is_variable(name: str) -> bool:
    return re.fullmatch(r"_x\d+", name) is not None


def _raised(problem: str) -> str:
    """A filter that lets every row pass and raises for one with several values where one may be."""
    several = f"contains({problem}, 'more than one value')"
    return f"CASE WHEN {several} THEN error({problem}) ELSE true END"


class _OuterNames(Names):
    """Lambda variables of the query itself, apart from those of the view's own expressions."""

    def fresh(self) -> str:
        return "_o" + super().fresh()
