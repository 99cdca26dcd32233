"""Staged files: ingest writes them, merge reads them, and no release names them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

VOXELS = "_voxels"
"""Staged voxel files of DICOM series, each named by its digest."""


REFERRED = "_referred"
"""Staged pseudonyms of references by identifier, to be resolved before the merge."""


SEQ_BITS = 32


REREAD = 1 << 30
"""Tasks numbered from here stage earlier batches again; their outcomes are not counted for the batch."""


@dataclass
class Staged:
    """The result of a staging task: counts by resource type, and (table, path, rows) of the staged files."""

    resources: Counter[str] = field(default_factory=Counter)
    contained: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    files: list[tuple[str, str, int]] = field(default_factory=list)

    def add(self, other: Staged) -> None:
        """Add the result of another task."""
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
