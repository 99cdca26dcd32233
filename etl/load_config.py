"""Parameters of a load: zones, tables, sizes, the functions that read the key and the register; and the gate's type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etl.privacy import KeyReader
from etl.sealing import SealingKey
from etl.tables import WarehouseTable
from etl.terminology.vocabulary import Vocabulary

if TYPE_CHECKING:
    from etl.dicom.series import DicomRules

SPLITS_PER_CHUNK = 4
"""Files are cut into smaller splits than a task reads, so that tasks can be of equal size."""


@dataclass(frozen=True)
class Zones:
    """The zones a load touches."""

    landing: Path
    quarantine: Path
    warehouse: Path


@dataclass(frozen=True)
class LoadConfig:
    """Parameters of a load; ``read_key`` is called by tasks, ``key_id`` names the key without reading it."""

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
    compaction_threshold: int = 8
    """Number of small files in a bucket from which a merge combines them with its new rows."""
    reidentification_folder: Path | None = None
    read_sealing_key: Callable[[], SealingKey] | None = None
    """The re-identification table: its folder, and the key that seals it. None writes none."""
    read_objectors: Callable[[], Iterable[str]] = tuple
    """The references (``Patient/ID``, ``Patient?identifier=SYSTEM|VALUE``) of those who object to research."""
    dicom: DicomRules | None = None
    """How DICOM series are read; without it, a load refuses them."""
    most_unpacked: int = 64 << 30
    local_codes: Path | None = None
    """Where the clear forms of codes of no list are kept, in the identity zone; None keeps none."""
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    """The code lists and forms that text must come from; an empty one makes every code a pseudonym."""

    @property
    def carried(self) -> object:
        """What tasks are sent: never the register, nor settings."""
        return self.tables, self.read_key, self.read_sealing_key, self.dicom, self.vocabulary

    @property
    def split_bytes(self) -> int:
        """Bytes of a slice of a file."""
        return -(-self.chunk_bytes // SPLITS_PER_CHUNK)


@dataclass(frozen=True)
class Verdict:
    """The gate's decision: one sentence per fault, a summary for the release, and the path of its pages."""

    blocked: bool
    sentences: tuple[str, ...]
    summary: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    docs: str | None = None


Gate = Callable[[Mapping[str, Sequence[str]], Mapping[str, Sequence[str]], str], Verdict]
"""(table → its future files, table → those of them that are new, batch id) → verdict."""
