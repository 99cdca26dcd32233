"""``spark.read.format("fhir")``: FHIR in the landing zone as pseudonymised rows of one view.

Owns the PySpark data source. Options: ``view`` (a table of the views folder) and the path, which is a batch folder
of the landing zone or the zone itself. Rows are already pseudonymised when Spark first sees them: a plan holds the
table's name and the landing path, the key is read inside each task. Every row brings ``_file``, ``_line`` and, when
the resource is unfit, ``_problem`` with all other columns NULL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition

from etl.errors import InputError
from etl.ingest.landing import batch_ids, read_batch
from etl.ingest.reading import chunks
from etl.ingest.splits import Split
from etl.ingest.transform import Kernel, KernelPlan
from etl.ingest.type_plans import type_plans
from etl.privacy import KeyReader
from etl.tables import WarehouseTable
from etl.warehouse.staged import SEQ_BITS

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

PLACE = {"_file": "VARCHAR", "_line": "BIGINT", "_problem": "VARCHAR"}
_SPARK_TYPES = {
    "VARCHAR": "string",
    "INTEGER": "int",
    "TIMESTAMP WITH TIME ZONE": "timestamp",
    "TIMESTAMP": "timestamp_ntz",
}


class SplitPartition(InputPartition):
    """One split of a landed file as a Spark partition."""

    def __init__(self, split: Split) -> None:
        super().__init__(split.number)
        self.split = split


class FhirReader(DataSourceReader):
    """Reads the splits of landed batches through the kernel, as Arrow batches."""

    def __init__(self, table: WarehouseTable, path: Path, plan: KernelPlan, read_key: KeyReader) -> None:
        self._table, self._path, self._plan, self._read_key = table, path, plan, read_key

    def partitions(self) -> Sequence[SplitPartition]:
        landing, batches = _batches(self._path)
        splits = [split for batch in batches for split in read_batch(landing, batch).splits()]
        return [SplitPartition(split) for split in splits]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        assert isinstance(partition, SplitPartition)
        split, landing = partition.split, _batches(self._path)[0]
        seq = split.number << SEQ_BITS
        limit = self._plan.max_line_bytes
        with Kernel(self._plan, self._read_key()) as kernel:
            for chunk in chunks(split, landing, chunk_bytes=32 << 20, max_line_bytes=limit):
                seq += kernel.load(chunk, seq)
                yield from kernel.view_batches(self._table)


def register(
    spark: SparkSession,
    tables: Sequence[WarehouseTable],
    read_key: KeyReader,
    *,
    buckets: int,
    max_line_bytes: int,
) -> None:
    """Make ``format("fhir")`` known to a session; ``read_key`` is called inside each task."""
    by_name = {table.name: table for table in tables}

    class FhirSource(DataSource):
        @classmethod
        def name(cls) -> str:
            return "fhir"

        def _table(self) -> WarehouseTable:
            wanted = self.options.get("view", "")
            if wanted not in by_name:
                raise InputError(f"no view '{wanted}'; views: {', '.join(sorted(by_name))}")
            return by_name[wanted]

        def schema(self) -> str:
            return spark_schema(self._table())

        def reader(self, schema: Any) -> DataSourceReader:
            table = self._table()
            plan = KernelPlan(type_plans([table]), buckets, max_line_bytes)
            return FhirReader(table, Path(self.options["path"]), plan, read_key)

    spark.dataSource.register(FhirSource)


def spark_schema(table: WarehouseTable) -> str:
    """The DDL of a table's rows with their place."""
    columns = {**table.column_types(), **PLACE}
    return ", ".join(f"`{name}` {_spark_type(kind)}" for name, kind in columns.items())


def _spark_type(kind: str) -> str:
    if kind.endswith("[]"):
        return f"array<{_spark_type(kind[:-2])}>"
    return _SPARK_TYPES.get(kind, kind.lower())


def _batches(path: Path) -> tuple[Path, list[str]]:
    """The landing zone and the batches that a path names: one of its batch folders, or all."""
    if (path / "batch.json").is_file():
        return path.parent, [path.name]
    if not (ids := batch_ids(path)):
        raise InputError(f"{path} is neither a landed batch nor a landing zone; load an export first")
    return path, ids
