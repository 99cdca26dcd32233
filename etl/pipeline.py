"""The main job, as one readable list of steps: receive, stage, settle, fold, account, validate, commit, publish.

Owns the order of the steps and the promise that nothing is visible before the last one. Everything it needs is
handed to it: zones as paths, the key as a function that tasks call, the gate as a function. It must never see clear
text: it moves counts and file names.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from etl.accounting import Account, settle_accounts, total
from etl.errors import GateRefused
from etl.kernel import KernelPlan, type_plans
from etl.landing import Batch, pack, receive, storage_error
from etl.merge import DataFile, Merged, MergeTask, file_list, fold, settle
from etl.release import (
    TABLES,
    Release,
    check_schema,
    commit_table,
    exclusive,
    latest,
    publish,
    recover,
)
from etl.staging import LOGICAL, KeyReader, Staged, StagingPlan, stage
from etl.tables import IDENTIFIER, IDENTIFIER_COLUMNS, LEDGER, LEDGER_COLUMNS, WarehouseTable
from etl.tasks import Progress, run_tasks

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS_PER_TASK = 400_000


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
    split_bytes: int = 32 << 20
    max_line_bytes: int = 64 << 20
    task_memory_mb: int = 1024
    scratch: Path = Path("/tmp")


@dataclass(frozen=True)
class Verdict:
    """What the gate says of the staged tables: a sentence a fault, a summary to keep, and where its pages are."""

    blocked: bool
    sentences: tuple[str, ...]
    summary: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    docs: str | None = None


Gate = Callable[[Mapping[str, Sequence[str]], str], Verdict]
"""(table → its future files, batch id) → verdict."""


@dataclass(frozen=True)
class LoadReport:
    """What a load did."""

    batch: str
    release: str | None
    new_release: bool
    accounts: Mapping[str, Account]
    verdict: Verdict | None
    passed_over: tuple[str, ...]
    recovered: tuple[str, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The form of `erios etl load --json`."""
        return {
            "batch": self.batch,
            "release": self.release,
            "totals": total(self.accounts).to_dict(),
            "types": {name: account.to_dict() for name, account in self.accounts.items()},
            "seconds": round(self.seconds, 3),
        }


def load(
    paths: Sequence[Path], plan: LoadPlan, spark: SparkSession, gate: Gate, progress: Progress | None = None
) -> LoadReport:
    """Load an export and publish it as a release, whole or not at all.

    Raises the wing's errors: InputError for an export that cannot be taken, GateRefused when validation blocks,
    BusyError when another load runs, StorageError when a zone cannot be written.
    """
    started = time.monotonic()
    with exclusive(plan.zones.warehouse):
        mended = recover(plan.zones.warehouse)
        for table in plan.tables:
            check_schema(plan.zones.warehouse, table.name, table.column_types())
        batch = receive(paths, plan.zones.landing, split_bytes=plan.split_bytes, progress=progress)
        report = load_batch(batch, plan, spark, gate, progress)
    return replace(report, recovered=tuple(mended), seconds=time.monotonic() - started)


def load_batch(
    batch: Batch, plan: LoadPlan, spark: SparkSession, gate: Gate, progress: Progress | None = None
) -> LoadReport:
    """Everything after landing, for one batch; the caller holds the warehouse."""
    base = latest(plan.zones.warehouse)
    with _work_folder(plan) as work:
        staged = _stage(batch, plan, work, spark, progress)
        changes = _merge(plan, base, work, staged, spark, progress)
        with _unpublished(plan, changes):
            accounts = settle_accounts(staged, changes.values())
            verdict = _validate(batch, plan, base, changes, gate, progress)
            release = _publish(batch, plan, base, changes, accounts, verdict)
    return LoadReport(
        batch=batch.id,
        release=release.id if release else None,
        new_release=release is not None and (base is None or release.id != base.id),
        accounts=accounts,
        verdict=verdict,
        passed_over=batch.passed_over,
        recovered=(),
        seconds=0.0,
    )


