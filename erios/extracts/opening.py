"""The only door to the data of an extract: everything is checked anew, and the opening is on record, before a byte is
read.

Owns the checks and their order. Who may read (state, expiry, team) is said by ``erios.governance.extract``; what was
cleared (root, public key) by whoever keeps the clearances, which hands it in as a value.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erios.clock import hospital_day
from erios.errors import RefusedError
from erios.extracts.build_plan import DATA
from erios.extracts.images import FOLDER as IMAGES
from erios.extracts.manifest import Manifest, verify
from erios.governance.extract import Facts, opening
from erios.governance.roles import Person
from erios.governance.words import RuleBroken

if TYPE_CHECKING:
    import duckdb
    import polars
    from pyspark.sql import DataFrame, SparkSession

_DRIFT = timedelta(minutes=5)


@dataclass(frozen=True)
class Clearance:
    """What was cleared and released: the rules' facts, the root and public key, where the files lie."""

    facts: Facts
    root: str
    public_key: str
    folder: Path


@dataclass(frozen=True)
class OpenedExtract:
    """A verified extract; its tables open as files, DuckDB relations, Polars frames or Spark frames."""

    number: str
    folder: Path
    manifest: Manifest

    @property
    def root(self) -> str:
        """The Merkle root of its files, as cleared."""
        return self.manifest.root

    @property
    def tables(self) -> tuple[str, ...]:
        return tuple(self.manifest.specification["tables"])

    def files(self, table: str) -> list[str]:
        """The table's Parquet files; RefusedError for a table that was not cleared."""
        if table not in self.tables:
            raise RefusedError(f"extract {self.number} has no table '{table}'; tables: {', '.join(self.tables)}")
        return [
            str(self.folder / entry.path) for entry in self.manifest.files if entry.path.startswith(f"{DATA}/{table}/")
        ]

    def image(self, digest: str) -> Path:
        """The voxel file that a row of ``dicom_series`` names; RefusedError for one that was not cleared."""
        path = f"{IMAGES}/{digest}.zip"
        if path not in {entry.path for entry in self.manifest.files}:
            raise RefusedError(f"extract {self.number} has no such image; rows of dicom_series name those it has")
        return self.folder / path

    def duckdb(self, table: str, connection: duckdb.DuckDBPyConnection | None = None) -> Any:
        """The table as a DuckDB relation."""
        import duckdb

        return (connection or duckdb.connect()).read_parquet(self.files(table))

    def polars(self, table: str) -> polars.LazyFrame:
        """The table as a lazy Polars frame."""
        import polars

        return polars.scan_parquet(self.files(table))

    def spark(self, table: str, spark: SparkSession) -> DataFrame:
        """The table as a Spark frame."""
        return spark.read.parquet(*self.files(table))


def check_opening(
    number: str, clearance: Clearance, person: Person, now: datetime, last_event: datetime | None
) -> None:
    """RuleBroken or RefusedError says why this person may not read the extract now; no file is touched."""
    if last_event is not None and now < last_event - _DRIFT:
        raise RefusedError(
            f"this machine's clock says {now:%Y-%m-%d %H:%M}, which is before the last event on record"
            f" ({last_event:%Y-%m-%d %H:%M}): set the clock right, then open {number} again"
        )
    if refusal := opening(clearance.facts, person, hospital_day(now)):
        raise RuleBroken(refusal)


def open_verified(number: str, clearance: Clearance) -> OpenedExtract:
    """The extract, once its signature, root and every byte hold; InputError says what does not."""
    manifest = verify(clearance.folder, clearance.public_key, clearance.root)
    return OpenedExtract(number, clearance.folder, manifest)
