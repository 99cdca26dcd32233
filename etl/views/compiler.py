"""ViewDefinition → rows (``etl.views.rows``), of which ``etl.views.query`` makes one DuckDB SELECT.

Implements select, forEach, forEachOrNull, repeat, unionAll, column and where (SQL-on-FHIR v2, «Processing Algorithm»).
A select that iterates becomes one expression of type LIST of STRUCT: nested selects are nested list functions,
siblings a cross product, a union a concatenation. So there are no correlated joins, and DuckDB's vectorised list
functions do all the work within a record.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

from etl.fhir.element_types import elements
from etl.sql import literal
from etl.views.column_types import (
    ANSI_TYPES,
    cast_column,
    column_checks,
    column_value,
    declared_type,
    duckdb_type,
    is_compatible,
    is_valid_constant,
    null_column,
    result_type,
)
from etl.views.compiled_view import MAX_DEPTH, TOO_DEEP, Column, CompiledPath, CompiledView
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
    list_sql,
    root,
)
from etl.views.fhirpath.syntax import is_path
from etl.views.rows import RESOURCE, Check, Iteration, Rows, Union

_PRIMITIVE_TYPES = STRINGS | INTEGERS | {"boolean", "decimal"}


_NULL_FOR_NULL = ("%rowIndex", "$this")
"""Paths whose value for a missing item is right as it is: 0 for the index of the only row, and NULL."""
_STRUCTURE = "«structure {}»"
"""Placeholder of the structure of a recursive element."""


def compile_view(definition: ViewDefinition | Mapping[str, Any]) -> CompiledView:
    """Compile a view; ViewError names the view, the JSON path of the fault and what is expected there."""
    view = definition if isinstance(definition, ViewDefinition) else parse_view(definition)
    return _Compiler(view).compile()


def compile_path(resource: str, path: str) -> CompiledPath:
    """Compile one expression over a resource type; ViewError if it does not fit the type."""
    projection = Projection()
    try:
        expr = compile_expression(path, Scope(root(resource, RESOURCE, projection), resource, {}))
    except PathError as error:
        raise ViewError(f"{resource}: path '{path}': {error}") from None
    return CompiledPath(projection.record_structure(), list_sql(expr.typed()))


def _is_stale(projection: Projection) -> bool:
    """Was any element compiled as a structure before a ``repeat`` over it turned it into JSON?"""
    return bool(projection.nested and projection.children) or any(map(_is_stale, projection.children.values()))


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


class _Compiler:
    def __init__(self, view: ViewDefinition) -> None:
        self._view = view
        self._projection = Projection()
        self._columns: dict[str, Column] = {}
        self._names = Names()
        self._nested: dict[str, RecursiveElement] = {}

    def compile(self) -> CompiledView:
        """Compile; a second time if an element that was compiled as a structure turned out to be recursive."""
        view = self._compile()
        if any(map(_is_stale, [self._projection, *(nested.projection for nested in self._nested.values())])):
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
        return CompiledView(
            self._view.name,
            self._view.resource,
            columns,
            self._projection.record_structure(),
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
        if constant.type not in _PRIMITIVE_TYPES:
            raise self._error(f"constant '{constant.name}'", f"has the unknown type value{constant.type}")
        if not is_valid_constant(constant):
            raise self._error(f"constant '{constant.name}'", f"has a value that is no {constant.type}")
        if constant.type == "boolean":
            return Expr("true" if constant.value else "false", "boolean")
        text = str(constant.value)
        if constant.type in INTEGERS:
            return Expr(text, constant.type)
        return Expr(literal(text), constant.type, raw=constant.type == "decimal" or constant.type in DATES)

    def _filter(self, path: str, number: int, scope: Scope) -> str:
        """SQL of a condition on the resource; NULL counts as false."""
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
        items = list_sql(focus)
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

    def _one_row_of_nulls(self, rows: Rows, missing: str) -> Rows:
        """The rows of a focus; if ``missing`` (SQL) holds, one row of NULLs, and 0 for every ``%rowIndex``."""
        values = {
            name: value if self._columns[name].path.strip() in _NULL_FOR_NULL else value.guarded(missing)
            for name, value in rows.values.items()
        }
        lists = [self._one_of_nulls(part, missing) for part in rows.lists]
        return Rows(values, lists, rows.checks, rows.order)

    def _one_of_nulls(self, part: Iteration | Union, missing: str) -> Iteration | Union:
        """The same for a list of rows: an iteration over one NULL; the first branch alone of a union."""
        if isinstance(part, Iteration):
            items = f"CASE WHEN {missing} THEN [NULL] ELSE {part.items} END"
            return replace(part, items=items, body=self._one_row_of_nulls(part.body, f"{part.item} IS NULL"))
        first, *others = part.branches
        conditional = [self._no_rows_if(missing, branch) for branch in others]
        return Union([self._one_row_of_nulls(first, missing), *conditional])

    def _no_rows_if(self, missing: str, rows: Rows) -> Rows:
        """The rows of a focus, and none if ``missing`` (SQL) holds."""
        items = f"CASE WHEN {missing} THEN [] ELSE [true] END"
        return Rows(lists=[Iteration(items, self._names.fresh(), self._names.fresh(), rows)], order=rows.order)

    def _repeat(self, select: Select, scope: Scope) -> tuple[Expr, str, Scope]:
        """The items that the paths reach from the focus and from every item reached, parents before children.

        Items are kept as JSON texts with one common structure per type, so that all depths have one SQL type.
        """
        first_level = self._reached(select, scope)
        typed = next((expr for expr in first_level if expr.type != "empty"), None)
        if typed is None:
            return Expr("NULL", "empty"), "CAST([] AS INTEGER[])", scope
        nested = self._nested.setdefault(typed.type, RecursiveElement(_STRUCTURE.format(len(self._nested))))
        start = self._json_items(first_level, nested, select)
        item = replace(typed, sql="", is_list=False, raw=False, projection=nested.projection, root=False)
        return replace(item, is_list=True), self._all_levels(select, item, start, scope, nested), scope

    def _reached(self, select: Select, scope: Scope) -> list[Expr]:
        """The paths of a repeat from one item; empty where the item's type does not have the element."""
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
        """SQL of one list of the JSON texts of the items that the paths reach."""
        lists = []
        for expr in paths:
            if expr.type == "empty":
                continue
            if expr.projection is None or expr.elements is None:
                raise self._error(f"{select.where}.repeat", "must lead to elements that hold parts")
            lists.append(_json_texts(expr))
            if expr.json[0] != expr.sql and expr.projection is not nested.projection:
                expr.projection.nested = nested
        items = reduce(lambda left, right: f"list_concat({left}, {right})", lists, "CAST([] AS JSON[])")
        return f"list_filter({items}, lambda j: j IS NOT NULL AND j <> 'null')"

    def _all_levels(self, select: Select, item: Expr, start: str, scope: Scope, nested: RecursiveElement) -> str:
        """SQL of the items of all levels, computed level by level and sorted in the order of the tree.

        One reduction carries the items ``reached`` and those ``fresh`` on the last level, each a struct of its position
        (the indexes of its ancestors and its own) and its JSON text. With a nested lambda a level instead, DuckDB's
        binder takes a time exponential in the number of levels.
        """
        a, c, e, m, p, q, r, n = (self._names.fresh() for _ in range(8))
        inner = self._reached(select, replace(scope, this=replace(item, sql=q)))
        below = self._json_items(inner, nested, select)
        parsed = f"from_json({p}.text, '{nested.marker}')"
        positioned = f"lambda {c}, {m}: {{'position': list_append({p}.position, {m}), 'text': {c}}}"
        of_one = f"list_transform([{parsed}], lambda {q}: list_transform({below}, {positioned}))"
        fresh = f"flatten(flatten(list_transform({a}.fresh, lambda {p}: {of_one})))"
        first = f"list_transform({start}, lambda {c}, {m}: {{'position': [{m}], 'text': {c}}})"
        states = f"list_transform(range({MAX_DEPTH + 1}), lambda {n}: {{'reached': {first}, 'fresh': {first}}})"
        step = f"{{'reached': list_concat({a}.reached, {fresh}), 'fresh': {fresh}}}"
        last = f"list_reduce({states}, lambda {a}, {n}: {step})"
        items = f"list_transform(list_sort({r}.reached), lambda {e}: from_json({e}.text, '{nested.marker}'))"
        either = f"CASE WHEN len({r}.fresh) > 0 THEN {TOO_DEEP} ELSE {items} END"
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
        """Join rows of the same focus; ViewError if both have a column of one name."""
        if duplicates := set(rows.order) & set(more.order):
            raise self._error(where, f"gives the column '{min(duplicates)}' a second time")
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
        expected = [(name, sets[0][name].sql_type) for name in branches[0].order]
        for number, (branch, columns) in enumerate(zip(branches, sets, strict=True)):
            actual = [(name, columns[name].sql_type) for name in branch.order]
            if actual != expected:
                raise self._error(
                    f"{select.union[number].where}",
                    f"has the columns {_listed(actual)}, and the first branch has {_listed(expected)};"
                    " the branches of a union have the same columns in the same order",
                )

    def _column(self, column: ColumnDefinition, scope: Scope, checked: set[str]) -> Rows:
        where = f"{column.where}.path '{column.path}'"
        expr = self._expression(column.path, scope, where)
        self._check_column(column, expr, where)
        declared = declared_type(column)
        fhir_type = declared or expr.type
        ansi = self._ansi_type(column)
        sql_type = ansi or SQL_TYPES.get(result_type(expr, declared), "VARCHAR")
        typed = cast_column(expr, ansi, sql_type)
        of_path = scope.this.root and is_path(column.path)
        checks = [Check(sql, of_path) for sql in column_checks(column, expr, typed, checked)]
        value = column_value(column, typed, sql_type)
        self._columns[column.name] = Column(
            column.name,
            column.path,
            fhir_type if fhir_type != "empty" else "string",
            f"{sql_type}[]" if column.collection else sql_type,
            column.collection,
            column.tags,
            column.description,
        )
        values = {column.name: replace(value, empty=null_column(column, sql_type)) if of_path else value}
        return Rows(values, checks=checks, order=[column.name])

    def _check_column(self, column: ColumnDefinition, expr: Expr, where: str) -> None:
        if expr.choice:
            raise self._error(where, f"'{expr.choice}' has several types; add ofType()")
        if expr.elements is not None:
            raise self._error(where, f"is a {expr.type}; a column is a primitive value, so go on to one of its parts")
        if not (declared := declared_type(column)):
            return
        if declared not in _PRIMITIVE_TYPES and not elements(declared):
            raise self._error(f"{column.where}.type '{column.type}'", "is not a type of FHIR")
        if not is_compatible(declared, expr.type):
            raise self._error(where, f"is a {expr.type}, and the column is declared {declared}")

    def _ansi_type(self, column: ColumnDefinition) -> str | None:
        """The DuckDB type that the tag ``ansi/type`` asks for; None without the tag."""
        if (ansi := column.tags.get("ansi/type")) is None:
            return None
        if sql_type := duckdb_type(ansi):
            return sql_type
        known = ", ".join(sorted(ANSI_TYPES))
        raise self._error(f"{column.where}.tag", f"ansi/type '{ansi}' is unknown; known: {known}")

    def _fill(self, text: str) -> str:
        """Replace the placeholders of recursive elements by their structures, which are complete by now."""
        for nested in self._nested.values():
            text = text.replace(nested.marker, json.dumps(nested.projection.record_structure()).replace("'", "''"))
        return text


def _listed(columns: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {sql_type}" for name, sql_type in columns)
