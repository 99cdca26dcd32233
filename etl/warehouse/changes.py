"""The changes of a table: files to add and files to remove, before a commit makes them visible."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from etl.warehouse.data_files import DataFile


@dataclass
class TableChanges:
    """Data files that a commit adds to a table and removes from it.

    ``added`` have rows that no release had; ``rewritten`` have only rows of ``removed`` files. ``objected``: resource
    type → versions without rows because the patient objects.
    """

    table: str
    added: list[DataFile] = field(default_factory=list)
    rewritten: list[DataFile] = field(default_factory=list)
    removed: list[DataFile] = field(default_factory=list)
    objected: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
