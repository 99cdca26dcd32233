"""Changes of a table: the files that join it and the files that leave it, before a commit makes them visible."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from etl.warehouse.data_files import DataFile


@dataclass
class Merged:
    """Files that join a table and files that leave it; ``objected``: resources kept out, by type.

    ``added`` have rows that no release had; ``lessened`` have only rows of files that leave.
    """

    table: str
    added: list[DataFile] = field(default_factory=list)
    lessened: list[DataFile] = field(default_factory=list)
    removed: list[DataFile] = field(default_factory=list)
    objected: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
