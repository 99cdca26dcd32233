"""The first stage: one Spark task turns one split into staged Parquet files and a quarantine index.

Owns what a task writes and what it tells the driver: counts and file names only. Staged files lie in the
warehouse zone and hold pseudonymised rows, ordered by bucket; the quarantine index lies in the identity zone and
points back to the landed line without copying its text.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from etl.engine import scalar
from etl.errors import InputError
from etl.ingest.landing import DRAFT
from etl.ingest.reading import Refusal, Tell, packed
from etl.ingest.splits import Split
from etl.ingest.transform import Kernel, KernelPlan
from etl.privacy import KeyReader, PseudonymKey
from etl.reidentification_table import Keep, segment_writer
from etl.sealing import SealingKey
from etl.sql import literal
from etl.warehouse.columns import IDENTIFIER, LEDGER, LINK, PATIENT
from etl.warehouse.data_files import subfolder
from etl.warehouse.parquet_writer import in_order, rows_of
from etl.warehouse.staged import REFERRED, SEQ_BITS, VOXELS, Staged

if TYPE_CHECKING:
    from etl.dicom.series import DicomRules

ROW_GROUP = 16_384
"""Rows of a staged file that a fold skips together."""


@dataclass(frozen=True)
class StagingPlan:
    """Where a task reads and writes; the key is read by the task itself, so that no plan carries it."""

    kernel: KernelPlan
    landing: Path
    staging: Path
    quarantine: Path
    read_key: KeyReader
    chunk_bytes: int
    segments: Path | None = None
    """Where the re-identification table is sealed; None seals nothing."""
    read_sealing_key: Callable[[], SealingKey] | None = None
    dicom: DicomRules | None = None
    """How DICOM series are read; None takes none."""


@dataclass(frozen=True)
class StagingTask:
    """Splits of one batch. ``only``: read an earlier batch again for these patients, without account or quarantine."""

    number: int
    batch: str
    received: str
    splits: tuple[Split, ...]
    only: frozenset[str] | None = None


def stage(plan: StagingPlan, task: StagingTask) -> Staged:
    """Read, check, pseudonymise and stage the splits of one task. Runs inside Spark."""
    staged = Staged()
    seq = task.number << SEQ_BITS
    with Kernel(plan.kernel, plan.read_key()) as kernel, _segment(plan, task) as keep:
        limit = plan.kernel.max_line_bytes
        tell = _teller(plan, task, kernel.key)
        pieces = packed(task.splits, plan.landing, chunk_bytes=plan.chunk_bytes, max_line_bytes=limit, tell=tell)
        for piece, chunk in enumerate(pieces):
            seq += kernel.load(chunk, seq, task.received)
            staged.add(_stage_chunk(plan, task, kernel, f"{task.number:010d}-{piece:04d}", keep))
    return staged


def _teller(plan: StagingPlan, task: StagingTask, key: PseudonymKey) -> Tell | None:
    """What reads the task's DICOM series, if it has any; their voxels are staged beside the rows."""
    if not any(split.series for split in task.splits):
        return None
    if plan.dicom is None:
        raise InputError("this batch holds DICOM series, and the load has no DICOM profile")
    from etl.dicom.series import RESOURCE, SeriesReader

    reader = SeriesReader(plan.dicom, key, plan.staging / VOXELS)

    def tell(path: Path) -> tuple[bytes, Refusal | None]:
        told = reader.tell(path)
        return told.text, Refusal("", 0, told.reason, RESOURCE, told.uid) if told.reason else None

    return tell


def _segment(plan: StagingPlan, task: StagingTask) -> AbstractContextManager[Keep]:
    """Takes the patients of the task for the re-identification table."""
    if plan.segments is None or plan.read_sealing_key is None or task.only is not None:
        return nullcontext(lambda _connection: None)
    return segment_writer(plan.segments, task.batch, task.number, plan.read_sealing_key())


