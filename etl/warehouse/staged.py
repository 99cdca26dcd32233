"""Staged files: what a chunk of an export became, before any of it is merged.

Owned by nobody but the load: ingest writes them, merge reads them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

VOXELS = "_voxels"
"""Staged voxel files of DICOM series, each named by its digest."""


REFERRED = "_referred"
"""Staged pseudonyms of references by identifier, to be resolved before the merge."""


SEQ_BITS = 32


AGAIN = 1 << 30
"""Tasks numbered from here read earlier batches again: their outcomes are no part of the batch's account."""


@dataclass
class Staged:
    """What one split became: texts in and quarantined by resource type, and staged files with their rows."""

    resources: Counter[str] = field(default_factory=Counter)
    contained: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    files: list[tuple[str, str, int]] = field(default_factory=list)

    def add(self, other: Staged) -> None:
        """Take in what another split became."""
        self.resources += other.resources
        self.contained += other.contained
        self.quarantined += other.quarantined
        self.files += other.files

    def of(self, table: str) -> list[str]:
        """The staged files of a table."""
        return [path for name, path, rows in self.files if name == table and rows]

    def rows(self, table: str) -> int:
        """Rows staged for a table."""
        return sum(rows for name, _, rows in self.files if name == table)


STAGING = ".staging"
