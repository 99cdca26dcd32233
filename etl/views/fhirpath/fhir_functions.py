"""Functions that FHIR and SQL on FHIR add to FHIRPath: ``extension``, resource and reference keys, boundaries."""

from __future__ import annotations

from dataclasses import replace

from etl.fhir.element_types import elements
from etl.sql import literal
from etl.views import boundaries
from etl.views.fhirpath.dispatch import Arguments, Function, function, visit
from etl.views.fhirpath.errors import PathError
from etl.views.fhirpath.expressions import STRINGS, Expr, Scope, each, without_nulls
from etl.views.fhirpath.paths import member
from etl.views.fhirpath.syntax import type_name


@function("extension", 1)
def _extension(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
    url = visit(arguments[0], scope)
    if url.type not in STRINGS:
        raise PathError("extension() takes the extension's url as text")
    holder = focus
    if focus.elements is None:
        if focus.owner is None or not focus.name:
            raise PathError(f"extension() cannot be asked of a {focus.type} that was computed or picked from a list")
        holder = member(focus.owner, f"_{focus.name}", scope)
    extensions = member(holder, "extension", scope)
    x = scope.names.fresh()
    if extensions.projection is not None:
        extensions.projection.child("url", False)
    sql = f"list_filter({extensions.sql}, lambda {x}: struct_extract({x}, 'url') = {url.sql})"
    return replace(extensions, sql=sql)


@function("getResourceKey")
def _resource_key(focus: Expr, _arguments: Arguments, scope: Scope) -> Expr:
    if not focus.root:
        raise PathError("getResourceKey() can only be asked of the resource itself")
    key = member(focus, "id", scope)
    return Expr(f"({literal(focus.type + '/')} || {key.sql})", "string")


@function("getReferenceKey", 0, 1)
def _reference_key(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
    if focus.type != "Reference":
        raise PathError(f"getReferenceKey() can only be asked of a Reference, and this is a {focus.type}")
    wanted = type_name(arguments[0]) if arguments else None
    if wanted and not elements(wanted):
        raise PathError(f"'{wanted}' in getReferenceKey() is not a resource type of FHIR R4")
    sql = each(focus, scope, lambda value: _reference_sql(value, wanted, scope))
    return Expr(without_nulls(sql, scope) if focus.is_list else sql, "string", is_list=focus.is_list)


_ABSOLUTE = r"([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})(?:/_history/[^/]+)?$"


def _reference_sql(value: Expr, wanted: str | None, scope: Scope) -> str:
    """Canonical ``Type/id`` of a reference; ``Type?identifier=system|value`` of one by identifier."""
    reference = member(value, "reference", scope).sql
    identifier = member(value, "identifier", scope)
    system, code = member(identifier, "system", scope).sql, member(identifier, "value", scope).sql
    target = member(value, "type", scope).sql
    target = f"coalesce({target}, {literal(wanted)})" if wanted else target
    by_identifier = f"({target} || '?identifier=' || coalesce({system}, '') || '|' || {code})"
    unchanged = f"contains({reference}, '?') OR contains({reference}, '#') OR starts_with({reference}, 'urn:')"
    canonical = (
        f"CASE WHEN {reference} IS NULL THEN {by_identifier}"
        f" WHEN NOT contains({reference}, ':') AND NOT contains({reference}, '_history') THEN {reference}"
        f" WHEN {unchanged} THEN {reference}"
        f" ELSE coalesce(nullif(regexp_extract({reference}, {literal(_ABSOLUTE)}, 1), ''), {reference}) END"
    )
    if not wanted:
        return canonical
    x = scope.names.fresh()
    prefix = f"starts_with({x}, {literal(wanted + '/')}) OR starts_with({x}, {literal(wanted + '?')})"
    return f"list_extract(list_filter([{canonical}], lambda {x}: {prefix}), 1)"


def _boundary(*, low: bool) -> Function:
    """``lowBoundary()`` or ``highBoundary()``; of a Period, the boundary of its start or end."""

    def implement(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
        if focus.type == "Period":
            focus = member(focus, "start" if low else "end", scope)
        if focus.type == "empty":
            return focus
        if focus.type not in boundaries.TYPES:
            types = ", ".join(sorted(boundaries.TYPES | {"Period"}))
            raise PathError(f"a boundary can be asked of {types}, and this is a {focus.type}")
        text = focus if focus.raw else replace(focus, sql=each(focus, scope, lambda v: f"CAST({v.sql} AS VARCHAR)"))
        precision = _precision(arguments, scope)
        sql = each(text, scope, lambda v: boundaries.sql(v.sql, focus.type, low=low, precision=precision))
        return Expr(sql, boundaries.result_type(focus.type), is_list=focus.is_list)

    return implement


function("lowBoundary", 0, 1)(_boundary(low=True))
function("highBoundary", 0, 1)(_boundary(low=False))


def _precision(arguments: Arguments, scope: Scope) -> int | None:
    """The digits asked of a boundary, which must be written as a number."""
    if not arguments:
        return None
    sql = visit(arguments[0], scope).sql
    if not sql.isdigit():
        raise PathError("the precision of a boundary must be a whole number")
    return int(sql)
