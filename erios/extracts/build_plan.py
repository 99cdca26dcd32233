"""What an extract is built from: its plan, and the parts that tasks make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from erios.extracts.generalisation.columns import Terms
from erios.extracts.specification import Specification
from etl.privacy import PseudonymKey

if TYPE_CHECKING:
    from etl.tables import WarehouseTable


DATA = "data"


KeyReader = Callable[[], PseudonymKey]


@dataclass(frozen=True)
class BuildPlan:
    """What every task of a build knows; ``folder`` is private to it. ``read_key`` gives the study's own key."""

    folder: Path
    specification: Specification
    tables: Mapping[str, WarehouseTable]
    terms: Terms
    threshold: int
    memory_mb: int
    read_key: KeyReader

    @property
    def cohort(self) -> Path:
        return self.folder / "work" / "cohort.parquet"

    @property
    def images(self) -> Path:
        """Which voxel file of the warehouse is which of the extract."""
        return self.folder / "work" / "images.parquet"

    def summary(self, table: str) -> Path:
        """The rows of a summary before they take their forms."""
        return self.folder / "work" / f"{table}.parquet"

    def shared_events(self, table: str) -> Path:
        """What the events of a table say that enough patients share."""
        return self.folder / "work" / f"shared-{table}.parquet"

    def kept_values(self, table: str, column: str) -> Path:
        """Values of a column that enough patients share."""
        return self.folder / "work" / f"kept-{table}.{column}.parquet"


@dataclass(frozen=True)
class Slice:
    """Some files of a table, to be dealt out into ``parts`` parts."""

    table: str
    number: int
    files: tuple[str, ...]
    parts: int


@dataclass(frozen=True)
class OutputFile:
    """One file of the extract to be."""

    table: str
    number: int


@dataclass(frozen=True)
class Built:
    """What was built: rows of each table, patients in the cohort."""

    rows: Mapping[str, int]
    patients: int
