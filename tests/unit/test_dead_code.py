"""No code that only tests reach: every public name of the product is used by the product itself.

A name counts as used where the product's source, templates, configuration or entry points say it outside its own
definition; an import, a docstring or ``__all__`` alone is no use. Private names are left to the linter.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("erios", "etl", "experiments", "validation")
TEXTS = ("pyproject.toml", "Makefile", "conf/**/*.*", "erios/**/templates/**/*.*", "docs/*.py", "docs/api.md")
"""What names code without being Python of the packages: entry points, bundles, templates, pages whose examples run."""
FRAMEWORK_DECORATORS = {"command", "callback", "filter", "simple_tag", "field_validator", "model_validator", "register"}
"""Typer, Django and pydantic call what bears one of these."""
PLAIN_BASES = {
    "Protocol",
    "Generic",
    "StrEnum",
    "IntEnum",
    "Enum",
    "NamedTuple",
    "Exception",
    "ValueError",
    "TypedDict",
}
"""Bases that call no method by its name; every other base from outside may (Django, logging, torch)."""
SETTINGS = {"erios.django_settings", "erios.job_django_settings"}
"""Modules whose constants Django reads."""
ALLOWED = {
    "erios.studies.apps:StudiesConfig": "Django finds it in the module `apps`",
    "erios.accounts.apps:AccountsConfig": "Django finds it in the module `apps`",
    "erios.portal.apps:PortalConfig": "Django finds it in the module `apps`",
    "erios.portal.urls:urlpatterns": "Django reads it",
    "erios.portal.middleware:process_exception": "Django calls it",
    "erios.compliance.__init__:SUBJECTS": "importing the modules of checks registers them",
    "validation.row_expectations:UnexpectedRowsOfEach": "its base registers it with Great Expectations",
    "experiments.distributed:leave_notices_to_the_rank": "authors of bundles name it, as docs/clusters.md says",
    "etl.synthetic.export:read_planted": "what the generator planted, for whoever tests a warehouse with it",
    "etl.synthetic.ground_truth:identifying_values": "what must not leak of a generated hospital, for its tests",
}
"""module:name → who uses it, where the product's text does not say so."""
_WORD = re.compile(r"[A-Za-z_]\w+")


@dataclass(frozen=True)
class Definition:
    """A public name and where it is defined; ``node`` holds what does not count as a use."""

    module: str
    name: str
    node: ast.AST

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"


def definitions(module: str, tree: ast.Module, classes: set[str]) -> Iterator[Definition]:
    """Functions, classes, constants and methods of a module that somebody must use."""
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) if not _is_framework(node):
                yield Definition(module, name, node)
            case ast.ClassDef(name=name):
                yield Definition(module, name, node)
                yield from _methods(module, node, classes)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)) if (
                module not in SETTINGS
            ):
                yield Definition(module, name, node)


def _methods(module: str, node: ast.ClassDef, classes: set[str]) -> Iterator[Definition]:
    bases = {ast.unparse(base).split("[")[0].split(".")[-1] for base in node.bases}
    if bases <= classes | PLAIN_BASES:
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and not _is_framework(method):
                yield Definition(module, method.name, method)


def _is_framework(node: ast.FunctionDef) -> bool:
    words = (_WORD.findall(ast.unparse(decorator).split("(")[0]) for decorator in node.decorator_list)
    return any(FRAMEWORK_DECORATORS & set(found) for found in words)


def uses(tree: ast.AST) -> Counter[str]:
    """How often each name is used in a tree."""
    found: Counter[str] = Counter()
    for node in _used_nodes(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Load()) | ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
                found[name] += 1
            case ast.Constant(value=str(text)):
                found.update(_WORD.findall(text))
    return found


def _used_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but docstrings and ``__all__``."""
    left = [node]
    while left:
        node = left.pop()
        match node:
            case ast.Expr(value=ast.Constant()) | ast.Assign(targets=[ast.Name(id="__all__"), *_]):
                continue
        yield node
        left += ast.iter_child_nodes(node)


@cache
def trees() -> dict[str, ast.Module]:
    """Module name → syntax tree, migrations left out."""
    files = [file for name in PACKAGES for file in (ROOT / name).rglob("*.py") if "migrations" not in file.parts]
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts): ast.parse(file.read_text("utf-8")) for file in files
    }


def unused(sources: dict[str, ast.Module], texts: str) -> list[str]:
    """``module:name`` of each public definition that nothing uses."""
    everywhere = Counter(_WORD.findall(texts))
    for tree in sources.values():
        everywhere.update(uses(tree))
    classes = {node.name for tree in sources.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    wanted = [one for module, tree in sources.items() for one in definitions(module, tree, classes)]
    return [str(one) for one in wanted if one.name[0] != "_" and everywhere[one.name] <= uses(one.node)[one.name]]


def other_texts() -> str:
    """What else names code."""
    files = [file for pattern in TEXTS for file in ROOT.glob(pattern) if file.is_file()]
    return "\n".join(file.read_text("utf-8", errors="ignore") for file in files)


@cache
def unused_of_the_product() -> tuple[str, ...]:
    return tuple(unused(trees(), other_texts()))


def test_every_public_name_is_used_by_the_product() -> None:
    assert [name for name in unused_of_the_product() if name not in ALLOWED] == []


def test_what_is_allowed_is_still_unused() -> None:
    assert set(ALLOWED) <= set(unused_of_the_product())


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def lonely(): return 1", ["m:lonely"]),
        ("def again(n): return again(n - 1)", ["m:again"]),
        ("LIMIT = 3", ["m:LIMIT"]),
        ("class Box:\n  def open(self): ...\nBox()", ["m:open"]),
        ('__all__ = ["lonely"]\ndef lonely(): ...', ["m:lonely"]),
        ('def lonely():\n  """lonely"""', ["m:lonely"]),
        ("from n import other\ndef used(): ...\nused()", []),
        ("@app.command()\ndef used(): ...", []),
        ("class Visit(forms.Form):\n  def clean(self): ...\nVisit()", []),
        ("def _private(): ...", []),
        ('def used(): ...\nNAMES = ["m:used"]\nprint(NAMES)', []),
    ],
)
def test_a_name_that_nothing_uses_is_found(source: str, found: list[str]) -> None:
    assert unused({"m": ast.parse(source)}, "") == found
