"""SQL-on-FHIR views evaluated the slow, obvious way: the standard's processing algorithm over Python objects.

The reference that the compiler is held against. It follows the text of the specification («Processing Algorithm»)
line by line, treats every FHIRPath value as a list of nodes, and shares nothing with the compiler but the parser.
"""

from __future__ import annotations

import calendar
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from fhirpathpy.parser import parse

Row = dict[str, Any]


class SeveralValuesError(Exception):
    """A column that is no collection found several values."""


SEVERAL = object()
"""Stands for several values until a row shows it: what is crossed with no row at all is not looked at."""


@dataclass(frozen=True)
class Node:
    """A value with its FHIR type, where known, and the JSON object that holds a primitive's extensions."""

    value: Any
    type: str = ""
    extra: Any = None


@dataclass(frozen=True)
class Context:
    this: Node
    resource: Node
    row_index: int = 0
    constants: Mapping[str, Node] = field(default_factory=dict)


def rows(view: Mapping[str, Any], resources: Sequence[Mapping[str, Any]]) -> list[Row]:
    """«Process a Resource» for every resource."""
    found: list[Row] = []
    constants = {c["name"]: _constant(c) for c in view.get("constant", [])}
    for resource in resources:
        if resource["resourceType"] != view["resource"]:
            continue
        node = Node(resource, view["resource"])
        context = Context(node, node, 0, constants)
        if all(_is_true(evaluate(w["path"], context)) for w in view.get("where", [])):
            found += process({"select": view["select"]}, context)
    if any(value is SEVERAL for row in found for value in row.values()):
        raise SeveralValuesError
    return found


def _constant(constant: Mapping[str, Any]) -> Node:
    name, value = next((k, v) for k, v in constant.items() if k.startswith("value"))
    return Node(value, name[5].lower() + name[6:])


def process(select: Mapping[str, Any], context: Context) -> list[Row]:
    """«Process(S, N)»."""
    emitted: list[Row] = []
    for index, focus in enumerate(_foci(select, context)):
        iterates = any(name in select for name in ("forEach", "forEachOrNull", "repeat"))
        here = Context(focus, context.resource, index if iterates else context.row_index, context.constants)
        parts = [[{c["name"]: _column(c, here)}] for c in select.get("column", [])]
        parts += [process(nested, here) for nested in select.get("select", [])]
        if "unionAll" in select:
            parts.append([row for branch in select["unionAll"] for row in process(branch, here)])
        for combination in itertools.product(*parts):
            emitted += [{name: value for part in combination for name, value in part.items()}]
    if "forEachOrNull" in select and not emitted and not _foci(select, context):
        emitted.append({name: 0 if path == "%rowIndex" else None for name, path in _columns(select)})
    return emitted


def _foci(select: Mapping[str, Any], context: Context) -> list[Node]:
    if "repeat" in select:
        found: list[Node] = []
        _traverse(select["repeat"], context, found)
        return found
    path = select.get("forEach") or select.get("forEachOrNull")
    return evaluate(path, context) if path else [context.this]


def _traverse(paths: Sequence[str], context: Context, found: list[Node]) -> None:
    for path in paths:
        for child in evaluate(path, context):
            found.append(child)
            _traverse(paths, Context(child, context.resource, 0, context.constants), found)


