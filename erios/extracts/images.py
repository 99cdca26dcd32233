"""The images of an extract: voxel files of the cohort's series, anew under the study's pseudonyms.

Owns the choice of the series and the gate for faces: a series of which it is not known that it shows none is never
copied, and its row names no file. A file is checked against its digest before it is read, and its UIDs and patient are
replaced as the pseudonyms of the rows are, so that rows and files of the extract join, and neither joins the warehouse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from erios.errors import InputError
from erios.extracts.generalisation.columns import IMAGES
from etl.duckdb_engine import connect
from etl.sql import literal
from etl.warehouse.data_files import rows_sql
from etl.warehouse.image_files import check_voxel_file

if TYPE_CHECKING:
    from erios.extracts.build_plan import BuildPlan
    from etl.warehouse.release import Release

FOLDER = "images"
BYTES_OF_A_TASK = 256 << 20
_KINDS = {
    "images": "true",
    "images:volume": "kind = 'volume' OR (kind = 'labels' AND labels_of_uid_key IN"
    " (SELECT series_uid_key FROM series WHERE kind = 'volume'))",
    "images:radiograph": "kind = 'radiograph'",
}
"""Form of the column → SQL of the series that it takes."""


@dataclass(frozen=True)
class Copying:
    """Series that one task copies: digests in the warehouse, each with its patient's pseudonym of the study."""

    warehouse: Path
    series: tuple[tuple[str, str], ...]


def chosen_series(plan: BuildPlan, release: Release) -> list[Copying]:
    """The cohort's series that the specification takes and that show no face, dealt out into tasks."""
    table, column = IMAGES
    choice = plan.specification.columns().get(f"{table}.{column}")
    if choice is None:
        return []
    rows = rows_sql(release.files(table), plan.tables[table].column_types())
    query = f"""
        WITH series AS ({rows})
        SELECT voxels_sha256, m.study_key, voxels_bytes::BIGINT
        FROM series JOIN read_parquet({literal(plan.cohort)}) m ON series.patient_key = m.patient_key
        WHERE face_present IS FALSE AND voxels_sha256 IS NOT NULL AND ({_KINDS[choice.form]}) ORDER BY 1"""
    with connect(plan.memory_mb) as connection:
        series = connection.execute(query).fetchall()
    (plan.folder / FOLDER).mkdir(mode=0o700, exist_ok=True)
    note_images(plan, [])
    return [Copying(release.warehouse, group) for group in _groups(series)]


def _groups(series: Sequence[tuple[str, str, int]]) -> list[tuple[tuple[str, str], ...]]:
    groups: list[list[tuple[str, str]]] = []
    size = BYTES_OF_A_TASK
    for digest, patient, weight in series:
        if size + weight > BYTES_OF_A_TASK:
            groups.append([])
            size = 0
        groups[-1].append((digest, patient))
        size += weight
    return [tuple(group) for group in groups]


def copy_images(plan: BuildPlan, work: Copying) -> list[tuple[str, str]]:
    """Write the series of one task below ``plan.folder/images``; answers (digest in the warehouse, in the extract)."""
    from etl.dicom.errors import SeriesRefusedError
    from etl.dicom.rekeying import rekey

    key, pairs = plan.read_key(), []
    for digest, patient in work.series:
        path = check_voxel_file(work.warehouse, digest)
        try:
            pairs.append((digest, rekey(path, plan.folder / FOLDER, key, patient)))
        except SeriesRefusedError as error:
            raise InputError(f"a series cannot go into the extract: {error}; run `erios etl rebuild`") from None
    return pairs


def note_images(plan: BuildPlan, copied: Sequence[Sequence[tuple[str, str]]]) -> None:
    """Keep which file is which, until the rows are written."""
    pairs = [pair for part in copied for pair in part]
    columns = {"warehouse": [pair[0] for pair in pairs], "extract": [pair[1] for pair in pairs]}
    schema = pa.schema([("warehouse", pa.string()), ("extract", pa.string())])
    pq.write_table(pa.table(columns, schema=schema), plan.images)


def image_sql(plan: BuildPlan, value: str) -> str:
    """SQL of the extract's file for a voxel file of the warehouse; NULL where it was not copied."""
    return f"(SELECT any_value(i.extract) FROM read_parquet({literal(plan.images)}) i WHERE i.warehouse = {value})"
