"""The main job, as one readable list of steps: receive, stage, settle, identify, fold, account, validate, publish.

Owns the order of the steps and the promise that nothing is visible before the last one. Everything it needs is
handed to it: zones as paths, the key as a function that tasks call, the gate as a function. It must never see clear
text: it moves counts and file names.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from etl.compatibility import check_base, check_enough
from etl.errors import GateRefused, ReleaseError
from etl.ingest.landing import Batch, batch_ids, finish_rewrites, receive
from etl.ingest.planning import rebuild_tasks, stage_all, staging_tasks
from etl.ingest.staging import StagingTask
from etl.load_config import Gate, LoadPlan, Verdict
from etl.merge.accounting import Account, settle_accounts, total
from etl.merge.patient_identity import LOGICAL_MARK, write_identity
from etl.merge.planning import Work, folded, identity_sources, new_identity, settle_tasks
from etl.merge.versions import settle
from etl.privacy import pseudonym
from etl.tasks import Progress, Runner
from etl.warehouse.changes import Merged
from etl.warehouse.columns import IDENTITY, INTERNAL
from etl.warehouse.data_files import TABLES
from etl.warehouse.delta import commit_table
from etl.warehouse.faults import storage_fault
from etl.warehouse.garbage import recover, sweep, work_folder
from etl.warehouse.image_files import keep_voxels
from etl.warehouse.release import Release, exclusive, future_files, latest, publish
from etl.warehouse.staged import STAGING

REFRESH, REBUILD = "refresh", "rebuild"
"""Stand for the batch where a release has none."""


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
    paths: Sequence[Path], plan: LoadPlan, runner: Runner, gate: Gate, progress: Progress | None = None
) -> LoadReport:
    """Load an export and publish it as a release, whole or not at all.

    Raises the wing's errors: InputError for an export that cannot be taken, GateRefused when validation blocks,
    BusyError when another load runs, StorageError when a zone cannot be written.
    """
    with held(plan) as (started, mended):
        check_base(plan)
        earlier = batch_ids(plan.zones.landing)
        batch = receive(
            paths,
            plan.zones.landing,
            split_bytes=plan.split_bytes,
            progress=progress,
            most_unpacked=plan.most_unpacked,
        )
        report = _advance(Step(plan, runner, gate, progress, batch, earlier))
    return replace(report, recovered=mended, seconds=time.monotonic() - started)


def refresh(plan: LoadPlan, runner: Runner, gate: Gate, progress: Progress | None = None) -> LoadReport:
    """Publish what the objection register asks for today, without a new batch."""
    with held(plan) as (started, mended):
        check_base(plan)
        report = _advance(Step(plan, runner, gate, progress, None, batch_ids(plan.zones.landing)))
    return replace(report, recovered=mended, seconds=time.monotonic() - started)


def rebuild(
    plan: LoadPlan,
    runner: Runner,
    gate: Gate,
    tables: Sequence[str] = (),
    progress: Progress | None = None,
) -> LoadReport:
    """Compute the tables (all, or those named) anew from the landing zone, with today's views, rules and key.

    Readers keep the old release until the new one stands; the old one's files stay until a vacuum. Raises ReleaseError
    before anything starts where the tables named are not enough: another key, or other changed views.
    """
    with held(plan) as (started, mended):
        batches = batch_ids(plan.zones.landing)
        if not batches:
            raise ReleaseError("nothing to rebuild from: the landing zone holds no batch")
        if tables:
            check_enough(plan, tables)
        report = _advance(Step(plan, runner, gate, progress, None, batches, anew=True, only=frozenset(tables)))
    return replace(report, recovered=mended, seconds=time.monotonic() - started)


@contextmanager
def held(plan: LoadPlan) -> Iterator[tuple[float, tuple[str, ...]]]:
    """Hold the warehouse; what a killed run left is rolled back and swept up first.

    Raises BusyError, and StorageError for whatever its disk or files refuse.
    """
    started = time.monotonic()
    with _sentences(), exclusive(plan.zones.warehouse):
        finish_rewrites(plan.zones.landing)
        mended = recover(plan.zones.warehouse)
        if mended or (plan.zones.warehouse / STAGING).exists():
            sweep(plan.zones.warehouse)
            _sweep_drafts(plan.segments)
        yield started, tuple(mended)


def _sweep_drafts(segments: Path | None) -> None:
    """What a killed run was writing beside the sealed segments."""
    for draft in segments.rglob(".*") if segments else ():
        draft.unlink()


@contextmanager
def _sentences() -> Iterator[None]:
    """What the disk or the tables' files refuse, in a sentence."""
    try:
        yield
    except Exception as error:
        if fault := storage_fault(error):
            raise fault from None
        raise


@dataclass(frozen=True)
class Step:
    """One advance of the warehouse: with a new batch, without, or (``anew``) from nothing but the landing zone."""

    plan: LoadPlan
    runner: Runner
    gate: Gate
    progress: Progress | None
    batch: Batch | None
    earlier: Sequence[str]
    anew: bool = False
    only: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """What stands for the batch in the release and beside its Data Docs."""
        return self.batch.id if self.batch else REBUILD if self.anew else REFRESH

    def commits(self, table: str) -> bool:
        """Is the table computed anew, and all that stood in it replaced?"""
        return self.anew and (not self.only or table in self.only)

    def tasks(self, back: Collection[str]) -> list[StagingTask]:
        """What is read: the batch, and earlier ones again for the patients that no objection keeps out any more."""
        if self.anew:
            return rebuild_tasks(self.plan, self.runner.parallelism, self.earlier)
        return staging_tasks(self.batch, self.plan, self.runner.parallelism, self.earlier, back)


