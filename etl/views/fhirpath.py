"""FHIRPath to DuckDB SQL, typed: the expressions of a view become struct access and list functions.

Owns the FHIRPath subset of SQL-on-FHIR v2 («Shareable View Definition», plus the required additional functions) and
some more. Syntax trees come from ``fhirpathpy``'s parser. An expression is either a scalar or a list; a path that
can have one value at most never becomes a list, which keeps the SQL fast. Primitives stay the text that
``from_json`` gave until an operation or a column needs their type, so decimals keep their digits. Nothing of a
record is ever evaluated here: this module only writes SQL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from etl.fhir.element_types import Element, elements
from etl.views import boundaries

STRINGS = frozenset(
    [
        "string",
        "code",
        "id",
        "uri",
        "url",
        "canonical",
        "oid",
        "uuid",
        "markdown",
        "base64Binary",
        "xhtml",
        "date",
        "dateTime",
        "instant",
        "time",
    ]
)
DATES = frozenset({"date", "dateTime", "instant", "time"})
INTEGERS = frozenset({"integer", "positiveInt", "unsignedInt", "integer64"})
SQL_TYPES = {
    "boolean": "BOOLEAN",
    "integer": "INTEGER",
    "positiveInt": "INTEGER",
    "unsignedInt": "INTEGER",
    "integer64": "BIGINT",
    "decimal": "DECIMAL(38,22)",
}


class PathError(Exception):
    """What is wrong with an expression; the compiler adds the view and the JSON path."""


class UnknownElementError(PathError):
    """A step to an element that the type has not."""


@dataclass
class Need:
    """A node of the structure that ``from_json`` is asked for: which parts of an element are read."""

    is_list: bool = False
    parts: dict[str, Need] = field(default_factory=dict)
    nested: Nested | None = None

    def part(self, name: str, is_list: bool) -> Need:
        return self.parts.setdefault(name, Need(is_list))

    def structure(self) -> Any:
        """The node in the form of DuckDB's JSON structures; leaves are VARCHAR."""
        inner: Any = "VARCHAR"
        if self.nested is not None:
            inner = "JSON"
        elif self.parts:
            inner = {name: part.structure() for name, part in self.parts.items()}
        return [inner] if self.is_list else inner


@dataclass
class Nested:
    """An element that nests in itself and is repeated over: read as JSON text, and parsed level by level.

    ``marker`` stands for the structure of one level in the SQL, until ``need`` knows all that is read of it.
    """

    marker: str
    need: Need = field(default_factory=Need)


@dataclass(frozen=True)
class Expr:
    """A typed SQL expression. ``raw`` means the SQL is still the text of a primitive of that type.

    ``json`` is (this SQL, SQL of the JSON text that it parses) of an element that is read as JSON.
    """

    sql: str
    type: str
    many: bool = False
    raw: bool = False
    parts: Mapping[str, Element] | None = None
    need: Need | None = None
    owner: Expr | None = None
    name: str = ""
    choice: str = ""
    root: bool = False
    json: tuple[str, str] = ("", "")

    def typed(self) -> Expr:
        """The expression with its values cast from text to the SQL type of its FHIR type."""
        if not self.raw:
            return self
        sql_type = SQL_TYPES.get(self.type, "VARCHAR")
        if sql_type == "VARCHAR":
            return replace(self, raw=False)
        if self.many:
            sql = f"list_transform({self.sql}, lambda v: TRY_CAST(v AS {sql_type}))"
        else:
            sql = f"TRY_CAST({self.sql} AS {sql_type})"
        return replace(self, sql=sql, raw=False)


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
    names: Names = field(default_factory=lambda: Names())  # noqa: PLW0108 - defined below


class Names:
    """Fresh lambda variables; no column can have such a name, because columns begin with a letter."""

    def __init__(self) -> None:
        self._count = 0

    def fresh(self) -> str:
        self._count += 1
        return f"_x{self._count}"


def root(resource: str, sql: str, need: Need) -> Expr:
    """The resource itself, as the struct column ``sql``; PathError for a type that FHIR R4 has not."""
    if not (parts := elements(resource)):
        raise PathError(f"'{resource}' is not a resource type of FHIR R4")
    return Expr(sql, resource, parts=parts, need=need, root=True)


@cache
def parse(path: str) -> Mapping[str, Any]:
    """The syntax tree of an expression; PathError if it is not FHIRPath to its last character."""
    from antlr4 import CommonTokenStream, InputStream, ParseTreeWalker, Token  # type: ignore[import-untyped]
    from antlr4.error.ErrorListener import ErrorListener  # type: ignore[import-untyped]
    from fhirpathpy.parser.ASTPathListener import ASTPathListener
    from fhirpathpy.parser.generated.FHIRPathLexer import FHIRPathLexer
    from fhirpathpy.parser.generated.FHIRPathParser import FHIRPathParser

    class Strict(ErrorListener):  # type: ignore[misc]
        def syntaxError(self, _who: Any, _what: Any, _line: int, column: int, *_more: Any) -> None:  # noqa: N802
            raise _syntax_error(path, column)

    lexer = FHIRPathLexer(InputStream(path))
    parser = FHIRPathParser(CommonTokenStream(lexer))
    for part in (lexer, parser):
        part.removeErrorListeners()
        part.addErrorListener(Strict())
    tree, walked = parser.expression(), ASTPathListener()  # type: ignore[no-untyped-call]
    if (token := parser.getTokenStream().LT(1)).type != Token.EOF:
        raise _syntax_error(path, token.column)
    ParseTreeWalker().walk(walked, tree)
    return _children(walked.parentStack[0])[0]


