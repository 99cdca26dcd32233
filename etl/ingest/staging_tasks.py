"""Planning of staging: the splits of each Spark task, and the run of all tasks."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

from etl.ingest.colliding_codes import MendTask, code_files, collisions, mend
from etl.ingest.file_splits import Split, pack
from etl.ingest.landing import Batch, read_batch
from etl.ingest.resource_type_plans import type_plans
from etl.ingest.staging import StagingPlan, StagingTask, stage
from etl.ingest.transform import TransformPlan
from etl.load_config import LoadConfig
from etl.task_runner import Progress, Runner
from etl.warehouse.staged_files import REREAD, Staged

TASKS_PER_CORE = 2


def staging_tasks(
    batch: Batch | None, config: LoadConfig, parallelism: int, earlier: Sequence[str] = (), back: Collection[str] = ()
) -> list[StagingTask]:
    """Tasks of the batch, and of all ``earlier`` batches for the patients ``back`` (pseudonyms) alone."""
    tasks = _tasks_of(batch, config, parallelism, 0, None) if batch else []
    number = REREAD
    for landed in earlier if back else ():
        again = _tasks_of(read_batch(config.zones.landing, landed), config, parallelism, number, frozenset(back))
        number += len(again)
        tasks += again
    return tasks


def rebuild_tasks(config: LoadConfig, parallelism: int, batches: Sequence[str]) -> list[StagingTask]:
    """Tasks of whole batches."""
    tasks: list[StagingTask] = []
    for name in batches:
        tasks += _tasks_of(read_batch(config.zones.landing, name), config, parallelism, len(tasks), None)
    return tasks


def _tasks_of(
    batch: Batch, config: LoadConfig, parallelism: int, first: int, only: frozenset[str] | None
) -> list[StagingTask]:
    splits = batch.splits()
    groups = pack(splits, _task_count(splits, config, parallelism))
    return [StagingTask(first + n, batch.id, batch.received, group, only) for n, group in enumerate(groups)]


def stage_all(
    tasks: Sequence[StagingTask], config: LoadConfig, work: Path, runner: Runner, progress: Progress | None
) -> Staged:
    """Run the tasks: read, check and pseudonymise all splits into staged files below ``work``."""
    transform = TransformPlan(
        type_plans(config.tables),
        config.buckets,
        config.max_line_bytes,
        memory_mb=config.task_memory_mb,
        vocabulary=config.vocabulary,
    )
    for batch in {task.batch for task in tasks if task.only is None}:
        shutil.rmtree(config.zones.quarantine / batch, ignore_errors=True)
        if config.local_codes:
            shutil.rmtree(config.local_codes / batch, ignore_errors=True)
    staging = StagingPlan(
        transform=transform,
        landing=config.zones.landing,
        staging=work,
        quarantine=config.zones.quarantine,
        read_key=config.read_key,
        chunk_bytes=config.chunk_bytes,
        reidentification_folder=config.reidentification_folder,
        read_sealing_key=config.read_sealing_key,
        dicom=config.dicom,
        local_codes=config.local_codes,
    )
    whole = Staged()
    for part in runner.run("read", partial(stage, staging), tasks, progress):
        whole.add(part)
    _mend_collisions(config, whole, runner, progress)
    return whole


def _mend_collisions(config: LoadConfig, staged: Staged, runner: Runner, progress: Progress | None) -> None:
    """Put pseudonyms in the place of codes that equal an identifier of what was staged with them."""
    digests = collisions(staged)
    if digests:
        tables = {table.name: table for table in config.tables}
        tasks = [
            MendTask(tables[name], path, code_files(staged), digests, config.read_key, config.task_memory_mb)
            for name, path, rows in staged.files
            if rows and name in tables
        ]
        runner.run("hide identifiers", mend, tasks, progress)


def _task_count(splits: Sequence[Split], config: LoadConfig, parallelism: int) -> int:
    """The same number of tasks for each core, each of about a chunk, so that all cores end together.

    With less than a chunk for each core, one task for each: a task has a fixed cost, compiling the views of its types.
    """
    whole = sum(split.weight for split in splits)
    chunks = -(-whole // (config.chunk_bytes * parallelism))
    each = max(TASKS_PER_CORE, chunks) if chunks > 1 else 1
    return max(1, min(each * parallelism, whole >> 20))
