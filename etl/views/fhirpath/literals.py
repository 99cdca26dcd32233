"""Literals and constants (``'text'``, ``1.50``, ``@2026-01``, ``%name``)."""

from __future__ import annotations

import re

from etl.sql import literal
from etl.views.fhirpath.dispatch import construct
from etl.views.fhirpath.errors import PathError
from etl.views.fhirpath.expressions import Expr, Scope
from etl.views.fhirpath.syntax import Node, child_nodes, identifier, node_text


@construct("LiteralTerm")
def _literal(node: Node, _scope: Scope) -> Expr:
    child = child_nodes(node)[0]
    text = node_text(child)
    match child["type"]:
        case "StringLiteral":
            return Expr(literal(_unescape(text[1:-1])), "string")
        case "BooleanLiteral":
            return Expr(text, "boolean")
        case "NumberLiteral":
            return _number(text)
        case "DateTimeLiteral" | "DateLiteral" | "TimeLiteral":
            return _date_literal(text)
        case "NullLiteral":
            return Expr("NULL", "empty")
    raise PathError(f"the literal {text} is not supported in views")


def _number(text: str) -> Expr:
    """A numeric literal: an integer, or a decimal whose digits are kept."""
    if "." in text:
        return Expr(literal(text), "decimal", raw=True)
    return Expr(text, "integer")


def _date_literal(text: str) -> Expr:
    value = text.removeprefix("@").removesuffix("T")
    if value.startswith("T"):
        return Expr(literal(value[1:]), "time", raw=True)
    return Expr(literal(value), "dateTime" if "T" in text else "date", raw=True)


_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}


def _unescape(text: str) -> str:
    def value(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if code.startswith("u") else _ESCAPES.get(code, code)

    return re.sub(r"\\(u[0-9A-Fa-f]{4}|.)", value, text)


_SYSTEMS = {"ucum": "http://unitsofmeasure.org", "sct": "http://snomed.info/sct", "loinc": "http://loinc.org"}


@construct("ExternalConstantTerm")
def _constant(node: Node, scope: Scope) -> Expr:
    name = _constant_name(node)
    if name == "rowIndex":
        return Expr(f"CAST({scope.row_index} AS INTEGER)", "integer")
    if name in ("resource", "rootResource"):
        return scope.record or scope.this
    if name == "context":
        return scope.context or scope.this
    if name in _SYSTEMS and name not in scope.constants:
        return Expr(literal(_SYSTEMS[name]), "uri")
    if name not in scope.constants:
        defined = ", ".join(f"%{constant}" for constant in scope.constants) or "none"
        raise PathError(f"the constant %{name} is not defined; defined: {defined}")
    return scope.constants[name]


def _constant_name(node: Node) -> str:
    """``name`` of ``%name``, ``%`name``` and ``%'name'``."""
    external = child_nodes(node)[0]
    quoted = [text for text in external.get("terminalNodeText") or [] if text != "%"]
    return str(quoted[0]).strip("'") if quoted else identifier(external)