def _syntax_error(path: str, column: int) -> PathError:
    return PathError(f"'{path}' is not a FHIRPath expression; the fault is at character {column + 1}")


def compile_expression(path: str, scope: Scope) -> Expr:
    """The SQL of an expression in a scope; PathError names the element or function at fault."""
    return _visit(parse(path), replace(scope, context=scope.this))


def is_path(text: str) -> bool:
    """Does an expression only go from element to element, so that it is empty where the first one is missing?

    It begins with an element: ``where()`` and the like can hold of a record whatever it lacks.
    """
    return _is_path(parse(text))


def _is_path(node: Mapping[str, Any]) -> bool:
    children = _children(node)
    match node["type"]:
        case "TermExpression" | "ParenthesizedTerm" | "IndexerExpression":
            return _is_path(children[0])
        case "InvocationTerm":
            return children[0]["type"] == "MemberInvocation" or _called(children[0]) == "extension"
        case "TypeExpression":
            return _text(node) == "as" and _is_path(children[0])
        case "InvocationExpression":
            return _is_path(children[0]) and _is_path(children[1])
        case "FunctionInvocation":
            return _called(node) in _GOING_ON
        case "MemberInvocation":
            return True
    return False


def _called(node: Mapping[str, Any]) -> str:
    """The name of the function that is called; empty for what is no call."""
    return _identifier(_children(_children(node)[0])[0]) if node["type"] == "FunctionInvocation" else ""


_CHOOSING = frozenset({"where", "ofType", "as", "first", "last", "single", "distinct", "tail", "skip", "take"})
_GOING_ON = _CHOOSING | {"extension", "getReferenceKey", "lowBoundary", "highBoundary"}
"""Functions of which nothing comes where nothing goes in (FHIRPath §5, «empty»)."""


