"""What commands print: one JSON object on standard output, everything for the eye on standard error.

Standard output stays clean for pipes, so progress bars, tables and sentences go to standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 160


def screen() -> Console:
    """The console on standard error: colours and bars on a terminal, plain and wider lines elsewhere.

    Square brackets are text here, never markup: types such as ``VARCHAR[]`` come through as they are.
    """
    from rich.console import Console

    width = None if sys.stderr.isatty() else PLAIN_WIDTH
    return Console(stderr=True, highlight=False, markup=False, width=width)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int) -> None:
    """A table for the eye; the last ``numbers`` columns are figures."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for position, column in enumerate(columns):
        figure = position >= len(columns) - numbers
        table.add_column(column, justify="right" if figure else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    screen().print(table)


def write_json(value: Any) -> None:
    """One JSON value on standard output, ending in a newline; accents stay as they are."""
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")
