"""Syntax trees of FHIRPath expressions, made by ``fhirpathpy``'s parser, and questions about their nodes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from antlr4 import CommonTokenStream, InputStream, ParseTreeWalker, Token  # type: ignore[import-untyped]
from antlr4.error.ErrorListener import ErrorListener  # type: ignore[import-untyped]
from fhirpathpy.parser.ASTPathListener import ASTPathListener
from fhirpathpy.parser.generated.FHIRPathLexer import FHIRPathLexer
from fhirpathpy.parser.generated.FHIRPathParser import FHIRPathParser

from etl.views.fhirpath.errors import PathError

Node = Mapping[str, Any]
"""A node of a syntax tree: ``type``, ``children``, ``text`` and ``terminalNodeText``."""


_SELECTING = frozenset({"where", "ofType", "as", "first", "last", "single", "distinct", "tail", "skip", "take"})
_EMPTY_FOR_EMPTY = _SELECTING | {"extension", "getReferenceKey", "lowBoundary", "highBoundary"}
"""Functions that give an empty collection for an empty one (FHIRPath §5, «empty»)."""


class _Strict(ErrorListener):  # type: ignore[misc]
    """Raises PathError at the first syntax error, instead of printing it and going on."""

    def __init__(self, path: str) -> None:
        self._path = path

    def syntaxError(self, _who: Any, _what: Any, _line: int, column: int, *_more: Any) -> None:  # noqa: N802
        raise _syntax_error(self._path, column)


@cache
def parse(path: str) -> Node:
    """The syntax tree of an expression; PathError if it is not FHIRPath to its last character."""
    lexer = FHIRPathLexer(InputStream(path))
    parser = FHIRPathParser(CommonTokenStream(lexer))
    for recognizer in (lexer, parser):
        recognizer.removeErrorListeners()
        recognizer.addErrorListener(_Strict(path))
    tree, listener = parser.expression(), ASTPathListener()  # type: ignore[no-untyped-call]
    if (token := parser.getTokenStream().LT(1)).type != Token.EOF:
        raise _syntax_error(path, token.column)
    ParseTreeWalker().walk(listener, tree)
    return child_nodes(listener.parentStack[0])[0]


def _syntax_error(path: str, column: int) -> PathError:
    return PathError(f"'{path}' is not a FHIRPath expression; the fault is at character {column + 1}")


def is_path(text: str) -> bool:
    """Is an expression a chain of steps from an element, and so empty in a record that lacks this first element?

    An expression that begins with a function such as ``where()`` is none: its result does not depend on one element.
    """
    return _is_path(parse(text))


def _is_path(node: Node) -> bool:
    children = child_nodes(node)
    match node["type"]:
        case "TermExpression" | "ParenthesizedTerm" | "IndexerExpression":
            return _is_path(children[0])
        case "InvocationTerm":
            return children[0]["type"] == "MemberInvocation" or function_name(children[0]) == "extension"
        case "TypeExpression":
            return node_text(node) == "as" and _is_path(children[0])
        case "InvocationExpression":
            return _is_path(children[0]) and _is_path(children[1])
        case "FunctionInvocation":
            return function_name(node) in _EMPTY_FOR_EMPTY
        case "MemberInvocation":
            return True
    return False


def function_name(node: Node) -> str:
    """The name of the function that a node calls; empty for other nodes."""
    return identifier(child_nodes(child_nodes(node)[0])[0]) if node["type"] == "FunctionInvocation" else ""


def child_nodes(node: Node) -> list[Node]:
    """The nodes below a node, in the order of the text."""
    return list(node.get("children") or [])


def node_text(node: Node) -> str:
    """The text of a node's first terminal: an operator, a literal, a name."""
    terminals = node.get("terminalNodeText") or []
    return str(terminals[0]) if terminals else str(node.get("text") or "")


def identifier(node: Node) -> str:
    """The first identifier in a node, without its backquotes."""
    inner = node
    while inner["type"] != "Identifier":
        inner = child_nodes(inner)[0]
    return node_text(inner).strip("`")


def type_name(node: Node) -> str:
    """The name of the type that a node names, without its namespace."""
    text = str(node.get("text") or "") or identifier(node)
    return text.replace("FHIR.", "").replace("System.", "").strip("`")
