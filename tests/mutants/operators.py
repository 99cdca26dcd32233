"""Mutants of a Python module: its syntax tree with one small fault in it.

Owns the operators. A mutant is named by the source it changes and what it puts there, never by a line number, so
that its name outlives edits elsewhere in the file. Text is left alone, except SQL, whose operators are changed word by
word. Annotations, docstrings and decorators are no behaviour that a test could see, and are left alone too.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
SQL_WORDS = (
    (r">=", ">"),
    (r"<=", "<"),
    (r"<>", "="),
    (r"(?<![<>=])>(?!=)", ">="),
    (r"(?<![<>=])<(?![=>])", "<="),
    (r"(?<![<>=])=(?!=)", "<>"),
    (r"\bAND\b", "OR"),
    (r"\bOR\b(?! REPLACE)", "AND"),
    (r"\bNOT\b(?! REPLACE)", ""),
    (r"\bDESC\b", "ASC"),
    (r"\bLAST\b", "FIRST"),
    (r"\bANTI\b", "SEMI"),
    (r"\bSEMI\b", "ANTI"),
    (r"\bIS DISTINCT FROM\b", "="),
    (r"\bUNION ALL\b", "EXCEPT ALL"),
    (r"\bmin\(", "max("),
    (r"\bmax\(", "min("),
    (r"\bbool_or\(", "bool_and("),
    (r"\btrue\b", "false"),
    (r"\bfalse\b", "true"),
    (r"\bleft\(", "right("),
    (r"(?<=[ (])\d+(?=[ ,)]|$)", "{+1}"),
)
_SQL = re.compile(r"\b(SELECT|WHERE|CASE|WHEN|ELSE|DESC|COPY|CAST|BETWEEN)\b|left\(")


_AROUND = 30


NodePath = tuple[tuple[str, int | None], ...]
"""From the root of a syntax tree to a node: fields and, in lists, indices."""
Change = Callable[[ast.AST], ast.AST]


@dataclass(frozen=True)
class Mutant:
    """``file`` relative to the repository; ``line`` for the reader; ``name``: the old source ⇒ the new."""

    file: str
    line: int
    name: str
    source: str
    path: NodePath
    change: Change

    def tree(self) -> ast.Module:
        """The changed module."""
        tree = ast.parse(self.source)
        _replace(tree, self.path, self.change(_node(tree, self.path)))
        return ast.fix_missing_locations(tree)


def mutants_of(root: Path, file: str) -> Iterator[Mutant]:
    """Every mutant of a file, each name once, in the order of the source."""
    source = (root / file).read_text(encoding="utf-8")
    tree = ast.parse(source)
    seen: dict[str, int] = {}
    for path, change, label in _changes(tree):
        before, after = _described(tree, path, change)
        name = f"{label}: {before} ⇒ {after}"
        times = seen[name] = seen.get(name, 0) + 1
        yield Mutant(file, _line(tree, path), name + (f" ({times})" if times > 1 else ""), source, path, change)


def _node(tree: ast.AST, path: NodePath) -> ast.AST:
    node = tree
    for name, index in path:
        value = getattr(node, name)
        node = value if index is None else value[index]
    return node


def _replace(tree: ast.AST, path: NodePath, new: ast.AST) -> None:
    parent, (name, index) = _node(tree, path[:-1]), path[-1]
    if index is None:
        setattr(parent, name, new)
    else:
        getattr(parent, name)[index] = new


def _line(tree: ast.AST, path: NodePath) -> int:
    while not hasattr(_node(tree, path), "lineno"):
        path = path[:-1]
    return int(_node(tree, path).lineno)  # type: ignore[attr-defined]


def _described(tree: ast.AST, path: NodePath, change: Change) -> tuple[str, str]:
    """The source before and after; of a constant, that of the expression around it."""
    around = _node(tree, path[:-1])
    whole = isinstance(_node(tree, path), ast.Constant) and isinstance(around, ast.expr | ast.keyword)
    node = copy.deepcopy(around if whole else _node(tree, path))
    before = ast.unparse(node)
    if whole:
        _replace(node, path[-1:], change(_node(node, path[-1:])))
    else:
        node = change(node)
    return _difference(" ".join(before.split()), " ".join(ast.unparse(node).split()))


def _difference(before: str, after: str) -> tuple[str, str]:
    """What differs between two sources, with up to ``_AROUND`` characters of what both begin and end with."""
    if max(len(before), len(after)) <= 4 * _AROUND:
        return before, after
    start = _alike(before, after)
    end = min(_alike(before[::-1], after[::-1]), min(len(before), len(after)) - start)
    first = max(0, start - _AROUND)
    before, after = before[first : len(before) - end + _AROUND], after[first : len(after) - end + _AROUND]
    return before[: 4 * _AROUND], after[: 4 * _AROUND]


def _alike(first: str, second: str) -> int:
    """How many characters two texts begin with in common."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))))


