"""Staging as Spark tasks: which splits each task reads, and the run of them all."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

from etl.ingest.landing import Batch, read_batch
from etl.ingest.splits import Split, pack
from etl.ingest.staging import StagingPlan, StagingTask, stage
from etl.ingest.transform import KernelPlan
from etl.ingest.type_plans import type_plans
from etl.load_config import LoadPlan
from etl.tasks import Progress, Runner
from etl.warehouse.staged import AGAIN, Staged

TASKS_PER_CORE = 2


def staging_tasks(
    batch: Batch | None, plan: LoadPlan, parallelism: int, earlier: Sequence[str] = (), back: Collection[str] = ()
) -> list[StagingTask]:
    """The batch, and ``earlier`` ones again for the patients that no objection keeps out any more."""
    tasks = _tasks_of(batch, plan, parallelism, 0, None) if batch else []
    number = AGAIN
    for landed in earlier if back else ():
        again = _tasks_of(read_batch(plan.zones.landing, landed), plan, parallelism, number, frozenset(back))
        number += len(again)
        tasks += again
    return tasks


def rebuild_tasks(plan: LoadPlan, parallelism: int, batches: Sequence[str]) -> list[StagingTask]:
    """Every batch of the landing zone, whole."""
    tasks: list[StagingTask] = []
    for name in batches:
        tasks += _tasks_of(read_batch(plan.zones.landing, name), plan, parallelism, len(tasks), None)
    return tasks


def _tasks_of(
    batch: Batch, plan: LoadPlan, parallelism: int, first: int, only: frozenset[str] | None
) -> list[StagingTask]:
    splits = batch.splits()
    groups = pack(splits, _task_count(splits, plan, parallelism))
    return [StagingTask(first + n, batch.id, batch.received, group, only) for n, group in enumerate(groups)]


def stage_all(
    tasks: Sequence[StagingTask], plan: LoadPlan, work: Path, runner: Runner, progress: Progress | None
) -> Staged:
    """Read, check and pseudonymise: every task's splits as staged files below ``work``."""
    kernel = KernelPlan(type_plans(plan.tables), plan.buckets, plan.max_line_bytes, memory_mb=plan.task_memory_mb)
    for batch in {task.batch for task in tasks if task.only is None}:
        shutil.rmtree(plan.zones.quarantine / batch, ignore_errors=True)
    staging = StagingPlan(
        kernel=kernel,
        landing=plan.zones.landing,
        staging=work,
        quarantine=plan.zones.quarantine,
        read_key=plan.read_key,
        chunk_bytes=plan.chunk_bytes,
        segments=plan.segments,
        read_sealing_key=plan.read_sealing_key,
        dicom=plan.dicom,
    )
    whole = Staged()
    for part in runner.run("read", partial(stage, staging), tasks, progress):
        whole.add(part)
    return whole


def _task_count(splits: Sequence[Split], plan: LoadPlan, parallelism: int) -> int:
    """As many tasks for each core, so that all cores end together; a task has a chunk, for one has a fixed cost.

    Of what is less than a chunk for each core, a task for each: every task compiles the views of its types.
    """
    whole = sum(split.weight for split in splits)
    chunks = -(-whole // (plan.chunk_bytes * parallelism))
    each = max(TASKS_PER_CORE, chunks) if chunks > 1 else 1
    return max(1, min(each * parallelism, whole >> 20))
