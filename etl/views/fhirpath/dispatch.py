"""Registry of what compiles each syntax construct and each function.

The other modules fill it with the decorators ``construct`` and ``function``; it imports none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from etl.views.fhirpath.errors import PathError
from etl.views.fhirpath.expressions import Expr, Scope
from etl.views.fhirpath.syntax import Node, child_nodes, function_name

Arguments = Sequence[Node]
Construct = Callable[[Node, Scope], Expr]
Function = Callable[[Expr, Arguments, Scope], Expr]

_CONSTRUCTS: dict[str, Construct] = {}
_FUNCTIONS: dict[str, tuple[int, int, Function]] = {}


def construct(*types: str) -> Callable[[Construct], Construct]:
    """Register the compiler of nodes of some types."""

    def register(compiler: Construct) -> Construct:
        _CONSTRUCTS.update(dict.fromkeys(types, compiler))
        return compiler

    return register


def function(name: str, least: int = 0, most: int | None = None) -> Callable[[Function], Function]:
    """Register the compiler of a function that takes from ``least`` to ``most`` (``least`` if None) arguments."""

    def register(compiler: Function) -> Function:
        _FUNCTIONS[name] = (least, least if most is None else most, compiler)
        return compiler

    return register


def visit(node: Node, scope: Scope) -> Expr:
    """Compile a node; PathError for a construct that nobody has registered."""
    if not (compiler := _CONSTRUCTS.get(node["type"])):
        raise PathError(f"the FHIRPath construct {node['type']} is not supported in views")
    return compiler(node, scope)


def call_function(node: Node, focus: Expr, scope: Scope) -> Expr:
    """Compile the call of a function on ``focus``; PathError for an unknown one and a wrong number of arguments."""
    name = function_name(node)
    lists = [child for child in child_nodes(child_nodes(node)[0]) if child["type"] == "ParamList"]
    arguments = child_nodes(lists[0]) if lists else []
    if name not in _FUNCTIONS:
        raise PathError(f"the function {name}() is not supported in views; known: {', '.join(sorted(_FUNCTIONS))}")
    least, most, compiler = _FUNCTIONS[name]
    if not least <= len(arguments) <= most:
        raise PathError(f"{name}() takes {least if least == most else f'{least} to {most}'} arguments")
    return compiler(focus, arguments, scope)