def _changes(tree: ast.Module) -> Iterator[tuple[NodePath, Change, str]]:
    for path, node, function in _walk(tree, (), ""):
        for change in _of_node(node, is_table=not function):
            yield path, change, function or "module"


_LEFT_ALONE = ("annotation", "returns", "decorator_list", "type_comment", "bases")


def _walk(node: ast.AST, path: NodePath, function: str) -> Iterator[tuple[NodePath, ast.AST, str]]:
    """Every node that may change, with the name of the function or class around it."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    if isinstance(node, ast.keyword) and node.arg in ("strict", "encoding", "repr"):
        return
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        function = f"{function}.{node.name}".lstrip(".")
    if path:
        yield path, node, function
    for name, value in ast.iter_fields(node):
        if name in _LEFT_ALONE:
            continue
        children = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
        for index, child in children:
            if isinstance(child, ast.AST) and not _is_docstring(child):
                yield from _walk(child, (*path, (name, index)), function)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _of_node(node: ast.AST, is_table: bool) -> Iterator[Change]:
    match node:
        case ast.Tuple(elts=items, ctx=ast.Load()) | ast.Set(elts=items) if is_table:
            yield from (_without(place) for place in range(len(items)) if _is_named(items[place]))
        case ast.stmt():
            yield from _of_statement(node)
        case ast.expr():
            yield from _of_expression(node)


def _of_statement(node: ast.stmt) -> Iterator[Change]:
    match node:
        case ast.Return(value=value) if value is not None and not _is_constant(value, None):
            yield lambda _: ast.Return(ast.Constant(None))
        case ast.Raise() | ast.AugAssign() | ast.Break() | ast.Continue() | ast.Expr():
            yield lambda _: ast.Pass()
        case ast.If() | ast.While() if not isinstance(node.test, ast.Compare | ast.BoolOp | ast.UnaryOp):
            yield _negated


def _of_expression(node: ast.expr) -> Iterator[Change]:
    match node:
        case ast.Compare():
            yield from (_comparison(place) for place in range(len(node.ops)))
        case ast.BoolOp():
            yield _bool_op
        case ast.UnaryOp(op=ast.Not()):
            yield lambda old: old.operand  # type: ignore[attr-defined]
        case ast.BinOp() if type(node.op) in ARITHMETIC and not _is_text_or_type(node):
            yield _arithmetic
        case ast.Constant():
            yield from _constant(node)
        case ast.IfExp() if not isinstance(node.test, ast.Compare | ast.BoolOp | ast.UnaryOp):
            yield _negated


def _comparison(place: int) -> Change:
    def change(old: ast.AST) -> ast.AST:
        assert isinstance(old, ast.Compare)
        old.ops[place] = COMPARISONS[type(old.ops[place])]()
        return old

    return change


def _bool_op(old: ast.AST) -> ast.AST:
    assert isinstance(old, ast.BoolOp)
    old.op = ast.Or() if isinstance(old.op, ast.And) else ast.And()
    return old


def _arithmetic(old: ast.AST) -> ast.AST:
    assert isinstance(old, ast.BinOp)
    old.op = ARITHMETIC[type(old.op)]()
    return old


def _negated(old: ast.AST) -> ast.AST:
    assert isinstance(old, ast.If | ast.IfExp | ast.While)
    old.test = ast.UnaryOp(ast.Not(), old.test)
    return old


def _without(place: int) -> Change:
    def change(old: ast.AST) -> ast.AST:
        del old.elts[place]  # type: ignore[attr-defined]
        return old

    return change


def _constant(node: ast.Constant) -> Iterator[Change]:
    value = node.value
    if isinstance(value, bool):
        yield lambda _: ast.Constant(not value)
    elif isinstance(value, int | float):
        yield lambda _: ast.Constant(value + 1)
    elif isinstance(value, str) and _SQL.search(value):
        for pattern, word in SQL_WORDS:
            for hit in re.finditer(pattern, value):
                yield _sql(value, hit, word)


def _sql(text: str, hit: re.Match[str], word: str) -> Change:
    put = str(int(hit[0]) + 1) if word == "{+1}" else word
    return lambda _: ast.Constant(text[: hit.start()] + put + text[hit.end() :])


def _is_constant(node: ast.AST, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _is_text_or_type(node: ast.BinOp) -> bool:
    return any(isinstance(part, ast.JoinedStr) or _is_constant(part, None) for part in (node.left, node.right))


def _is_named(item: ast.AST) -> bool:
    return isinstance(item, ast.Name | ast.Attribute | ast.Call | ast.Starred)