def _stage_chunk(plan: StagingPlan, task: StagingTask, kernel: Kernel, name: str, keep: Keep) -> Staged:
    staged = Staged()
    common: dict[str, list[pa.Table]] = {LEDGER: [], IDENTIFIER: []}
    for resource in kernel.types():
        write = partial(_write, plan.staging, f"{name}-{resource}", staged)
        _stage_tables(task, kernel, resource, write)
        common[LEDGER].append(rows_of(kernel.sql, _of(task, "patient_key", kernel.resources_sql(resource))))
        if identifiers := kernel.identifiers_sql(resource):
            common[IDENTIFIER].append(rows_of(kernel.sql, _of(task, "resource_key", identifiers)))
        if resource == "Patient":
            write(LINK, rows_of(kernel.sql, _of(task, "resource_key", kernel.links_sql())))
            keep(kernel.sql)
    for table in (table for table, parts in common.items() if parts):
        _write(plan.staging, name, staged, table, pa.concat_tables(common[table]))
    if task.only is None:
        _write_quarantine(plan, task, kernel, name)
        _count(kernel, staged)
    return staged


def _stage_tables(task: StagingTask, kernel: Kernel, resource: str, write: Callable[[str, pa.Table], None]) -> None:
    """The rows that the views make of the chunk's resources of one type, and what they refer to by identifier."""
    for table in kernel.evaluate(resource):
        write(table.name, rows_of(kernel.sql, _of(task, PATIENT, kernel.rows_sql(table))))
        if referred := kernel.logical_sql():
            write(f"{REFERRED}/{table.name}", rows_of(kernel.sql, referred))


def _of(task: StagingTask, column: str, sql: str) -> str:
    """The rows of the patients that the task is about."""
    if task.only is None:
        return sql
    keys = ", ".join(f"'{key}'" for key in sorted(task.only))
    return f"SELECT * FROM ({sql}) WHERE {column} IN ({keys})"


def _write(staging: Path, name: str, staged: Staged, table: str, rows: pa.Table) -> None:
    """Stage the rows, those of one bucket together, so that a fold skips most of what is not its own."""
    path = subfolder(staging, table) / f"{name}.parquet"
    if rows.num_rows:
        ordered = in_order(rows, "bucket") if "bucket" in rows.column_names else rows
        pq.write_table(
            ordered,
            path,
            compression="snappy",
            row_group_size=ROW_GROUP,
            store_schema=False,
            write_statistics=["bucket"],
        )
    staged.files.append((table, str(path), rows.num_rows))


def _write_quarantine(plan: StagingPlan, task: StagingTask, kernel: Kernel, name: str) -> None:
    sql = _QUARANTINE.format(batch=task.batch)
    if not scalar(kernel.sql, f"SELECT count(*) FROM ({sql})"):
        return
    folder = plan.quarantine / task.batch
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = folder / f".{name}{DRAFT}"
    kernel.sql.execute(f"COPY ({sql}) TO {literal(draft)} (FORMAT parquet)")
    draft.rename(folder / f"{name}.parquet")


def _count(kernel: Kernel, staged: Staged) -> None:
    for label, total, contained, refused in kernel.sql.execute(_COUNTS).fetchall():
        staged.resources[label] += total
        staged.contained[label] += contained
        staged.quarantined[label] += refused


UNREADABLE = "(unreadable)"
"""Stands for the type of a text whose resourceType could not be read or is none of FHIR's."""
_QUARANTINE = """
SELECT '{batch}' AS batch, file, line, part, type, CASE WHEN strlen(id) <= 200 THEN id END AS id, reason
FROM doc WHERE reason IS NOT NULL ORDER BY seq
"""
_COUNTS = f"""
SELECT coalesce(type, '{UNREADABLE}'), count(*), count(*) FILTER (contains(part, 'contained[')),
       count(*) FILTER (reason IS NOT NULL)
FROM doc GROUP BY 1
"""
