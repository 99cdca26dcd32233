"""What commands print: their answer on standard output, as tables and sentences or, with ``--json``, as one JSON value.

Progress, warnings and faults go to standard error, so that an answer can be piped and a JSON value stands alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 160


def screen() -> Console:
    """The console on standard error, for what happens meanwhile: colours and bars on a terminal, plain lines elsewhere.

    Square brackets are text here, never markup: types such as ``VARCHAR[]`` come through as they are.
    """
    return _console(on_error=True)


def answer(*, beside_json: bool = False) -> Console:
    """The console on standard output, for what was asked; ``beside_json``: that has the place, so standard error."""
    return _console(on_error=beside_json)


def _console(*, on_error: bool) -> Console:
    from rich.console import Console

    is_terminal = (sys.stderr if on_error else sys.stdout).isatty()
    return Console(stderr=on_error, highlight=False, markup=False, width=None if is_terminal else PLAIN_WIDTH)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int) -> None:
    """A table on standard output; the last ``numbers`` columns are figures."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for position, column in enumerate(columns):
        figure = position >= len(columns) - numbers
        table.add_column(column, justify="right" if figure else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    answer().print(table)


def print_facts(facts: Mapping[str, Any]) -> None:
    """A line a fact that there is something to say of: its name in words, lists with commas."""
    width = max(map(len, facts), default=0) + 2
    for name, value in facts.items():
        if value not in (None, "", [], (), {}):
            answer().print(f"{name.replace('_', ' '):<{width}}{_words(value)}", soft_wrap=True)


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {_words(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
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

            columns = (
                TextColumn("{task.description:<10}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %"),
            )
            self._bars = Bars(*columns, TimeElapsedColumn(), console=screen())
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
