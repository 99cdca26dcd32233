"""What commands have in common: options, and what they print.

An answer goes to standard output, as tables and sentences or, with ``--json``, as one JSON value.

Progress, warnings and faults go to standard error, so that an answer can be piped and a JSON value stands alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 160
AsJson = Annotated[bool, typer.Option("--json", help="Answer on standard output as JSON.")]


def command_group(help: str) -> typer.Typer:
    """A group of commands, with its line of help; it stays one when it has a single command."""
    group = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True, help=help)
    group.callback()(lambda: None)
    return group


def screen() -> Console:
    """The console on standard error, for what happens meanwhile: colours and bars on a terminal, plain lines elsewhere.

    Square brackets are text here, never markup: types such as ``VARCHAR[]`` come through as they are.
    """
    return _console(on_error=True)


def answer(*, beside_json: bool = False) -> Console:
    """The console on standard output, for what was asked; ``beside_json``: that has the place, so standard error."""
    return _console(on_error=beside_json)


def _console(*, on_error: bool, soft_wrap: bool = True) -> Console:
    """Sentences are one line each (``soft_wrap``); tables and bars keep to the width."""
    from rich.console import Console

    width = None if (sys.stderr if on_error else sys.stdout).isatty() else PLAIN_WIDTH
    return Console(stderr=on_error, highlight=False, markup=False, soft_wrap=soft_wrap, width=width)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int) -> None:
    """A table on standard output; the last ``numbers`` columns are figures."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for position, column in enumerate(columns):
        figure = position >= len(columns) - numbers
        table.add_column(column, justify="right" if figure else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    answer().print(table, soft_wrap=False)


def print_rows(title: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Rows as JSON, or as a table of some of their values; a heading is a value's name in words."""
    if as_json:
        write_json(rows)
    else:
        lines = ([_words(row[name.replace(" ", "_")]) for name in columns] for row in rows)
        print_table(title, columns, lines, numbers=0)


def print_facts(facts: Mapping[str, Any]) -> None:
    """A line a fact that there is something to say of: its name in words, lists with commas."""
    width = max(map(len, facts), default=0) + 2
    for name, value in facts.items():
        if value not in (None, "", [], (), {}):
            answer().print(f"{name.replace('_', ' '):<{width}}{_words(value)}")


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {_words(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    if value is None or isinstance(value, bool):
        return "" if value is None else "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def write_json(value: Any) -> None:
    """One JSON value on standard output, ending in a newline; accents stay as they are."""
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


class Progress:
    """A bar a step on a terminal, one plain line a finished step elsewhere."""

    def __enter__(self) -> Progress:
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}
        if sys.stderr.isatty():
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bars

            columns = (TextColumn("{task.description:<10}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
            self._bars = Bars(*columns, TimeElapsedColumn(), console=_console(on_error=True, soft_wrap=False))
            self._bars.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def update(self, step: str, done: int, total: int) -> None:
        """Show how far a step is."""
        if self._bars is None:
            if done >= total and step not in self._tasks:
                self._tasks[step] = True
                screen().print(f"{step}: done")
            return
        if step not in self._tasks:
            self._tasks[step] = self._bars.add_task(step, total=max(total, 1))
        self._bars.update(self._tasks[step], completed=done if total else 1)
