"""Staged files: ingest writes them, merge reads them, and no release names them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from etl.warehouse.parquet_writer import in_order

VOXELS = "_voxels"
"""Staged voxel files of DICOM series, each named by its digest."""


REFERRED = "_referred"
"""Staged pseudonyms of references by identifier, to be resolved before the merge."""


CODES, IDENTIFIED_BY = "_kept_codes", "_identified_by"
"""Staged codes with their keyed digests, and keyed digests of identifiers: no code may equal one of them."""


ROW_GROUP = 16_384
"""Rows of a row group, which a merge reads or skips as a whole."""


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


def write_staged(path: Path | str, rows: pa.Table) -> None:
    """Write staged rows, those of one bucket together, so that a merge task skips most rows of other buckets."""
    ordered = in_order(rows, "bucket") if "bucket" in rows.column_names else rows
    pq.write_table(
        ordered,
        path,
        compression="snappy",
        row_group_size=ROW_GROUP,
        store_schema=False,
        write_statistics=["bucket"],
    )


STAGING = ".staging"
