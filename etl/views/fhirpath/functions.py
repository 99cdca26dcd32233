"""Functions of FHIRPath: filters and subsets of lists, texts, conversions, ``iif``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from etl.views.fhirpath.dispatch import Arguments, Function, function, visit
from etl.views.fhirpath.errors import PathError
from etl.views.fhirpath.expressions import (
    STRINGS,
    Expr,
    Scope,
    item,
    singleton,
    subset,
    type_group,
    without_nulls,
)
from etl.views.fhirpath.paths import exists_sql, truth_sql
from etl.views.fhirpath.syntax import Node


def _criterion(node: Node, scope: Scope) -> Callable[[Expr], str]:
    """A function that writes the SQL of a criterion for an item; NULL counts as false."""

    def body(value: Expr) -> str:
        inner = replace(scope, this=value)
        return f"coalesce({truth_sql(visit(node, inner))}, false)"

    return body


@function("where", 1)
def _where(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
    criterion = _criterion(arguments[0], scope)
    if not focus.is_list:
        return replace(focus, sql=f"CASE WHEN {criterion(focus)} THEN {focus.sql} END")
    x = scope.names.fresh()
    return subset(focus, f"list_filter({focus.sql}, lambda {x}: {criterion(item(focus, x))})", is_list=True)


@function("exists", 0, 1)
def _exists(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
    return Expr(exists_sql(_where(focus, arguments, scope) if arguments else focus), "boolean")


@function("empty")
def _empty(focus: Expr, _arguments: Arguments, _scope: Scope) -> Expr:
    return Expr(f"(NOT {exists_sql(focus)})", "boolean")


@function("all", 1)
def _all(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
    criterion = _criterion(arguments[0], scope)
    if not focus.is_list:
        return Expr(f"({focus.sql} IS NULL OR {criterion(focus)})", "boolean")
    x = scope.names.fresh()
    failing = f"list_filter({focus.sql}, lambda {x}: NOT {criterion(item(focus, x))})"
    return Expr(f"(coalesce(len({failing}), 0) = 0)", "boolean")


@function("not")
def _not(focus: Expr, _arguments: Arguments, _scope: Scope) -> Expr:
    return Expr(f"(NOT {truth_sql(focus)})", "boolean")


@function("count")
def _count(focus: Expr, _arguments: Arguments, _scope: Scope) -> Expr:
    count = f"coalesce(len({focus.sql}), 0)" if focus.is_list else f"{focus.sql} IS NOT NULL"
    return Expr(f"CAST({count} AS INTEGER)", "integer")


@function("first")
def _first(focus: Expr, _arguments: Arguments, _scope: Scope) -> Expr:
    return subset(focus, f"list_extract({focus.sql}, 1)", is_list=False) if focus.is_list else focus


@function("last")
def _last(focus: Expr, _arguments: Arguments, _scope: Scope) -> Expr:
    return subset(focus, f"list_extract({focus.sql}, -1)", is_list=False) if focus.is_list else focus


def _slice(start: str, stop: str) -> Function:
    """The items from ``start`` to ``stop``, where ``{}`` stands for the argument."""

    def implement(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
        count = singleton(visit(arguments[0], scope)).sql if arguments else ""
        items = focus.sql if focus.is_list else f"CASE WHEN {focus.sql} IS NOT NULL THEN [{focus.sql}] ELSE [] END"
        return subset(focus, f"list_slice({items}, {start.format(count)}, {stop.format(count)})", is_list=True)

    return implement


function("tail")(_slice("2", "-1"))
function("skip", 1)(_slice("{} + 1", "-1"))
function("take", 1)(_slice("1", "{}"))


@function("single")
def _single(focus: Expr, _arguments: Arguments, _scope: Scope) -> Expr:
    return subset(singleton(focus), singleton(focus).sql, is_list=False) if focus.is_list else focus


@function("distinct")
def _distinct(focus: Expr, _arguments: Arguments, _scope: Scope) -> Expr:
    if focus.elements is not None:
        raise PathError(f"distinct() can be asked of primitive values, and this is a {focus.type}")
    typed = focus.typed()
    return subset(typed, f"list_distinct({typed.sql})", is_list=True) if typed.is_list else typed


@function("hasValue")
def _has_value(focus: Expr, _arguments: Arguments, _scope: Scope) -> Expr:
    if focus.elements is not None:
        return Expr("false", "boolean")
    return Expr(f"(coalesce(len({focus.sql}), 0) = 1)" if focus.is_list else exists_sql(focus), "boolean")


@function("select", 1)
def _select(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
    """``select(path)``: the path on every item, flattened."""
    if not focus.is_list:
        return visit(arguments[0], replace(scope, this=focus))
    x = scope.names.fresh()
    inner = visit(arguments[0], replace(scope, this=item(focus, x)))
    sql = f"list_transform({focus.sql}, lambda {x}: {inner.sql})"
    return replace(inner, sql=without_nulls(f"flatten({sql})" if inner.is_list else sql, scope), is_list=True, name="")


@function("join", 0, 1)
def _join(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
    separator = visit(arguments[0], scope).sql if arguments else "''"
    if focus.is_list:
        return Expr(f"coalesce(array_to_string({focus.sql}, {separator}), '')", "string")
    return Expr(f"coalesce({focus.sql}, '')", "string")


def _text_function(template: str, result: str) -> Function:
    """A function of a text, as a template of SQL in which the first ``{}`` stands for the text."""

    def implement(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
        values = [singleton(visit(argument, scope)) for argument in arguments]
        if focus.type not in STRINGS | {"empty"}:
            raise PathError(f"a text function cannot be asked of a {focus.type}")
        return Expr(template.format(singleton(focus).sql, *(value.sql for value in values)), result)

    return implement


_TEXT_FUNCTIONS = {
    "startsWith": (1, "starts_with({}, {})", "boolean"),
    "endsWith": (1, "ends_with({}, {})", "boolean"),
    "contains": (1, "contains({}, {})", "boolean"),
    "matches": (1, "regexp_matches({}, {})", "boolean"),
    "upper": (0, "upper({})", "string"),
    "lower": (0, "lower({})", "string"),
    "length": (0, "CAST(length({}) AS INTEGER)", "integer"),
    "trim": (0, "trim({})", "string"),
    "replace": (2, "replace({}, {}, {})", "string"),
    "indexOf": (1, "CAST(strpos({}, {}) - 1 AS INTEGER)", "integer"),
}
"""Function → number of arguments, SQL, type of the result."""
for _name, (_count_of_arguments, _template, _result) in _TEXT_FUNCTIONS.items():
    function(_name, _count_of_arguments)(_text_function(_template, _result))


@function("substring", 1, 2)
def _substring(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
    start, *length = [singleton(visit(argument, scope)).sql for argument in arguments]
    text = singleton(focus).sql
    cut = f"substring({text}, {start} + 1{f', {length[0]}' if length else ''})"
    return Expr(f"CASE WHEN {start} BETWEEN 0 AND length({text}) - 1 THEN {cut} END", "string")


def _conversion(sql_type: str, fhir_type: str) -> Function:
    """A cast, NULL for text that does not convert; a decimal becomes the text as written."""

    def implement(focus: Expr, _arguments: Arguments, _scope: Scope) -> Expr:
        if focus.raw and not focus.is_list:
            return Expr(f"TRY_CAST({focus.sql} AS {sql_type})", fhir_type)
        return Expr(f"TRY_CAST({singleton(focus).sql} AS {sql_type})", fhir_type)

    return implement


function("toString")(_conversion("VARCHAR", "string"))
function("toInteger")(_conversion("INTEGER", "integer"))
function("toDecimal")(_conversion("DECIMAL(38,22)", "decimal"))


@function("iif", 2, 3)
def _iif(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
    inner = replace(scope, this=focus)
    test = truth_sql(visit(arguments[0], inner))
    results = [singleton(visit(argument, inner)) for argument in arguments[1:]]
    otherwise = results[1].sql if len(results) > 1 else "NULL"
    typed = [result for result in results if result.type != "empty"] or results
    if len({type_group(result.type) for result in typed}) > 1:
        raise PathError(f"the branches of iif() are a {typed[0].type} and a {typed[1].type}")
    decimal = next((result for result in typed if result.type == "decimal"), typed[0])
    return Expr(f"CASE WHEN {test} THEN {results[0].sql} ELSE {otherwise} END", decimal.type)