def _children(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(node.get("children") or [])


def _text(node: Mapping[str, Any]) -> str:
    terminals = node.get("terminalNodeText") or []
    return str(terminals[0]) if terminals else str(node.get("text") or "")


def _visit(node: Mapping[str, Any], scope: Scope) -> Expr:
    kind = node["type"]
    visitor = _VISITORS.get(kind)
    if visitor is None:
        raise PathError(f"the FHIRPath construct {kind} is not supported in views")
    return visitor(node, scope)


def _single_child(node: Mapping[str, Any], scope: Scope) -> Expr:
    return _visit(_children(node)[0], scope)


def _invocation(node: Mapping[str, Any], scope: Scope) -> Expr:
    left, right = _children(node)
    focus = _visit(left, scope)
    return _invoke(right, focus, scope)


def _invoke(node: Mapping[str, Any], focus: Expr, scope: Scope) -> Expr:
    if node["type"] == "MemberInvocation":
        return member(focus, _identifier(node), scope)
    if node["type"] == "FunctionInvocation":
        return _function(node, focus, scope)
    if node["type"] == "ThisInvocation":
        return focus
    raise PathError(f"the FHIRPath construct {node['type']} is not supported in views")


def _identifier(node: Mapping[str, Any]) -> str:
    inner = node
    while inner["type"] != "Identifier":
        inner = _children(inner)[0]
    return _text(inner).strip("`")


def _term(node: Mapping[str, Any], scope: Scope) -> Expr:
    child = _children(node)[0]
    if child["type"] in ("MemberInvocation", "FunctionInvocation"):
        if child["type"] == "MemberInvocation" and scope.this.root and _identifier(child) == scope.resource:
            return scope.this
        return _invoke(child, scope.this, scope)
    return _visit(child, scope)


def _literal(node: Mapping[str, Any], _scope: Scope) -> Expr:
    child = _children(node)[0]
    text = _text(child)
    if child["type"] == "StringLiteral":
        return Expr(quote(_unescape(text[1:-1])), "string")
    if child["type"] == "BooleanLiteral":
        return Expr(text, "boolean")
    if child["type"] == "NumberLiteral":
        return number(text)
    if child["type"] in ("DateTimeLiteral", "DateLiteral", "TimeLiteral"):
        return _date_literal(text)
    if child["type"] == "NullLiteral":
        return Expr("NULL", "empty")
    raise PathError(f"the literal {text} is not supported in views")


def number(text: str) -> Expr:
    """A numeric literal: an integer, or a decimal whose digits are kept."""
    if "." in text:
        return Expr(quote(text), "decimal", raw=True)
    return Expr(text, "integer")


def _date_literal(text: str) -> Expr:
    value = text.removeprefix("@").removesuffix("T")
    if value.startswith("T"):
        return Expr(quote(value[1:]), "time", raw=True)
    return Expr(quote(value), "dateTime" if "T" in text else "date", raw=True)


def quote(text: str) -> str:
    """SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}


def _unescape(text: str) -> str:
    def value(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if code.startswith("u") else _ESCAPES.get(code, code)

    return re.sub(r"\\(u[0-9A-Fa-f]{4}|.)", value, text)


_SYSTEMS = {"ucum": "http://unitsofmeasure.org", "sct": "http://snomed.info/sct", "loinc": "http://loinc.org"}


def _constant(node: Mapping[str, Any], scope: Scope) -> Expr:
    name = _constant_name(node)
    if name == "rowIndex":
        return Expr(f"CAST({scope.row_index} AS INTEGER)", "integer")
    if name in ("resource", "rootResource"):
        return scope.record or scope.this
    if name == "context":
        return scope.context or scope.this
    if name in _SYSTEMS and name not in scope.constants:
        return Expr(quote(_SYSTEMS[name]), "uri")
    if name not in scope.constants:
        known = ", ".join(f"%{n}" for n in scope.constants) or "none"
        raise PathError(f"the constant %{name} is not defined; defined: {known}")
    return scope.constants[name]


def _constant_name(node: Mapping[str, Any]) -> str:
    """``name`` of ``%name``, ``%`name``` and ``%'name'``."""
    external = _children(node)[0]
    quoted = [text for text in external.get("terminalNodeText") or [] if text != "%"]
    return str(quoted[0]).strip("'") if quoted else _identifier(external)


def member(focus: Expr, name: str, scope: Scope) -> Expr:
    """One step of a path."""
    if focus.type == "empty":
        return focus
    if focus.choice:
        return _through_choice(focus, name, scope)
    if focus.parts is None:
        raise UnknownElementError(f"{focus.type} has no element '{name}'")
    if element := focus.parts.get(name):
        return _step(focus, name, element, scope)
    if any(element.choice == name for element in focus.parts.values()):
        return replace(focus, choice=name, owner=focus, root=False)
    raise UnknownElementError(f"{focus.type} has no element '{name}'")


def _through_choice(focus: Expr, name: str, scope: Scope) -> Expr:
    options = ", ".join(sorted(_choices(focus)))
    raise PathError(f"'{focus.choice}' has several types; say {focus.choice}.ofType({options.split(', ')[0]}).{name}")


def _choices(focus: Expr) -> dict[str, str]:
    """Type → JSON name of the options of a choice element."""
    found = (focus.parts or {}).items()
    return {element.type: name for name, element in found if element.choice == focus.choice}


def _step(focus: Expr, name: str, element: Element, scope: Scope) -> Expr:
    need = focus.need.part(name, element.is_list) if focus.need is not None else None
    sql = _access(focus, name, element, scope)
    primitive = element.model is None
    step = Expr(
        sql,
        element.type,
        many=focus.many or element.is_list,
        raw=primitive,
        parts=None if primitive else element.parts(),
        need=need,
        owner=focus,
        name=name,
    )
    return _parsed(step, need.nested, scope) if need is not None and need.nested is not None else step


def _parsed(step: Expr, nested: Nested, scope: Scope) -> Expr:
    """One level of an element that is read as JSON."""
    sql = each(step, scope, lambda value: f"from_json({value.sql}, '{nested.marker}')")
    return replace(step, sql=sql, need=nested.need, json=(sql, step.sql))


def _access(focus: Expr, name: str, element: Element, scope: Scope) -> str:
    if not focus.many:
        sql = f"struct_extract({focus.sql}, {quote(name)})"
        return _present(sql, scope) if element.is_list and element.model is None else sql
    x = scope.names.fresh()
    inner = f"list_transform({focus.sql}, lambda {x}: struct_extract({x}, {quote(name)}))"
    return _present(f"flatten({inner})" if element.is_list else inner, scope)


def _present(sql: str, scope: Scope) -> str:
    x = scope.names.fresh()
    return f"list_filter({sql}, lambda {x}: {x} IS NOT NULL)"


def each(focus: Expr, scope: Scope, body: Callable[[Expr], str]) -> str:
    """SQL of ``body`` for every item of a list, or for the one value."""
    if not focus.many:
        return body(focus)
    x = scope.names.fresh()
    return f"list_transform({focus.sql}, lambda {x}: {body(item(focus, x))})"


def item(focus: Expr, sql: str) -> Expr:
    """One item of a list expression, as ``sql``."""
    return replace(focus, sql=sql, many=False, root=False, owner=None if focus.owner is None else focus.owner)


def first_of(focus: Expr) -> Expr:
    """The first item of a list; a scalar is itself."""
    return _picked(focus, f"list_extract({focus.sql}, 1)", many=False) if focus.many else focus


def _picked(focus: Expr, sql: str, *, many: bool) -> Expr:
    """Some items of a list; a primitive among them no longer knows which of the ``_name`` twins is its own."""
    picked = replace(focus, sql=sql, many=many, root=False)
    return replace(picked, name="") if focus.parts is None else picked


def singleton(focus: Expr) -> Expr:
    """A list as the one value it should have, NULL when it has none or several (FHIRPath §5.2, evaluation)."""
    focus = focus.typed()
    if not focus.many:
        return focus
    return replace(focus, sql=f"CASE WHEN len({focus.sql}) = 1 THEN list_extract({focus.sql}, 1) END", many=False)


def exists_sql(focus: Expr) -> str:
    """SQL: is there any item?"""
    if focus.choice:
        options = [_choice_option(focus, kind) for kind in _choices(focus)]
        return "(" + " OR ".join(exists_sql(option) for option in options) + ")"
    if focus.type == "empty":
        return "false"
    return f"(coalesce(len({focus.sql}), 0) > 0)" if focus.many else f"({focus.sql} IS NOT NULL)"


def truth(focus: Expr) -> str:
    """SQL of an expression as a criterion: a boolean is itself, one other item is true, nothing is unknown."""
    if focus.type == "empty":
        return "CAST(NULL AS BOOLEAN)"
    if focus.type != "boolean":
        return f"nullif({exists_sql(focus)}, false)"
    return singleton(focus).sql


def _choice_option(focus: Expr, kind: str) -> Expr:
    name = _choices(focus)[kind]
    owner = focus.owner
    assert owner is not None
    return member(owner, name, Scope(owner, owner.type, {}))


def _function(node: Mapping[str, Any], focus: Expr, scope: Scope) -> Expr:
    name = _called(node)
    lists = [child for child in _children(_children(node)[0]) if child["type"] == "ParamList"]
    arguments = _children(lists[0]) if lists else []
    function = _FUNCTIONS.get(name)
    if function is None:
        raise PathError(f"the function {name}() is not supported in views; known: {', '.join(sorted(_FUNCTIONS))}")
    low, high, implement = function
    if not low <= len(arguments) <= high:
        raise PathError(f"{name}() takes {low if low == high else f'{low} to {high}'} arguments")
    return implement(focus, arguments, scope)


Arguments = Sequence[Mapping[str, Any]]


def _criterion(focus: Expr, node: Mapping[str, Any], scope: Scope) -> Callable[[Expr], str]:
    def body(value: Expr) -> str:
        inner = replace(scope, this=value)
        return f"coalesce({truth(_visit(node, inner))}, false)"

    return body


def _where(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
    criterion = _criterion(focus, arguments[0], scope)
    if not focus.many:
        return replace(focus, sql=f"CASE WHEN {criterion(focus)} THEN {focus.sql} END")
    x = scope.names.fresh()
    return _picked(focus, f"list_filter({focus.sql}, lambda {x}: {criterion(item(focus, x))})", many=True)


def _exists(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
    return Expr(exists_sql(_where(focus, arguments, scope) if arguments else focus), "boolean")


def _empty(focus: Expr, _arguments: Arguments, _scope: Scope) -> Expr:
    return Expr(f"(NOT {exists_sql(focus)})", "boolean")


def _all(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
    criterion = _criterion(focus, arguments[0], scope)
    if not focus.many:
        return Expr(f"({focus.sql} IS NULL OR {criterion(focus)})", "boolean")
    x = scope.names.fresh()
    failing = f"list_filter({focus.sql}, lambda {x}: NOT {criterion(item(focus, x))})"
    return Expr(f"(coalesce(len({failing}), 0) = 0)", "boolean")


def _not(focus: Expr, _arguments: Arguments, _scope: Scope) -> Expr:
    return Expr(f"(NOT {truth(focus)})", "boolean")


def _count(focus: Expr, _arguments: Arguments, _scope: Scope) -> Expr:
    sql = (
        f"CAST(coalesce(len({focus.sql}), 0) AS INTEGER)" if focus.many else f"CAST({focus.sql} IS NOT NULL AS INTEGER)"
    )
    return Expr(sql, "integer")


def _first(focus: Expr, _arguments: Arguments, _scope: Scope) -> Expr:
    return first_of(focus)


def _last(focus: Expr, _arguments: Arguments, _scope: Scope) -> Expr:
    return _picked(focus, f"list_extract({focus.sql}, -1)", many=False) if focus.many else focus


def _slice(start: str, stop: str) -> Callable[[Expr, Arguments, Scope], Expr]:
    """tail(), skip(n) and take(n): the items from ``start`` to ``stop``, of which ``{}`` is n."""

    def implement(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
        number = singleton(_visit(arguments[0], scope)).sql if arguments else ""
        items = focus.sql if focus.many else _listed(focus)
        return _picked(focus, f"list_slice({items}, {start.format(number)}, {stop.format(number)})", many=True)

    return implement


def _listed(focus: Expr) -> str:
    """SQL of a scalar as a list of one or none."""
    return f"CASE WHEN {focus.sql} IS NOT NULL THEN [{focus.sql}] ELSE [] END"


def _single(focus: Expr, _arguments: Arguments, _scope: Scope) -> Expr:
    return _picked(singleton(focus), singleton(focus).sql, many=False) if focus.many else focus


def _distinct(focus: Expr, _arguments: Arguments, _scope: Scope) -> Expr:
    if focus.parts is not None:
        raise PathError(f"distinct() can be asked of primitive values, and this is a {focus.type}")
    typed = focus.typed()
    return _picked(typed, f"list_distinct({typed.sql})", many=True) if typed.many else typed


def _has_value(focus: Expr, _arguments: Arguments, _scope: Scope) -> Expr:
    if focus.parts is not None:
        return Expr("false", "boolean")
    return Expr(f"(coalesce(len({focus.sql}), 0) = 1)" if focus.many else exists_sql(focus), "boolean")


def _select(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
    """``select(path)``: the path on every item, flattened."""
    if not focus.many:
        return _visit(arguments[0], replace(scope, this=focus))
    x = scope.names.fresh()
    inner = _visit(arguments[0], replace(scope, this=item(focus, x)))
    sql = f"list_transform({focus.sql}, lambda {x}: {inner.sql})"
    return replace(inner, sql=_present(f"flatten({sql})" if inner.many else sql, scope), many=True, name="")


def _join(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
    separator = _visit(arguments[0], scope).sql if arguments else "''"
    if focus.many:
        return Expr(f"coalesce(array_to_string({focus.sql}, {separator}), '')", "string")
    return Expr(f"coalesce({focus.sql}, '')", "string")


def _of_type(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
    wanted = _type_name(arguments[0])
    if focus.choice:
        wanted = _primitive_spelling(wanted, _choices(focus))
        if wanted not in _choices(focus):
            raise PathError(f"{focus.choice}[x] has no type '{wanted}'; types: {', '.join(sorted(_choices(focus)))}")
        return member(focus.owner or focus, _choices(focus)[wanted], scope)
    if focus.type in ("Resource", "DomainResource") and focus.need is not None:
        return _resources_of(focus, wanted, scope)
    return focus if focus.type == wanted else Expr("NULL", "empty")


def _resources_of(focus: Expr, wanted: str, scope: Scope) -> Expr:
    """Resources inside others (contained, a Bundle's entries) that are of one type."""
    if not (parts := elements(wanted)):
        raise PathError(f"'{wanted}' is not a resource type of FHIR R4")
    assert focus.need is not None
    focus.need.part("resourceType", False)

    def fits(value: str) -> str:
        return f"struct_extract({value}, 'resourceType') = {quote(wanted)}"

    x = scope.names.fresh()
    one = f"CASE WHEN {fits(focus.sql)} THEN {focus.sql} END"
    sql = f"list_filter({focus.sql}, lambda {x}: {fits(x)})" if focus.many else one
    return replace(focus, sql=sql, type=wanted, parts=parts)


def _as(node: Mapping[str, Any], scope: Scope) -> Expr:
    """``x as Type`` and ``x is Type``."""
    left, kind = _children(node)
    found = _of_type(_visit(left, scope), [kind], scope)
    if _text(node) == "as":
        return found
    return Expr(exists_sql(found), "boolean")


def _is(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
    return Expr(exists_sql(_of_type(focus, arguments, scope)), "boolean")


def _primitive_spelling(wanted: str, known: Mapping[str, str]) -> str:
    """``Instant`` also names ``instant``, as in older versions of the standard's tests."""
    lower = wanted[:1].lower() + wanted[1:]
    return lower if wanted not in known and lower in known else wanted


def _type_name(node: Mapping[str, Any]) -> str:
    text = str(node.get("text") or "") or _identifier(node)
    return text.replace("FHIR.", "").replace("System.", "").strip("`")


def _extension(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
    url = _visit(arguments[0], scope)
    if url.type not in STRINGS:
        raise PathError("extension() takes the extension's url as text")
    holder = focus
    if focus.parts is None:
        if focus.owner is None or not focus.name:
            raise PathError(f"extension() cannot be asked of a {focus.type} that was computed or picked from a list")
        holder = member(focus.owner, f"_{focus.name}", scope)
    found = member(holder, "extension", scope)
    x = scope.names.fresh()
    _url_of(found)
    return replace(found, sql=f"list_filter({found.sql}, lambda {x}: struct_extract({x}, 'url') = {url.sql})")


def _url_of(extensions: Expr) -> None:
    if extensions.need is not None:
        extensions.need.part("url", False)


def _resource_key(focus: Expr, _arguments: Arguments, scope: Scope) -> Expr:
    if not focus.root:
        raise PathError("getResourceKey() can only be asked of the resource itself")
    key = member(focus, "id", scope)
    return Expr(f"({quote(focus.type + '/')} || {key.sql})", "string")


def _reference_key(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
    if focus.type != "Reference":
        raise PathError(f"getReferenceKey() can only be asked of a Reference, and this is a {focus.type}")
    wanted = _type_name(arguments[0]) if arguments else None
    if wanted and not elements(wanted):
        raise PathError(f"'{wanted}' in getReferenceKey() is not a resource type of FHIR R4")
    sql = each(focus, scope, lambda value: _reference_sql(value, wanted, scope))
    result = Expr(sql, "string", many=focus.many)
    return replace(result, sql=_present(result.sql, scope)) if focus.many else result


_ABSOLUTE = r"([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})(?:/_history/[^/]+)?$"


def _reference_sql(value: Expr, wanted: str | None, scope: Scope) -> str:
    """Canonical ``Type/id`` of a reference; ``Type?identifier=system|value`` of one by identifier."""
    reference = member(value, "reference", scope).sql
    identifier = member(value, "identifier", scope)
    system, code = member(identifier, "system", scope).sql, member(identifier, "value", scope).sql
    kind = member(value, "type", scope).sql
    owner = f"coalesce({kind}, {quote(wanted)})" if wanted else kind
    by_identifier = f"({owner} || '?identifier=' || coalesce({system}, '') || '|' || {code})"
    whole = f"contains({reference}, '?') OR contains({reference}, '#') OR starts_with({reference}, 'urn:')"
    canonical = (
        f"CASE WHEN {reference} IS NULL THEN {by_identifier}"
        f" WHEN NOT contains({reference}, ':') AND NOT contains({reference}, '_history') THEN {reference}"
        f" WHEN {whole} THEN {reference}"
        f" ELSE coalesce(nullif(regexp_extract({reference}, {quote(_ABSOLUTE)}, 1), ''), {reference}) END"
    )
    if not wanted:
        return canonical
    x = scope.names.fresh()
    prefix = f"starts_with({x}, {quote(wanted + '/')}) OR starts_with({x}, {quote(wanted + '?')})"
    return f"list_extract(list_filter([{canonical}], lambda {x}: {prefix}), 1)"


def _boundary(low: bool) -> Callable[[Expr, Arguments, Scope], Expr]:
    def implement(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
        if focus.type == "Period":
            focus = member(focus, "start" if low else "end", scope)
        if focus.type == "empty":
            return focus
        if focus.type not in boundaries.TYPES:
            known = ", ".join(sorted(boundaries.TYPES | {"Period"}))
            raise PathError(f"a boundary can be asked of {known}, and this is a {focus.type}")
        text = focus if focus.raw else replace(focus, sql=each(focus, scope, lambda v: f"CAST({v.sql} AS VARCHAR)"))
        precision = _precision(arguments, scope)
        sql = each(text, scope, lambda v: boundaries.sql(v.sql, focus.type, low=low, precision=precision))
        return Expr(sql, boundaries.result_type(focus.type), many=focus.many)

    return implement


def _precision(arguments: Arguments, scope: Scope) -> int | None:
    """The digits asked of a boundary, which must be written as a number."""
    if not arguments:
        return None
    sql = _visit(arguments[0], scope).sql
    if not sql.isdigit():
        raise PathError("the precision of a boundary must be a whole number")
    return int(sql)


def _string_function(template: str, result: str) -> Callable[[Expr, Arguments, Scope], Expr]:
    def implement(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
        values = [singleton(_visit(argument, scope)) for argument in arguments]
        if focus.type not in STRINGS | {"empty"}:
            raise PathError(f"a text function cannot be asked of a {focus.type}")
        return Expr(template.format(singleton(focus).sql, *(value.sql for value in values)), result)

    return implement


def _substring(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
    start, *length = [singleton(_visit(argument, scope)).sql for argument in arguments]
    text = singleton(focus).sql
    cut = f"substring({text}, {start} + 1{f', {length[0]}' if length else ''})"
    return Expr(f"CASE WHEN {start} BETWEEN 0 AND length({text}) - 1 THEN {cut} END", "string")


def _to(sql_type: str, fhir_type: str) -> Callable[[Expr, Arguments, Scope], Expr]:
    """Conversions; NULL for text that does not convert. A decimal's text is as written."""

    def implement(focus: Expr, _arguments: Arguments, _scope: Scope) -> Expr:
        if focus.raw and not focus.many:
            return Expr(f"TRY_CAST({focus.sql} AS {sql_type})", fhir_type)
        return Expr(f"TRY_CAST({singleton(focus).sql} AS {sql_type})", fhir_type)

    return implement


def _iif(focus: Expr, arguments: Arguments, scope: Scope) -> Expr:
    inner = replace(scope, this=focus)
    test = truth(_visit(arguments[0], inner))
    results = [singleton(_visit(argument, inner)) for argument in arguments[1:]]
    other = results[1].sql if len(results) > 1 else "NULL"
    known = [result for result in results if result.type != "empty"] or results
    if len({_group(result.type) for result in known}) > 1:
        raise PathError(f"the branches of iif() are a {known[0].type} and a {known[1].type}")
    decimal = next((result for result in known if result.type == "decimal"), known[0])
    return Expr(f"CASE WHEN {test} THEN {results[0].sql} ELSE {other} END", decimal.type)


_FUNCTIONS: dict[str, tuple[int, int, Callable[[Expr, Arguments, Scope], Expr]]] = {
    "where": (1, 1, _where),
    "exists": (0, 1, _exists),
    "empty": (0, 0, _empty),
    "all": (1, 1, _all),
    "not": (0, 0, _not),
    "count": (0, 0, _count),
    "first": (0, 0, _first),
    "last": (0, 0, _last),
    "join": (0, 1, _join),
    "ofType": (1, 1, _of_type),
    "extension": (1, 1, _extension),
    "getResourceKey": (0, 0, _resource_key),
    "getReferenceKey": (0, 1, _reference_key),
    "lowBoundary": (0, 1, _boundary(low=True)),
    "highBoundary": (0, 1, _boundary(low=False)),
    "startsWith": (1, 1, _string_function("starts_with({}, {})", "boolean")),
    "endsWith": (1, 1, _string_function("ends_with({}, {})", "boolean")),
    "contains": (1, 1, _string_function("contains({}, {})", "boolean")),
    "matches": (1, 1, _string_function("regexp_matches({}, {})", "boolean")),
    "upper": (0, 0, _string_function("upper({})", "string")),
    "lower": (0, 0, _string_function("lower({})", "string")),
    "length": (0, 0, _string_function("CAST(length({}) AS INTEGER)", "integer")),
    "trim": (0, 0, _string_function("trim({})", "string")),
    "replace": (2, 2, _string_function("replace({}, {}, {})", "string")),
    "indexOf": (1, 1, _string_function("CAST(strpos({}, {}) - 1 AS INTEGER)", "integer")),
    "substring": (1, 2, _substring),
    "toString": (0, 0, _to("VARCHAR", "string")),
    "toInteger": (0, 0, _to("INTEGER", "integer")),
    "toDecimal": (0, 0, _to("DECIMAL(38,22)", "decimal")),
    "iif": (2, 3, _iif),
    "as": (1, 1, _of_type),
    "is": (1, 1, _is),
    "select": (1, 1, _select),
    "single": (0, 0, _single),
    "distinct": (0, 0, _distinct),
    "hasValue": (0, 0, _has_value),
    "tail": (0, 0, _slice("2", "-1")),
    "skip": (1, 1, _slice("{} + 1", "-1")),
    "take": (1, 1, _slice("1", "{}")),
}


def _indexer(node: Mapping[str, Any], scope: Scope) -> Expr:
    left, index = _children(node)
    focus, position = _visit(left, scope), singleton(_visit(index, scope))
    if position.type not in INTEGERS:
        raise PathError("an index must be an integer")
    if focus.many:
        at = f"CASE WHEN {position.sql} >= 0 THEN {position.sql} + 1 END"
        at = f"{int(position.sql) + 1}" if position.sql.isdigit() else at
        return _picked(focus, f"list_extract({focus.sql}, {at})", many=False)
    return replace(focus, sql=f"CASE WHEN {position.sql} = 0 THEN {focus.sql} END")


def _operands(node: Mapping[str, Any], scope: Scope) -> tuple[Expr, Expr, str]:
    left, right = (_visit(child, scope) for child in _children(node))
    return left, right, _text(node)


def _equality(node: Mapping[str, Any], scope: Scope) -> Expr:
    left, right, operator = _operands(node, scope)
    _check_comparable(left, right)
    equal = _equal_sql(left, right)
    if operator in ("=", "~"):
        return Expr(equal, "boolean")
    if operator in ("!=", "!~"):
        return Expr(f"(NOT {equal})", "boolean")
    raise PathError(f"the operator {operator} is not supported in views")


def _equal_sql(left: Expr, right: Expr) -> str:
    one, other = _comparison(left, right)
    if not (left.many or right.many) and {left.type, right.type} & _CALENDAR:
        return boundaries.when_known(left.sql, right.sql, f"{one} = {other}", "false")
    if not (left.many or right.many):
        return f"({one} = {other})"
    present = " AND ".join(f"{exists_sql(side)}" for side in (left, right))
    lists = [side if origin.many else f"[{side}]" for side, origin in ((one, left), (other, right))]
    return f"(CASE WHEN {present} THEN {lists[0]} = {lists[1]} END)"


_CALENDAR = frozenset({"date", "dateTime", "instant"})


def _comparison(left: Expr, right: Expr) -> tuple[str, str]:
    """Both sides' SQL, as instants when one is a date, else as their own types."""
    if {left.type, right.type} & _CALENDAR:
        names = Names()
        return tuple(_instants(side, names) for side in (left, right))  # type: ignore[return-value]
    return left.typed().sql, right.typed().sql


def _instants(side: Expr, names: Names) -> str:
    x = names.fresh() + "d"
    if side.many:
        return f"list_transform({side.sql}, lambda {x}: {boundaries.instant(x)})"
    return boundaries.instant(side.sql)


def _check_comparable(left: Expr, right: Expr) -> None:
    for side in (left, right):
        if side.parts is not None:
            raise PathError(f"a {side.type} cannot be compared whole; compare its parts")
        if side.choice:
            raise PathError(f"'{side.choice}' has several types; add ofType()")
    groups = {_group(side.type) for side in (left, right)} - {"empty"}
    if len(groups) > 1:
        raise PathError(f"a {left.type} cannot be compared with a {right.type}")


def _group(kind: str) -> str:
    if kind in STRINGS:
        return "string"
    return "number" if kind in INTEGERS or kind == "decimal" else kind


def _inequality(node: Mapping[str, Any], scope: Scope) -> Expr:
    left, right, operator = _operands(node, scope)
    _check_comparable(left, right)
    sides = [replace(s, sql=_only(s), many=False) for s in (left, right)]
    one, other = _comparison(*sides)
    compared = f"{one} {operator} {other}"
    if {left.type, right.type} & _CALENDAR:
        return Expr(boundaries.when_known(sides[0].sql, sides[1].sql, compared, compared), "boolean")
    return Expr(f"({compared})", "boolean")


def _only(side: Expr) -> str:
    return f"CASE WHEN len({side.sql}) = 1 THEN list_extract({side.sql}, 1) END" if side.many else side.sql


def _logic(node: Mapping[str, Any], scope: Scope) -> Expr:
    left, right, operator = _operands(node, scope)
    one, other = truth(left), truth(right)
    forms = {
        "and": f"({one} AND {other})",
        "or": f"({one} OR {other})",
        "xor": f"({one} <> {other})",
        "implies": f"((NOT {one}) OR {other})",
    }
    return Expr(forms[operator], "boolean")


def _arithmetic(node: Mapping[str, Any], scope: Scope) -> Expr:
    left, right, operator = _operands(node, scope)
    one, other = singleton(left), singleton(right)
    groups = (_group(one.type), _group(other.type))
    if operator == "&":
        return Expr(f"(coalesce({one.sql}, '') || coalesce({other.sql}, ''))", "string")
    if operator == "+" and groups == ("string", "string"):
        return Expr(f"({one.sql} || {other.sql})", "string")
    if groups != ("number", "number"):
        raise PathError(f"{one.type} {operator} {other.type} cannot be computed")
    return _number_sql(one, other, operator)


def _number_sql(one: Expr, other: Expr, operator: str) -> Expr:
    """SQL of arithmetic; NULL where the result is too large or the divisor 0 (FHIRPath, «Math»)."""
    whole = one.type in INTEGERS and other.type in INTEGERS
    divisor = f"nullif({other.sql}, 0)"
    if operator in ("div", "mod"):
        sign = "//" if operator == "div" else "%"
        kind = "integer" if whole else "decimal"
        return Expr(
            f"TRY_CAST({one.sql} {sign} {divisor} AS {SQL_TYPES['integer' if operator == 'div' else kind]})", kind
        )
    if operator == "/":
        return Expr(f"TRY_CAST(CAST({one.sql} AS DOUBLE) / {divisor} AS DECIMAL(38,22))", "decimal")
    if whole:
        return Expr(f"TRY_CAST(CAST({one.sql} AS HUGEINT) {operator} {other.sql} AS INTEGER)", "integer")
    if operator == "*":
        return Expr(_product(one.sql, other.sql), "decimal")
    sides = [f"CAST({side.sql} AS DECIMAL(38,22))" for side in (one, other)]
    return Expr(f"TRY({sides[0]} {operator} {sides[1]})", "decimal")


def _product(one: str, other: str) -> str:
    """Exact for factors of up to nine digits behind the point, else as good as a binary double."""
    factors = [f"TRY_CAST({side} AS DECIMAL(19,9))" for side in (one, other)]
    exact = f"{factors[0]} = {one} AND {factors[1]} = {other}"
    rough = f"TRY_CAST(CAST({one} AS DOUBLE) * {other} AS DECIMAL(38,22))"
    return f"(CASE WHEN {exact} THEN TRY({factors[0]} * {factors[1]}) ELSE {rough} END)"


def _polarity(node: Mapping[str, Any], scope: Scope) -> Expr:
    value = singleton(_single_child(node, scope))
    if _group(value.type) != "number":
        raise PathError(f"a {value.type} has no sign")
    return Expr(f"({_text(node)}{value.sql})", value.type)


def _membership(node: Mapping[str, Any], scope: Scope) -> Expr:
    left, right, operator = _operands(node, scope)
    member_side, list_side = (left, right) if operator == "in" else (right, left)
    _check_comparable(left, right)
    value, items = singleton(member_side), list_side.typed()
    listed = items.sql if items.many else f"[{items.sql}]"
    return Expr(f"coalesce(list_contains({listed}, {value.sql}), false)", "boolean")


def _union(node: Mapping[str, Any], scope: Scope) -> Expr:
    left, right, _operator = _operands(node, scope)
    _check_comparable(left, right)
    sides = [side.typed() for side in (left, right)]
    lists = [side.sql if side.many else f"list_filter([{side.sql}], lambda u: u IS NOT NULL)" for side in sides]
    return Expr(f"list_distinct(list_concat({lists[0]}, {lists[1]}))", sides[0].type, many=True)


_VISITORS: dict[str, Callable[[Mapping[str, Any], Scope], Expr]] = {
    "InvocationExpression": _invocation,
    "TermExpression": _single_child,
    "InvocationTerm": _term,
    "LiteralTerm": _literal,
    "ParenthesizedTerm": _single_child,
    "ExternalConstantTerm": _constant,
    "ThisInvocation": lambda _node, scope: scope.this,
    "IndexerExpression": _indexer,
    "EqualityExpression": _equality,
    "InequalityExpression": _inequality,
    "AndExpression": _logic,
    "OrExpression": _logic,
    "ImpliesExpression": _logic,
    "AdditiveExpression": _arithmetic,
    "MultiplicativeExpression": _arithmetic,
    "PolarityExpression": _polarity,
    "MembershipExpression": _membership,
    "TypeExpression": _as,
    "UnionExpression": _union,
}
