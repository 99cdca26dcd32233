"""Operators: comparison, logic, arithmetic, membership and union."""

from __future__ import annotations

from etl.views import boundaries
from etl.views.fhirpath.dispatch import construct, visit
from etl.views.fhirpath.errors import PathError
from etl.views.fhirpath.expressions import INTEGERS, SQL_TYPES, Expr, Names, Scope, only_item, singleton, type_group
from etl.views.fhirpath.paths import exists_sql, truth_sql
from etl.views.fhirpath.syntax import Node, child_nodes, node_text

_CALENDAR = frozenset({"date", "dateTime", "instant"})


def _operands(node: Node, scope: Scope) -> tuple[Expr, Expr, str]:
    left, right = (visit(child, scope) for child in child_nodes(node))
    return left, right, node_text(node)


@construct("EqualityExpression")
def _equality(node: Node, scope: Scope) -> Expr:
    left, right, operator = _operands(node, scope)
    _check_comparable(left, right)
    equal = _equal_sql(left, right)
    if operator in ("=", "~"):
        return Expr(equal, "boolean")
    if operator in ("!=", "!~"):
        return Expr(f"(NOT {equal})", "boolean")
    raise PathError(f"the operator {operator} is not supported in views")


def _equal_sql(left: Expr, right: Expr) -> str:
    first, second = _comparison(left, right)
    if not (left.is_list or right.is_list) and {left.type, right.type} & _CALENDAR:
        return boundaries.compare_dates(left.sql, right.sql, f"{first} = {second}", "false")
    if not (left.is_list or right.is_list):
        return f"({first} = {second})"
    present = " AND ".join(f"{exists_sql(side)}" for side in (left, right))
    lists = [side if origin.is_list else f"[{side}]" for side, origin in ((first, left), (second, right))]
    return f"(CASE WHEN {present} THEN {lists[0]} = {lists[1]} END)"


def _comparison(left: Expr, right: Expr) -> tuple[str, str]:
    """Both sides' SQL, as instants when one is a date, else as their own types."""
    if {left.type, right.type} & _CALENDAR:
        names = Names()
        return tuple(_instants(side, names) for side in (left, right))  # type: ignore[return-value]
    return left.typed().sql, right.typed().sql


def _instants(side: Expr, names: Names) -> str:
    x = names.fresh() + "d"
    if side.is_list:
        return f"list_transform({side.sql}, lambda {x}: {boundaries.instant(x)})"
    return boundaries.instant(side.sql)


def _check_comparable(left: Expr, right: Expr) -> None:
    for side in (left, right):
        if side.elements is not None:
            raise PathError(f"a {side.type} cannot be compared whole; compare its parts")
        if side.choice:
            raise PathError(f"'{side.choice}' has several types; add ofType()")
    groups = {type_group(side.type) for side in (left, right)} - {"empty"}
    if len(groups) > 1:
        raise PathError(f"a {left.type} cannot be compared with a {right.type}")


@construct("InequalityExpression")
def _inequality(node: Node, scope: Scope) -> Expr:
    left, right, operator = _operands(node, scope)
    _check_comparable(left, right)
    left, right = only_item(left), only_item(right)
    compared = f" {operator} ".join(_comparison(left, right))
    if {left.type, right.type} & _CALENDAR:
        return Expr(boundaries.compare_dates(left.sql, right.sql, compared, compared), "boolean")
    return Expr(f"({compared})", "boolean")


@construct("AndExpression", "OrExpression", "ImpliesExpression")
def _logic(node: Node, scope: Scope) -> Expr:
    left, right, operator = _operands(node, scope)
    first, second = truth_sql(left), truth_sql(right)
    forms = {
        "and": f"({first} AND {second})",
        "or": f"({first} OR {second})",
        "xor": f"({first} <> {second})",
        "implies": f"((NOT {first}) OR {second})",
    }
    return Expr(forms[operator], "boolean")


@construct("AdditiveExpression", "MultiplicativeExpression")
def _arithmetic(node: Node, scope: Scope) -> Expr:
    left, right, operator = _operands(node, scope)
    left, right = singleton(left), singleton(right)
    groups = (type_group(left.type), type_group(right.type))
    if operator == "&":
        return Expr(f"(coalesce({left.sql}, '') || coalesce({right.sql}, ''))", "string")
    if operator == "+" and groups == ("string", "string"):
        return Expr(f"({left.sql} || {right.sql})", "string")
    if groups != ("number", "number"):
        raise PathError(f"{left.type} {operator} {right.type} cannot be computed")
    return _number_sql(left, right, operator)


def _number_sql(left: Expr, right: Expr, operator: str) -> Expr:
    """SQL of arithmetic; NULL where the result is too large or the divisor 0 (FHIRPath, «Math»)."""
    whole = left.type in INTEGERS and right.type in INTEGERS
    divisor = f"nullif({right.sql}, 0)"
    if operator in ("div", "mod"):
        symbol = "//" if operator == "div" else "%"
        result = "integer" if whole else "decimal"
        sql_type = SQL_TYPES["integer" if operator == "div" else result]
        return Expr(f"TRY_CAST({left.sql} {symbol} {divisor} AS {sql_type})", result)
    if operator == "/":
        return Expr(f"TRY_CAST(CAST({left.sql} AS DOUBLE) / {divisor} AS DECIMAL(38,22))", "decimal")
    if whole:
        return Expr(f"TRY_CAST(CAST({left.sql} AS HUGEINT) {operator} {right.sql} AS INTEGER)", "integer")
    if operator == "*":
        return Expr(_product(left.sql, right.sql), "decimal")
    sides = [f"CAST({side.sql} AS DECIMAL(38,22))" for side in (left, right)]
    return Expr(f"TRY({sides[0]} {operator} {sides[1]})", "decimal")


def _product(left: str, right: str) -> str:
    """Exact for factors of up to nine decimal places, else computed as binary doubles."""
    factors = [f"TRY_CAST({side} AS DECIMAL(19,9))" for side in (left, right)]
    is_exact = f"{factors[0]} = {left} AND {factors[1]} = {right}"
    approximate = f"TRY_CAST(CAST({left} AS DOUBLE) * {right} AS DECIMAL(38,22))"
    return f"(CASE WHEN {is_exact} THEN TRY({factors[0]} * {factors[1]}) ELSE {approximate} END)"


@construct("PolarityExpression")
def _polarity(node: Node, scope: Scope) -> Expr:
    value = singleton(visit(child_nodes(node)[0], scope))
    if type_group(value.type) != "number":
        raise PathError(f"a {value.type} has no sign")
    return Expr(f"({node_text(node)}{value.sql})", value.type)


@construct("MembershipExpression")
def _membership(node: Node, scope: Scope) -> Expr:
    left, right, operator = _operands(node, scope)
    item, collection = (left, right) if operator == "in" else (right, left)
    _check_comparable(left, right)
    value, items = singleton(item), collection.typed()
    items_sql = items.sql if items.is_list else f"[{items.sql}]"
    return Expr(f"coalesce(list_contains({items_sql}, {value.sql}), false)", "boolean")


@construct("UnionExpression")
def _union(node: Node, scope: Scope) -> Expr:
    left, right, _operator = _operands(node, scope)
    _check_comparable(left, right)
    sides = [side.typed() for side in (left, right)]
    lists = [side.sql if side.is_list else f"list_filter([{side.sql}], lambda u: u IS NOT NULL)" for side in sides]
    return Expr(f"list_distinct(list_concat({lists[0]}, {lists[1]}))", sides[0].type, is_list=True)
