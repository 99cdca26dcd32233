"""What a load is told: zones, tables, sizes, the functions that read the key and the register, the gate's verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etl.privacy import KeyReader
from etl.sealing import SealingKey
from etl.tables import WarehouseTable

if TYPE_CHECKING:
    from etl.dicom.series import DicomRules

SPLITS_PER_CHUNK = 4
"""Files are cut finer than a task reads, so that tasks can weigh alike."""


@dataclass(frozen=True)
class Zones:
    """The zones a load touches."""

    landing: Path
    quarantine: Path
    warehouse: Path


@dataclass(frozen=True)
class LoadPlan:
    """How a load works: the tables, the split of the work, the key's id and the function that reads the key."""

    zones: Zones
    tables: tuple[WarehouseTable, ...]
    read_key: KeyReader
    key_id: str
    buckets: int = 16
    chunk_bytes: int = 64 << 20
    """Bytes of text that a task reads at a time."""
    max_line_bytes: int = 64 << 20
    task_memory_mb: int = 1024
    scratch: Path = Path("/tmp")
    file_rows: int = 32768
    crumbs: int = 8
    """So many small files a bucket has before new rows take them in: rows are written again once in so many nights."""
    segments: Path | None = None
    read_sealing_key: Callable[[], SealingKey] | None = None
    """Where and under which key the re-identification table is sealed."""
    read_objectors: Callable[[], Iterable[str]] = tuple
    """The references (``Patient/ID``, ``Patient?identifier=SYSTEM|VALUE``) of those who object to research."""
    dicom: DicomRules | None = None
    """How DICOM series are read; None takes none."""
    most_unpacked: int = 64 << 30

    @property
    def carried(self) -> object:
        """What of the plan travels to tasks: never the register, nor settings."""
        return self.tables, self.read_key, self.read_sealing_key, self.dicom

    @property
    def split_bytes(self) -> int:
        """Bytes of a slice of a file."""
        return -(-self.chunk_bytes // SPLITS_PER_CHUNK)


@dataclass(frozen=True)
class Verdict:
    """What the gate says of the staged tables: a sentence a fault, a summary to keep, and where its pages are."""

    blocked: bool
    sentences: tuple[str, ...]
    summary: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    docs: str | None = None


Gate = Callable[[Mapping[str, Sequence[str]], Mapping[str, Sequence[str]], str], Verdict]
"""(table → its future files, table → those of them that are new, batch id) → verdict."""