@contextmanager
def _work_folder(plan: LoadPlan) -> Iterator[Path]:
    """The folder of staged files, in the warehouse zone; gone at the end, and at the next start after a kill."""
    work = plan.zones.warehouse / ".staging"
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True)
        yield work
    except OSError as error:
        raise storage_error(error, "warehouse zone") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _stage(batch: Batch, plan: LoadPlan, work: Path, spark: SparkSession, progress: Progress | None) -> Staged:
    kernel = KernelPlan(
        type_plans(plan.tables), plan.buckets, plan.max_line_bytes, batch.received, memory_mb=plan.task_memory_mb
    )
    quarantine = plan.zones.quarantine / batch.id
    shutil.rmtree(quarantine, ignore_errors=True)
    staging = StagingPlan(
        kernel, batch.id, plan.zones.landing, work, quarantine, plan.read_key, chunk_bytes=plan.split_bytes
    )
    tasks = list(enumerate(pack(batch.splits(), _share(batch, plan, spark))))
    staged = Staged()
    for part in run_tasks(spark, "read", partial(stage, staging), tasks, progress):
        staged.add(part)
    return staged


def _share(batch: Batch, plan: LoadPlan, spark: SparkSession) -> int:
    """Bytes of one task: a split, or less when that would leave cores idle."""
    whole = sum(group[0].length for group in pack(batch.splits(), 0)) or 1
    return max(1 << 20, min(plan.split_bytes, 2 * whole // spark.sparkContext.defaultParallelism))


def _merge(
    plan: LoadPlan,
    base: Release | None,
    work: Path,
    staged: Staged,
    spark: SparkSession,
    progress: Progress | None,
) -> dict[str, Merged]:
    """Changed files of every table, unseen so far."""
    ledger = list(_merge_tasks(plan, base, work, staged, LEDGER, LEDGER_COLUMNS, "resource_key"))
    settled = run_tasks(spark, "settle", settle, ledger, progress)
    _resolve(base, work, staged)
    tasks = sorted(_fold_tasks(plan, base, work, staged), key=lambda task: -len(task.staged))
    folded = run_tasks(spark, "write", fold, tasks, progress)
    return _by_table([*settled, *folded])


def _fold_tasks(plan: LoadPlan, base: Release | None, work: Path, staged: Staged) -> Iterator[MergeTask]:
    replaced = any((work / "lists" / "replaced").glob("*.parquet"))
    for table in plan.tables:
        if staged.of(table.name) or replaced:
            single = tuple(c.name for c in table.references if not c.collection)
            many = tuple(c.name for c in table.references if c.collection)
            for task in _merge_tasks(plan, base, work, staged, table.name, table.column_types(), table.key):
                yield replace(task, references=single, reference_lists=many)
    if staged.of(IDENTIFIER) or replaced:
        yield from _merge_tasks(plan, base, work, staged, IDENTIFIER, IDENTIFIER_COLUMNS, "resource_key")


def _merge_tasks(
    plan: LoadPlan,
    base: Release | None,
    work: Path,
    staged: Staged,
    table: str,
    columns: Mapping[str, str],
    key: str,
) -> Iterator[MergeTask]:
    """Ranges of buckets sized by the rows staged; every range sees only its own present files."""
    current = base.data_files(table) if base and table in base.tables else []
    rows = staged.rows(table) + sum(file.rows for file in current)
    count = min(plan.buckets, 1 << max(0, (rows // ROWS_PER_TASK)).bit_length())
    width = plan.buckets // count
    for first in range(0, plan.buckets, width):
        last = first + width - 1
        yield MergeTask(
            table=table,
            folder=plan.zones.warehouse / TABLES / table,
            first=first,
            last=last,
            staged=tuple(staged.of(table)),
            current=tuple(file for file in current if first <= file.bucket <= last),
            lists=work / "lists",
            columns=columns,
            key=key,
            memory_mb=plan.task_memory_mb,
            scratch=plan.scratch,
        )


def _resolve(base: Release | None, work: Path, staged: Staged) -> None:
    """Write which keyed identifiers, referred to in this batch, name exactly one known resource."""
    logical = [path for name, path, rows in staged.files if rows and name.startswith(f"{LOGICAL}/")]
    known = [*staged.of(IDENTIFIER), *(base.files(IDENTIFIER) if base and IDENTIFIER in base.tables else [])]
    if not logical or not known:
        return
    target = work / "lists" / "resolved"
    target.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as sql:
        sql.execute(
            _RESOLVE.format(
                known=file_list(known),
                logical=file_list(logical),
                target=str(target / "all.parquet").replace("'", "''"),
            )
        )


_RESOLVE = """
COPY (
    SELECT identifier_key, min(resource_key) AS resource_key
    FROM read_parquet({known}, union_by_name = true)
    WHERE identifier_key IN (SELECT identifier_key FROM read_parquet({logical}))
    GROUP BY 1 HAVING count(DISTINCT resource_key) = 1
) TO '{target}' (FORMAT parquet)
"""


def _by_table(parts: Iterable[Merged]) -> dict[str, Merged]:
    changes: dict[str, Merged] = {}
    for part in parts:
        whole = changes.setdefault(part.table, Merged(part.table))
        whole.added += part.added
        whole.removed += part.removed
        for resource, counts in part.outcomes.items():
            whole.outcomes[resource] += counts
    return changes


@contextmanager
def _unpublished(plan: LoadPlan, changes: Mapping[str, Merged]) -> Iterator[None]:
    """Remove the new files again when anything stops the batch before its release."""
    try:
        yield
    except BaseException:
        recover(plan.zones.warehouse)
        for table, change in changes.items():
            for file in change.added:
                (plan.zones.warehouse / TABLES / table / file.path).unlink(missing_ok=True)
        raise


def future_files(base: Release | None, table: str, change: Merged | None) -> list[DataFile]:
    """The files that make a table once the change is committed."""
    current = base.data_files(table) if base and table in base.tables else []
    if change is None:
        return current
    removed = {file.path for file in change.removed}
    return [*(file for file in current if file.path not in removed), *change.added]


def _validate(
    batch: Batch,
    plan: LoadPlan,
    base: Release | None,
    changes: Mapping[str, Merged],
    gate: Gate,
    progress: Progress | None,
) -> Verdict | None:
    if not any(change.added or change.removed for change in changes.values()):
        return None
    if progress:
        progress("validate", 0, 1)
    root = plan.zones.warehouse / TABLES
    files = {
        table.name: [str(root / table.name / f.path) for f in future_files(base, table.name, changes.get(table.name))]
        for table in plan.tables
    }
    verdict = gate(files, batch.id)
    if progress:
        progress("validate", 1, 1)
    if verdict.blocked:
        pages = f"; see {verdict.docs}" if verdict.docs else ""
        raise GateRefused(
            f"validation blocks publication, the last release stands: {'; '.join(verdict.sentences)}{pages}"
        )
    return verdict


def _publish(
    batch: Batch,
    plan: LoadPlan,
    base: Release | None,
    changes: Mapping[str, Merged],
    accounts: Mapping[str, Account],
    verdict: Verdict | None,
) -> Release | None:
    """Commit every table, then pin them: the only step that makes anything visible."""
    if verdict is None:
        return base
    columns = {table.name: table.column_types() for table in plan.tables}
    columns |= {LEDGER: LEDGER_COLUMNS, IDENTIFIER: IDENTIFIER_COLUMNS}
    for name, types in columns.items():
        commit_table(plan.zones.warehouse, name, types, changes.get(name, Merged(name)), batch.id)
    return publish(
        plan.zones.warehouse,
        list(columns),
        batch=batch.id,
        totals=total(accounts).to_dict(),
        types={name: account.to_dict() for name, account in accounts.items()},
        validation=verdict.summary,
        key_id=plan.key_id,
    )
