"""A table's cells as they stand in the file: rows of texts, whatever separates them."""

from __future__ import annotations

import csv
import io
from typing import TypeAlias

Grid: TypeAlias = tuple[tuple[str, ...], ...]


def read_grid(content: bytes) -> Grid | None:
    """The cells of a table of text, row by row; None where it is none."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    lines = [line for line in text.splitlines() if line.strip()]
    for separator in "\t;,|":
        counts = {line.count(separator) for line in lines}
        if lines and len(counts) == 1 and counts != {0}:
            return tuple(tuple(row) for row in csv.reader(io.StringIO(text), delimiter=separator))
    return None
