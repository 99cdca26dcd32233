"""The settings' reference, written from ``erios/settings*.py``: every setting with its default and its meaning.

Owns the text of ``docs/reference/settings.md``. What it says comes from the models and from the line under each of
their fields, so that the page cannot tell another story than the program.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from erios import settings, settings_sections
from erios.checkout import PROJECT
from erios.settings import ZONES, Settings

OPENING = """# Settings

This page is written by `make docs` from `erios/settings.py` and `erios/settings_sections.py`.

Settings stand in `conf/erios.toml`, or in the file that `ERIOS_CONF` names. An environment variable wins over the file:
`ERIOS_HOME` for `home`, with two underscores inside a section: `ERIOS_SPARK__MASTER` for `master` of `[spark]`.
Relative paths in the file start at the folder above `conf/`. A setting that does not exist is refused by name, and so
is a value that is not allowed; both before anything runs. No setting holds a secret.
"""


def settings_page() -> str:
    """The whole page, in Markdown."""
    return "\n".join([OPENING, *_section(Settings, "")])


def _section(model: type[BaseModel], name: str) -> Iterator[str]:
    """The table of a model's settings, then the sections that lie in it."""
    plain, inner = _parted(model)
    said = _meanings()[model.__name__]
    yield f"## `[{name}]`\n" if name else "## At the top of the file\n"
    if name:
        yield f"{_first_sentence(model)}\n".replace("``", "`")
    yield "| setting | variable | default | meaning |\n|---|---|---|---|"
    for field in plain:
        variable = f"ERIOS_{'__'.join(filter(None, [*name.split('.'), field])).upper()}"
        yield f"| `{field}` | `{variable}` | {_default(model, field)} | {_cell(said[field])} |"
    yield ""
    for field, kind in inner.items():
        yield from _section(kind, f"{name}.{field}" if name else field)


def _parted(model: type[BaseModel]) -> tuple[list[str], dict[str, type[BaseModel]]]:
    """The model's own settings, and its sections."""
    inner = {
        name: field.annotation
        for name, field in model.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    return [name for name in model.model_fields if name not in inner], inner


def _meanings() -> dict[str, dict[str, str]]:
    """Model → setting → the line under it. Raises KeyError later for a setting that has none."""
    trees = [
        ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")) for module in (settings, settings_sections)
    ]
    return {
        node.name: dict(_documented(node)) for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)
    }


def _documented(model: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in zip(model.body, model.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                yield name, said


def _first_sentence(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").splitlines()[0]


def _default(model: type[BaseModel], name: str) -> str:
    if name in ZONES:
        return f"`{name}` in `home`"
    value = model.model_fields[name].get_default(call_default_factory=True)
    return "" if value in (None, "", {}, []) else f"`{_written(value)}`"


def _written(value: Any) -> str:
    if isinstance(value, Path):
        return str(value.relative_to(PROJECT))
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(settings_page(), encoding="utf-8")
