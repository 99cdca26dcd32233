"""Staging: a Spark task turns splits into staged Parquet files and a quarantine index.

Owns what a task writes and what it returns to the driver: counts and file names only. Staged files lie in the
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

from etl.duckdb_engine import scalar
from etl.errors import InputError
from etl.files import written_atomically
from etl.ingest.colliding_codes import CODES_SQL, identifiers_sql
from etl.ingest.file_splits import Split
from etl.ingest.local_codes import write_local_codes
from etl.ingest.reading import ReadSeries, Refusal, packed
from etl.ingest.transform import ChunkTransform, TransformPlan
from etl.privacy import KeyReader, PseudonymKey
from etl.reidentification_table import Keep, segment_writer
from etl.sealing import SealingKey
from etl.sql import literal
from etl.warehouse.columns import IDENTIFIER, LEDGER, LINK, PATIENT
from etl.warehouse.data_files import subfolder
from etl.warehouse.parquet_writer import rows_of
from etl.warehouse.staged_files import CODES, IDENTIFIED_BY, REFERRED, SEQ_BITS, VOXELS, Staged, write_staged

if TYPE_CHECKING:
    from etl.dicom.series import DicomRules


@dataclass(frozen=True)
class StagingPlan:
    """Folders and parameters of all staging tasks; each task reads the key itself, so that Spark never holds it."""

    transform: TransformPlan
    landing: Path
    staging: Path
    quarantine: Path
    read_key: KeyReader
    chunk_bytes: int
    reidentification_folder: Path | None = None
    """Where the re-identification table is sealed; None seals nothing."""
    read_sealing_key: Callable[[], SealingKey] | None = None
    dicom: DicomRules | None = None
    """How DICOM series are read; None takes none."""
    local_codes: Path | None = None
    """Where codes of no list are noted; None notes none."""


@dataclass(frozen=True)
class StagingTask:
    """Splits of one batch. ``only``: stage an earlier batch again for these patients, without counts or quarantine."""

    number: int
    batch: str
    received: str
    splits: tuple[Split, ...]
    only: frozenset[str] | None = None


def stage(plan: StagingPlan, task: StagingTask) -> Staged:
    """Read, check, pseudonymise and stage the splits of one task. Runs inside Spark."""
    staged = Staged()
    seq = task.number << SEQ_BITS
    with ChunkTransform(plan.transform, plan.read_key()) as transform, _segment(plan, task) as keep:
        limit = plan.transform.max_line_bytes
        read_series = _series_reader(plan, task, transform.key)
        pieces = packed(
            task.splits, plan.landing, chunk_bytes=plan.chunk_bytes, max_line_bytes=limit, read_series=read_series
        )
        for piece, chunk in enumerate(pieces):
            seq += transform.load(chunk, seq, task.received)
            staged.add(_stage_chunk(plan, task, transform, f"{task.number:010d}-{piece:04d}", keep))
        if plan.local_codes:
            write_local_codes(transform.sql, plan.local_codes / task.batch, f"{task.number:010d}")
    return staged


def _series_reader(plan: StagingPlan, task: StagingTask, key: PseudonymKey) -> ReadSeries | None:
    """The reader of the task's DICOM series, if it has any; it stages their voxel files."""
    if not any(split.series for split in task.splits):
        return None
    if plan.dicom is None:
        raise InputError("this batch holds DICOM series, and the load has no DICOM profile")
    from etl.dicom.series import RESOURCE, SeriesReader  # pydicom: only where a task has DICOM

    reader = SeriesReader(plan.dicom, key, plan.staging / VOXELS)

    def read_series(path: Path) -> tuple[bytes, Refusal | None]:
        result = reader.to_fhir(path)
        return result.text, Refusal("", 0, result.reason, RESOURCE, result.uid) if result.reason else None

    return read_series


def _segment(plan: StagingPlan, task: StagingTask) -> AbstractContextManager[Keep]:
    """Collects the task's patients for the re-identification table."""
    if plan.reidentification_folder is None or plan.read_sealing_key is None or task.only is not None:
        return nullcontext(lambda _connection: None)
    return segment_writer(plan.reidentification_folder, task.batch, task.number, plan.read_sealing_key())


def _stage_chunk(plan: StagingPlan, task: StagingTask, transform: ChunkTransform, name: str, keep: Keep) -> Staged:
    staged = Staged()
    common: dict[str, list[pa.Table]] = {LEDGER: [], IDENTIFIER: []}
    for resource in transform.types():
        write = partial(_write, plan.staging, f"{name}-{resource}", staged)
        _stage_tables(task, transform, resource, write)
        common[LEDGER].append(rows_of(transform.sql, _of(task, "patient_key", transform.resources_sql(resource))))
        if identifiers := transform.identifiers_sql(resource):
            common[IDENTIFIER].append(rows_of(transform.sql, _of(task, "resource_key", identifiers)))
        if digests := identifiers_sql(resource):
            write(IDENTIFIED_BY, transform.sql.sql(digests).to_arrow_table())
        if resource == "Patient":
            write(LINK, rows_of(transform.sql, _of(task, "resource_key", transform.links_sql())))
            keep(transform.sql)
    for table in (table for table, parts in common.items() if parts):
        _write(plan.staging, name, staged, table, pa.concat_tables(common[table]))
    if task.only is None:
        _write_quarantine(plan, task, transform, name)
        _count(transform, staged)
    return staged


def _stage_tables(
    task: StagingTask, transform: ChunkTransform, resource: str, write: Callable[[str, pa.Table], None]
) -> None:
    """The rows that the views make of the chunk's resources of one type, and what they refer to by identifier."""
    for table in transform.evaluate(resource):
        write(table.name, rows_of(transform.sql, _of(task, PATIENT, transform.rows_sql(table))))
        write(f"{CODES}/{table.name}", transform.sql.sql(CODES_SQL).to_arrow_table())
        if referred := transform.logical_sql():
            write(f"{REFERRED}/{table.name}", rows_of(transform.sql, referred))


def _of(task: StagingTask, column: str, sql: str) -> str:
    """SQL of the rows of the task's patients."""
    if task.only is None:
        return sql
    keys = ", ".join(f"'{key}'" for key in sorted(task.only))
    return f"SELECT * FROM ({sql}) WHERE {column} IN ({keys})"


def _write(staging: Path, name: str, staged: Staged, table: str, rows: pa.Table) -> None:
    """Stage the rows of a table."""
    path = subfolder(staging, table) / f"{name}.parquet"
    if rows.num_rows:
        write_staged(path, rows)
    staged.files.append((table, str(path), rows.num_rows))


def _write_quarantine(plan: StagingPlan, task: StagingTask, transform: ChunkTransform, name: str) -> None:
    sql = _QUARANTINE.format(batch=task.batch)
    if not scalar(transform.sql, f"SELECT count(*) FROM ({sql})"):
        return
    folder = plan.quarantine / task.batch
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with written_atomically(folder / f"{name}.parquet") as draft:
        transform.sql.execute(f"COPY ({sql}) TO {literal(draft)} (FORMAT parquet)")


def _count(transform: ChunkTransform, staged: Staged) -> None:
    for label, total, contained, refused in transform.sql.execute(_COUNTS).fetchall():
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
