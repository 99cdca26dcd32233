"""Paths: steps to child elements, choice elements, types, indexes, and whether a path leads to anything."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from etl.fhir.element_types import Element, elements
from etl.sql import literal
from etl.views.fhirpath.dispatch import Arguments, call_function, construct, function, visit
from etl.views.fhirpath.errors import PathError, UnknownElementError
from etl.views.fhirpath.expressions import (
    INTEGERS,
    Expr,
    RecursiveElement,
    Scope,
    each,
    singleton,
    subset,
    without_nulls,
)
from etl.views.fhirpath.syntax import Node, child_nodes, identifier, node_text, type_name


@construct("TermExpression", "ParenthesizedTerm")
def _single_child(node: Node, scope: Scope) -> Expr:
    return visit(child_nodes(node)[0], scope)


@construct("InvocationExpression")
def _invocation(node: Node, scope: Scope) -> Expr:
    left, right = child_nodes(node)
    focus = visit(left, scope)
    return _invoke(right, focus, scope)


def _invoke(node: Node, focus: Expr, scope: Scope) -> Expr:
    if node["type"] == "MemberInvocation":
        return member(focus, identifier(node), scope)
    if node["type"] == "FunctionInvocation":
        return call_function(node, focus, scope)
    if node["type"] == "ThisInvocation":
        return focus
    raise PathError(f"the FHIRPath construct {node['type']} is not supported in views")


@construct("InvocationTerm")
def _term(node: Node, scope: Scope) -> Expr:
    child = child_nodes(node)[0]
    if child["type"] in ("MemberInvocation", "FunctionInvocation"):
        if child["type"] == "MemberInvocation" and scope.this.root and identifier(child) == scope.resource:
            return scope.this
        return _invoke(child, scope.this, scope)
    return visit(child, scope)


def member(focus: Expr, name: str, scope: Scope) -> Expr:
    """One step of a path, to the child element ``name``; UnknownElementError if the type does not have it."""
    if focus.type == "empty":
        return focus
    if focus.choice:
        example = f"{focus.choice}.ofType({min(_options(focus))}).{name}"
        raise PathError(f"'{focus.choice}' has several types; say {example}")
    if focus.elements is None:
        raise UnknownElementError(f"{focus.type} has no element '{name}'")
    if element := focus.elements.get(name):
        return _step(focus, name, element, scope)
    if any(element.choice == name for element in focus.elements.values()):
        return replace(focus, choice=name, owner=focus, root=False)
    raise UnknownElementError(f"{focus.type} has no element '{name}'")


def _options(focus: Expr) -> dict[str, str]:
    """Type → JSON name of the options of a choice element."""
    children = (focus.elements or {}).items()
    return {element.type: name for name, element in children if element.choice == focus.choice}


def _step(focus: Expr, name: str, element: Element, scope: Scope) -> Expr:
    projection = None if focus.projection is None else focus.projection.child(name, element.is_list)
    sql = _access(focus, name, element, scope)
    primitive = element.model is None
    step = Expr(
        sql,
        element.type,
        is_list=focus.is_list or element.is_list,
        raw=primitive,
        elements=None if primitive else element.parts(),
        projection=projection,
        owner=focus,
        name=name,
    )
    return step if projection is None or projection.nested is None else _parsed(step, projection.nested, scope)


def _parsed(step: Expr, nested: RecursiveElement, scope: Scope) -> Expr:
    """One level of an element that is read as JSON."""
    sql = each(step, scope, lambda value: f"from_json({value.sql}, '{nested.marker}')")
    return replace(step, sql=sql, projection=nested.projection, json=(sql, step.sql))


def _access(focus: Expr, name: str, element: Element, scope: Scope) -> str:
    if not focus.is_list:
        sql = f"struct_extract({focus.sql}, {literal(name)})"
        return without_nulls(sql, scope) if element.is_list and element.model is None else sql
    x = scope.names.fresh()
    inner = f"list_transform({focus.sql}, lambda {x}: struct_extract({x}, {literal(name)}))"
    return without_nulls(f"flatten({inner})" if element.is_list else inner, scope)


@construct("ThisInvocation")
def _this(_node: Node, scope: Scope) -> Expr:
    return scope.this


def exists_sql(focus: Expr) -> str:
    """SQL: is there any item?"""
    if focus.choice:
        options = [_option(focus, kind) for kind in _options(focus)]
        return "(" + " OR ".join(exists_sql(option) for option in options) + ")"
    if focus.type == "empty":
        return "false"
    return f"(coalesce(len({focus.sql}), 0) > 0)" if focus.is_list else f"({focus.sql} IS NOT NULL)"


def truth_sql(focus: Expr) -> str:
    """SQL of an expression as a criterion: a boolean is itself, any other item is true, an empty list is NULL."""
    if focus.type == "empty":
        return "CAST(NULL AS BOOLEAN)"
    if focus.type != "boolean":
        return f"nullif({exists_sql(focus)}, false)"
    return singleton(focus).sql


def _option(focus: Expr, kind: str) -> Expr:
    name = _options(focus)[kind]
    owner = focus.owner
    assert owner is not None
    return member(owner, name, Scope(owner, owner.type, {}))


@function("as", 1)
@function("ofType", 1)
def _of_type(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
    wanted = type_name(arguments[0])
    if focus.choice:
        wanted = _primitive_spelling(wanted, _options(focus))
        if wanted not in _options(focus):
            raise PathError(f"{focus.choice}[x] has no type '{wanted}'; types: {', '.join(sorted(_options(focus)))}")
        return member(focus.owner or focus, _options(focus)[wanted], scope)
    if focus.type in ("Resource", "DomainResource") and focus.projection is not None:
        return _resources_of(focus, wanted, scope)
    return focus if focus.type == wanted else Expr("NULL", "empty")


def _resources_of(focus: Expr, wanted: str, scope: Scope) -> Expr:
    """Resources inside others (contained, a Bundle's entries) that are of one type."""
    if not (children := elements(wanted)):
        raise PathError(f"'{wanted}' is not a resource type of FHIR R4")
    assert focus.projection is not None
    focus.projection.child("resourceType", False)

    def fits(value: str) -> str:
        return f"struct_extract({value}, 'resourceType') = {literal(wanted)}"

    x = scope.names.fresh()
    scalar = f"CASE WHEN {fits(focus.sql)} THEN {focus.sql} END"
    sql = f"list_filter({focus.sql}, lambda {x}: {fits(x)})" if focus.is_list else scalar
    return replace(focus, sql=sql, type=wanted, elements=children)


@construct("TypeExpression")
def _as(node: Node, scope: Scope) -> Expr:
    """``x as Type`` and ``x is Type``."""
    left, wanted = child_nodes(node)
    implement = _of_type if node_text(node) == "as" else _is
    return implement(visit(left, scope), [wanted], scope)


@function("is", 1)
def _is(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
    return Expr(exists_sql(_of_type(focus, arguments, scope)), "boolean")


def _primitive_spelling(wanted: str, types: Collection[str]) -> str:
    """``instant`` for ``Instant``, which older versions of the standard's tests write."""
    lower = wanted[:1].lower() + wanted[1:]
    return lower if wanted not in types and lower in types else wanted


@construct("IndexerExpression")
def _indexer(node: Node, scope: Scope) -> Expr:
    left, index = child_nodes(node)
    focus, position = visit(left, scope), singleton(visit(index, scope))
    if position.type not in INTEGERS:
        raise PathError("an index must be an integer")
    if focus.is_list:
        at = f"CASE WHEN {position.sql} >= 0 THEN {position.sql} + 1 END"
        at = f"{int(position.sql) + 1}" if position.sql.isdigit() else at
        return subset(focus, f"list_extract({focus.sql}, {at})", is_list=False)
    return replace(focus, sql=f"CASE WHEN {position.sql} = 0 THEN {focus.sql} END")
