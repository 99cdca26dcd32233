"""The command reference: docs/reference/commands.md, written from the commands themselves.

``python -m erios.cli.reference FILE`` writes it; a test holds the page to the code.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from erios.cli import GROUPS, load_group
from erios.errors import FAMILIES, INTERRUPTED

_OPENING = """# Commands

This page is written by `make docs` from the commands themselves.

Every command takes `--help`. Its answer goes to standard output, as tables and sentences or, with `--json`, as one
JSON value; progress, warnings and faults go to standard error.
"""


def commands_page() -> str:
    """The whole page, in Markdown: every command with its arguments and options, and the exit codes."""
    sections = [_OPENING]
    for name in GROUPS:
        sections.extend(_sections(f"erios {name}", load_group(name)))
    return "\n".join([*sections, _exit_codes()])


def _sections(path: str, command: Any) -> Iterator[str]:
    """One section of a command; of a group, one of each of its commands, after its own line."""
    children = getattr(command, "commands", None)
    if children is None:
        yield _section(path, command)
        return
    yield f"## {path}\n\n{_text(command.help)}\n"
    for name, child in children.items():
        yield from _sections(f"{path} {name}", child)


def _section(path: str, command: Any) -> str:
    level = "##" if path.count(" ") == 1 else "###"
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    usage = " ".join([path, *(_usage(parameter) for parameter in shown)])
    lines = [f"{level} {path}", "", f"    {usage}", "", _text(command.help), ""]
    rows = [_row(parameter) for parameter in shown]
    table = ["| argument or option | meaning | default |", "|---|---|---|", *rows, ""] if rows else []
    return "\n".join(lines + table)


def _usage(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = _metavar(parameter) + ("…" if parameter.nargs == -1 else "")
        return name if parameter.required else f"[{name}]"
    form = _option_form(parameter)
    return form if parameter.required else f"[{form}]"


def _row(parameter: Any) -> str:
    is_argument = parameter.param_type_name == "argument"
    form = _metavar(parameter) if is_argument else _option_form(parameter)
    meaning = (parameter.help or "").replace("|", "\\|").replace("\n", " ")
    return f"| `{form}` | {meaning} | {_default(parameter)} |"


def _option_form(parameter: Any) -> str:
    name = "/".join(max(names, key=len) for names in (parameter.opts, parameter.secondary_opts) if names)
    return name if parameter.is_flag else f"{name} {_metavar(parameter)}"


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _default(parameter: Any) -> str:
    value = parameter.default
    if parameter.required or value is None or value is False or callable(value) or value in ((), []):
        return ""
    return f"`{value}`"


def _text(help_text: str | None) -> str:
    """The help as Markdown: its examples as code, the rest as it is."""
    lines = (help_text or "").replace("\b\n", "").replace("\f", "").splitlines()
    return "\n".join(
        f"Example: `{line.removeprefix('Example: ')}`" if line.startswith("Example: ") else line for line in lines
    )


def _exit_codes() -> str:
    """The table of exit codes."""
    rows = ["| 0 | done |"]
    rows.extend(f"| {family.exit_code} | {_first_line(family)} |" for family in FAMILIES)
    rows.append(f"| {INTERRUPTED} | Interrupted with Ctrl-C; the last release is untouched. |")
    return "\n".join(["## Exit codes", "", "| code | meaning |", "|---|---|", *rows, ""])


def _first_line(family: type) -> str:
    return (family.__doc__ or "").splitlines()[0]


def main() -> None:
    """Write the page to the file named on the command line."""
    page = Path(sys.argv[1])
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(commands_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