def _advance(step: Step) -> LoadReport:
    """Everything after landing: from the last release to the next; the caller holds the warehouse."""
    plan, base = step.plan, latest(step.plan.zones.warehouse)
    with work_folder(plan.zones.warehouse) as folder:
        changes, accounts = _changes(step, None if step.anew else base, folder)
        changes = _replacing(step, base, changes) if step.anew else changes
        verdict = _validate(step, base, changes)
        release = _publish(step, base, changes, accounts, verdict, folder)
    return LoadReport(
        batch=step.name,
        release=release.id if release else None,
        new_release=release is not None and (base is None or release.id != base.id),
        accounts=accounts,
        verdict=verdict,
        passed_over=step.batch.passed_over if step.batch else (),
        recovered=(),
        seconds=0.0,
    )


def _changes(step: Step, base: Release | None, folder: Path) -> tuple[dict[str, Merged], dict[str, Account]]:
    """Stage, settle and fold; where an objection has ended, all over with that patient's earlier records."""
    objectors = _objectors(step.plan)
    back: frozenset[str] = frozenset()
    while True:
        staged = stage_all(step.tasks(back), step.plan, folder, step.runner, step.progress)
        work = Work(step.plan, base, folder, staged, objectors, {}, step.only)
        settled = step.runner.run("settle", settle, settle_tasks(work), step.progress)
        identified = write_identity(identity_sources(work), step.plan.scratch)
        if identified.returning <= back:
            break
        back |= identified.returning
        shutil.rmtree(folder)
        folder.mkdir()
    objected = folded(work, step.runner, step.progress)
    if identified.changed:
        work.changes[IDENTITY] = new_identity(work)
    return work.changes, settle_accounts(staged, [*(part.outcomes for part in settled), *objected])


def _replacing(step: Step, last: Release | None, changes: Mapping[str, Merged]) -> dict[str, Merged]:
    """The changes of tables computed anew: all that stood in them goes, and a table without rows is empty."""
    replacing = {}
    for table in filter(step.commits, columns_of(step.plan)):
        gone = last.data_files(table) if last and table in last.tables else []
        replacing[table] = replace(changes.get(table, Merged(table)), removed=gone)
    return replacing


def _objectors(plan: LoadPlan) -> tuple[tuple[str, bool], ...]:
    """The register's entries as pseudonyms, each with whether it is a business identifier."""
    key = plan.read_key()
    return tuple((pseudonym(key, text), LOGICAL_MARK in text) for text in sorted(plan.read_objectors()))


def _validate(step: Step, base: Release | None, changes: Mapping[str, Merged]) -> Verdict | None:
    """The gate's verdict on what changes; None when nothing does. GateRefused when it blocks."""
    if not any(change.added or change.removed for change in changes.values()):
        return None
    if step.progress:
        step.progress("validate", 0, 1)
    verdict = step.gate(*_to_check(step.plan, base, changes), step.name)
    if step.progress:
        step.progress("validate", 1, 1)
    if verdict.blocked:
        pages = f"; see {verdict.docs}" if verdict.docs else ""
        raise GateRefused(
            f"validation blocks publication, the last release stands: {'; '.join(verdict.sentences)}{pages}"
        )
    return verdict


def _to_check(
    plan: LoadPlan, base: Release | None, changes: Mapping[str, Merged]
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The tables' future files, and those of them with rows that no release had."""
    root = plan.zones.warehouse / TABLES
    names = [table.name for table in plan.tables]
    files = {name: [str(root / name / f.path) for f in future_files(base, name, changes.get(name))] for name in names}
    fresh = {name: [str(root / name / f.path) for f in changes[name].added] for name in names if name in changes}
    return files, fresh


def _publish(
    step: Step,
    base: Release | None,
    changes: Mapping[str, Merged],
    accounts: Mapping[str, Account],
    verdict: Verdict | None,
    folder: Path,
) -> Release | None:
    """Commit every table, then pin them: the only step that makes anything visible."""
    if verdict is None:
        return base
    keep_voxels(step.plan.zones.warehouse, folder, changes)
    _commit(step.plan, changes, step.name, step.commits)
    return publish(
        step.plan.zones.warehouse,
        list(columns_of(step.plan)),
        batch=step.name,
        totals=total(accounts).to_dict(),
        types={name: account.to_dict() for name, account in accounts.items()},
        validation=verdict.summary,
        key_id=step.plan.key_id,
        buckets=step.plan.buckets,
        views={table.name: table.digest for table in step.plan.tables},
    )


def publish_again(plan: LoadPlan, base: Release, changes: Mapping[str, Merged], name: str) -> Release:
    """Publish the same rows in other files: accounts and validation are those of ``base``."""
    _commit(plan, changes, name)
    return publish(
        plan.zones.warehouse,
        list(columns_of(plan)),
        batch=name,
        totals=base.totals,
        types=base.types,
        validation=base.validation,
        key_id=base.key_id,
        buckets=base.buckets,
        views=base.views,
    )


def _commit(
    plan: LoadPlan, changes: Mapping[str, Merged], name: str, anew: Callable[[str], bool] = lambda _table: False
) -> None:
    for table, columns in columns_of(plan).items():
        change = changes.get(table, Merged(table))
        commit_table(plan.zones.warehouse, table, columns, change, name, overwrite=anew(table))


def columns_of(plan: LoadPlan) -> dict[str, Mapping[str, str]]:
    """Columns of every table, warehouse tables first."""
    return {**{table.name: table.column_types() for table in plan.tables}, **INTERNAL}