def _columns(select: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ((c["name"], c["path"]) for c in select.get("column", []))
    for nested in select.get("select", []):
        yield from _columns(nested)
    if select.get("unionAll"):
        yield from _columns(select["unionAll"][0])


def _column(column: Mapping[str, Any], context: Context) -> Any:
    values = [node.value for node in evaluate(column["path"], context)]
    if column.get("collection"):
        return values
    if len(values) > 1:
        return SEVERAL
    return values[0] if values else None


def evaluate(path: str, context: Context) -> list[Node]:
    """A FHIRPath expression as a list of nodes."""
    return _visit(parse(path)["children"][0], context)


def _is_true(nodes: Sequence[Node]) -> bool:
    return _boolean(nodes) is True


def _boolean(nodes: Sequence[Node]) -> bool | None:
    """Singleton evaluation: nothing is unknown, one boolean is itself, one other value is true."""
    if len(nodes) != 1:
        return None
    return nodes[0].value if isinstance(nodes[0].value, bool) else True


def _truth(value: bool | None) -> list[Node]:
    return [] if value is None else [Node(value, "boolean")]


def _visit(node: Mapping[str, Any], context: Context) -> list[Node]:
    return [found for found in _visit_all(node, context) if found.value is not None]


def _visit_all(node: Mapping[str, Any], context: Context) -> list[Node]:
    """Also primitives without a value, which may have extensions."""
    kind, children = node["type"], node.get("children") or []
    if kind in ("TermExpression", "ParenthesizedTerm", "LiteralTerm"):
        return _visit_all(children[0], context)
    if kind == "InvocationTerm":
        return _invoke(children[0], [context.this], context)
    if kind == "InvocationExpression":
        right = children[1]
        extended = right["type"] == "FunctionInvocation" and _name(right) == "extension"
        return _invoke(right, (_visit_all if extended else _visit)(children[0], context), context)
    if kind == "ThisInvocation":
        return [context.this]
    if kind == "ExternalConstantTerm":
        name = _name(children[0])
        return [Node(context.row_index, "integer")] if name == "rowIndex" else [context.constants[name]]
    if kind == "IndexerExpression":
        items, position = _visit(children[0], context), _visit(children[1], context)[0].value
        return items[position : position + 1]
    if kind.endswith("Literal"):
        return _literal(kind, node["terminalNodeText"][0])
    return _operation(kind, node["terminalNodeText"][0], *(_visit(child, context) for child in children))


def _literal(kind: str, text: str) -> list[Node]:
    if kind == "StringLiteral":
        return [Node(text[1:-1], "string")]
    if kind == "BooleanLiteral":
        return [Node(text == "true", "boolean")]
    return [Node(Decimal(text), "decimal")] if "." in text else [Node(int(text), "integer")]


def _name(node: Mapping[str, Any]) -> str:
    while node["type"] != "Identifier":
        node = node["children"][0]
    return str(node["terminalNodeText"][0]).strip("`")


def _operation(kind: str, operator: str, left: list[Node], right: list[Node]) -> list[Node]:
    if kind in ("AndExpression", "OrExpression"):
        return _truth(_logic(operator, _boolean(left), _boolean(right)))
    if not left or not right:
        return []
    if kind == "EqualityExpression":
        equal = [n.value for n in left] == [n.value for n in right]
        return _truth(equal if operator == "=" else not equal)
    one, other = left[0].value, right[0].value
    if kind == "InequalityExpression":
        return _truth({"<": one < other, ">": one > other, "<=": one <= other, ">=": one >= other}[operator])
    value = {"+": lambda: one + other, "-": lambda: one - other, "*": lambda: one * other}[operator]()
    return [Node(value, "integer" if isinstance(value, int) else "decimal")]


def _logic(operator: str, one: bool | None, other: bool | None) -> bool | None:
    """Three-valued logic (FHIRPath, «Boolean logic»)."""
    decided = operator == "or"
    if one is decided or other is decided:
        return decided
    return None if one is None or other is None else not decided


def _invoke(node: Mapping[str, Any], focus: list[Node], context: Context) -> list[Node]:
    if node["type"] == "MemberInvocation":
        return [child for item in focus for child in _children(item, _name(node))]
    if node["type"] == "ThisInvocation":
        return focus
    function = node["children"][0]
    lists = [child for child in function["children"] if child["type"] == "ParamList"]
    arguments = lists[0]["children"] if lists else []
    return _function(_name(function["children"][0]), focus, arguments, context)


def _children(item: Node, name: str) -> Iterator[Node]:
    if not isinstance(item.value, dict):
        return
    for key, value in item.value.items():
        is_choice = re.fullmatch(rf"{name}[A-Z]\w*", key) is not None and name in CHOICES
        if key != name and not is_choice:
            continue
        values = value if isinstance(value, list) else [value]
        extras = item.value.get(f"_{key}")
        extras = extras if isinstance(extras, list) else [extras]
        kind = key.removeprefix(name)
        for child, extra in itertools.zip_longest(values, extras):
            if child is not None:
                yield Node(child, (kind[:1].lower() + kind[1:]) if is_choice else "", extra)
    if name not in item.value and isinstance(alone := item.value.get(f"_{name}"), dict):
        yield Node(None, "", alone)


CHOICES = {"value", "deceased", "multipleBirth", "effective"}


def _function(name: str, focus: list[Node], arguments: Sequence[Any], context: Context) -> list[Node]:
    def criterion(item: Node) -> bool:
        return _is_true(_visit(arguments[0], Context(item, context.resource, context.row_index, context.constants)))

    def argument() -> Any:
        return _visit(arguments[0], context)[0].value

    def type_name() -> str:
        return arguments[0]["text"] if arguments else ""

    return {
        "where": lambda: [item for item in focus if criterion(item)],
        "exists": lambda: _truth(any(criterion(item) for item in focus) if arguments else bool(focus)),
        "empty": lambda: _truth(not focus),
        "all": lambda: _truth(all(criterion(item) for item in focus)),
        "not": lambda: _truth(None if _boolean(focus) is None else not _boolean(focus)),
        "count": lambda: [Node(len(focus), "integer")],
        "first": lambda: focus[:1],
        "last": lambda: focus[-1:],
        "join": lambda: [Node((argument() if arguments else "").join(item.value for item in focus), "string")],
        "ofType": lambda: [item for item in focus if item.type == type_name()[:1].lower() + type_name()[1:]],
        "extension": lambda: [e for item in focus for e in _extensions(item, argument())],
        "getResourceKey": lambda: [Node(f"{focus[0].value['resourceType']}/{focus[0].value['id']}", "string")],
        "getReferenceKey": lambda: _reference_keys(focus, type_name()),
        "lowBoundary": lambda: [Node(boundary(item.value, low=True)) for item in focus],
        "highBoundary": lambda: [Node(boundary(item.value, low=False)) for item in focus],
    }[name]()


def _extensions(item: Node, url: str) -> Iterator[Node]:
    holder = item.value if isinstance(item.value, dict) else item.extra or {}
    for extension in holder.get("extension", []):
        if extension.get("url") == url:
            yield Node(extension)


def _reference_keys(focus: Sequence[Node], wanted: str) -> list[Node]:
    texts = [item.value.get("reference") for item in focus]
    keys = ["/".join(text.split("/_history")[0].split("/")[-2:]) for text in texts if text]
    return [Node(key, "string") for key in keys if not wanted or key.startswith(f"{wanted}/")]


def boundary(value: Any, *, low: bool) -> Any:
    """The least or greatest value that a decimal or a date can stand for."""
    if isinstance(value, Decimal | int):
        half = Decimal(5).scaleb(Decimal(value).as_tuple().exponent - 1)  # type: ignore[operator]
        return value - half if low else value + half
    year, *rest = value.split("-")
    if len(rest) == 2:
        return value
    month = rest[0] if rest else ("01" if low else "12")
    day = 1 if low else calendar.monthrange(int(year), int(month))[1]
    return f"{year}-{month}-{day:02}"
