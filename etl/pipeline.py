"""The load of an export into the warehouse, as one readable list of steps.

1. *Receive*: copy the export, unchanged, into the landing zone as a batch.
2. *Stage*: Spark tasks parse, check and pseudonymise the batch, evaluate the views, and write Parquet files that no
   release names; refused texts go to quarantine.
3. *Resolve versions*: of every resource, choose the newest version among what is staged and what the ledger has.
4. *Resolve identities*: compute which patients are merged, what business identifiers mean, and who objects.
5. *Merge*: write the files of every table that change.
6. *Reconcile*: every resource received has exactly one outcome, or the load stops.
7. *Validate*: the gate reads the new files and the tables as they would become; it may block.
8. *Publish*: commit every table to its Delta log, then write the release file that pins the versions. Readers open a
   release and never a table, so this last write alone makes rows visible. Whoever takes the lock next rolls back the
   commits that no release pins, and deletes the files that no release names.

A batch whose load was stopped or refused stays in the landing zone: the same export given again is recognised by its
digests and goes on from there, and a rebuild reads it too. A refresh follows the objection register: the same steps
without a new batch, where earlier batches are read again only for patients whose objection has ended. A rebuild reads
all landed batches and replaces what the tables held.

This module owns the order of the steps. It moves counts, file names and pseudonyms. Of clear text it holds the
references of the objection register alone, in memory, until they are pseudonyms; tasks are given the key as a function.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from etl.compatibility import check_compatible, check_rebuild_covers
from etl.errors import GateRefused, ReleaseError
from etl.ingest.landing import Batch, batch_ids, finish_rewrites, receive
from etl.ingest.staging import StagingTask
from etl.ingest.staging_tasks import rebuild_tasks, stage_all, staging_tasks
from etl.load_config import Gate, LoadConfig, Verdict
from etl.merge.merge_tasks import MergeContext, identity_sources, merge_tables, new_identity_table, resolve_tasks
from etl.merge.patient_identity import LOGICAL_MARK, IdentityChange, resolve_identities
from etl.merge.reconciliation import Outcomes, Reconciliation, reconcile, total
from etl.merge.versions import resolve_versions
from etl.privacy import pseudonym
from etl.task_runner import Progress, Runner
from etl.warehouse.changes import TableChanges
from etl.warehouse.columns import IDENTITY, INTERNAL
from etl.warehouse.data_files import RELEASES, TABLES
from etl.warehouse.delta import commit_table
from etl.warehouse.garbage import recover, sweep, work_folder
from etl.warehouse.image_files import publish_voxel_files
from etl.warehouse.release import Release, exclusive, future_files, latest, publish
from etl.warehouse.staged_files import STAGING
from etl.warehouse.storage_faults import storage_fault

REFRESH, REBUILD = "refresh", "rebuild"
"""In place of the batch's id, in releases that no batch made."""


@dataclass(frozen=True)
class LoadReport:
    """The result of a load, a refresh or a rebuild; ``reconciliations`` by resource type."""

    batch: str
    release: str | None
    new_release: bool
    reconciliations: Mapping[str, Reconciliation]
    verdict: Verdict | None
    passed_over: tuple[str, ...]
    recovered: tuple[str, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The output of `erios etl load --json`."""
        return {
            "batch": self.batch,
            "release": self.release,
            "totals": total(self.reconciliations).to_dict(),
            "types": {name: counts.to_dict() for name, counts in self.reconciliations.items()},
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class LoadRun:
    """One update of the warehouse: of a new batch, of none (refresh), or (``rebuilding``) of all landed batches.

    ``landed``: the batches of earlier loads. ``only``: the tables to rebuild; none named, all.
    """

    config: LoadConfig
    runner: Runner
    gate: Gate
    progress: Progress | None
    batch: Batch | None
    landed: Sequence[str]
    rebuilding: bool = False
    only: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The batch's id, or its substitute in the release and in the path of the Data Docs."""
        return self.batch.id if self.batch else REBUILD if self.rebuilding else REFRESH

    def replaces(self, table: str) -> bool:
        """Does the run compute the table from nothing, and replace all of its rows?"""
        return self.rebuilding and (not self.only or table in self.only)

    def tasks(self, returning: Collection[str]) -> list[StagingTask]:
        """Staging tasks of the batch, and of earlier batches for the ``returning`` patients (pseudonyms)."""
        if self.rebuilding:
            return rebuild_tasks(self.config, self.runner.parallelism, self.landed)
        return staging_tasks(self.batch, self.config, self.runner.parallelism, self.landed, returning)


# ---- the three commands, and the lock they take


def load(
    paths: Sequence[Path], config: LoadConfig, runner: Runner, gate: Gate, progress: Progress | None = None
) -> LoadReport:
    """Load an export and publish it as a release, whole or not at all.

    Raises InputError for an export that cannot be read, ReconciliationError when a resource has no outcome or two,
    GateRefused when validation blocks, BusyError when another load runs, StorageError when a zone cannot be written.
    """
    with locked_warehouse(config) as (started, recovered):
        check_compatible(config)
        landed = batch_ids(config.zones.landing)
        batch = receive(
            paths,
            config.zones.landing,
            split_bytes=config.split_bytes,
            progress=progress,
            most_unpacked=config.most_unpacked,
        )
        report = _update(LoadRun(config, runner, gate, progress, batch, landed))
    return replace(report, recovered=recovered, seconds=time.monotonic() - started)


def refresh(config: LoadConfig, runner: Runner, gate: Gate, progress: Progress | None = None) -> LoadReport:
    """Apply today's objection register without a new batch, and publish the result."""
    with locked_warehouse(config) as (started, recovered):
        check_compatible(config)
        report = _update(LoadRun(config, runner, gate, progress, None, batch_ids(config.zones.landing)))
    return replace(report, recovered=recovered, seconds=time.monotonic() - started)


def rebuild(
    config: LoadConfig,
    runner: Runner,
    gate: Gate,
    tables: Sequence[str] = (),
    progress: Progress | None = None,
) -> LoadReport:
    """Compute all tables, or those named, from the landing zone with today's views, rules and key.

    Readers keep the last release until the new one is published; its files stay until a vacuum. A rebuild of all tables
    fits any warehouse, since it replaces all that was there. Raises ReleaseError before anything starts where
    the tables named are not enough: another key, or other changed views.
    """
    with locked_warehouse(config) as (started, recovered):
        batches = batch_ids(config.zones.landing)
        if not batches:
            raise ReleaseError("nothing to rebuild from: the landing zone holds no batch")
        if tables:
            check_rebuild_covers(config, tables)
        run = LoadRun(config, runner, gate, progress, None, batches, rebuilding=True, only=frozenset(tables))
        report = _update(run)
    return replace(report, recovered=recovered, seconds=time.monotonic() - started)


@contextmanager
def locked_warehouse(config: LoadConfig) -> Iterator[tuple[float, tuple[str, ...]]]:
    """Hold the warehouse's lock, after rolling back and deleting what a killed run left.

    Yields the start time (monotonic seconds) and the tables rolled back. Raises BusyError, and StorageError for
    faults of disk or files inside.
    """
    started = time.monotonic()
    with _storage_faults(), exclusive(config.zones.warehouse):
        finish_rewrites(config.zones.landing)
        recovered = recover(config.zones.warehouse)
        if recovered or (config.zones.warehouse / STAGING).exists():
            sweep(config.zones.warehouse)
            _delete_drafts(config.zones.warehouse / RELEASES)
            _delete_drafts(config.reidentification_folder)
        yield started, tuple(recovered)


def _delete_drafts(folder: Path | None) -> None:
    """Delete half-written files of a folder: their names begin with a dot."""
    for draft in folder.rglob(".*") if folder else ():
        draft.unlink()


@contextmanager
def _storage_faults() -> Iterator[None]:
    """Raise faults of the disk or of the tables' files as StorageError."""
    try:
        yield
    except Exception as error:
        if fault := storage_fault(error):
            raise fault from None
        raise


# ---- the steps after receiving


def _update(run: LoadRun) -> LoadReport:
    """Steps 2 to 8: from the last release to the next. The caller holds the lock."""
    base = latest(run.config.zones.warehouse)
    with work_folder(run.config.zones.warehouse) as folder:
        context, resolved, identities = _stage_and_resolve(run, None if run.rebuilding else base, folder)
        withheld = _merge(run, context, identities)
        reconciliations = reconcile(context.staged, [*resolved, *withheld])
        changes = _replacing(run, base, context.changes) if run.rebuilding else context.changes
        verdict = _validate(run, base, changes)
        release = _publish(run, base, changes, reconciliations, verdict, folder)
    return LoadReport(
        batch=run.name,
        release=release.id if release else None,
        new_release=release is not None and (base is None or release.id != base.id),
        reconciliations=reconciliations,
        verdict=verdict,
        passed_over=run.batch.passed_over if run.batch else (),
        recovered=(),
        seconds=0.0,
    )


def _stage_and_resolve(
    run: LoadRun, base: Release | None, folder: Path
) -> tuple[MergeContext, list[Outcomes], IdentityChange]:
    """Steps 2 to 4, repeated with the earlier records of patients whose objection has ended until none is missing."""
    objectors = _objectors(run.config)
    returning: frozenset[str] = frozenset()
    while True:
        staged = stage_all(run.tasks(returning), run.config, folder, run.runner, run.progress)
        context = MergeContext(run.config, base, folder, staged, objectors, changes={}, only=run.only)
        resolved = run.runner.run("resolve", resolve_versions, resolve_tasks(context), run.progress)
        identities = resolve_identities(identity_sources(context), run.config.scratch)
        if identities.returning <= returning:
            return context, [counts.outcomes for counts in resolved], identities
        returning |= identities.returning
        shutil.rmtree(folder)
        folder.mkdir()


def _objectors(config: LoadConfig) -> tuple[tuple[str, bool], ...]:
    """The objection register as pseudonyms, each with whether it names a business identifier rather than a resource."""
    key = config.read_key()
    return tuple(
        (pseudonym(key, reference), LOGICAL_MARK in reference) for reference in sorted(config.read_objectors())
    )


def _merge(run: LoadRun, context: MergeContext, identities: IdentityChange) -> list[Outcomes]:
    """Step 5: fill ``context.changes``; returns the outcomes that objections change."""
    withheld = merge_tables(context, run.runner, run.progress)
    if identities.changed:
        context.changes[IDENTITY] = new_identity_table(context)
    return withheld


def _replacing(run: LoadRun, base: Release | None, changes: Mapping[str, TableChanges]) -> dict[str, TableChanges]:
    """Changes of a rebuild: every present file of a table is removed, also where no row takes its place."""
    replacing = {}
    for table in filter(run.replaces, columns_of(run.config)):
        removed = base.data_files(table) if base and table in base.tables else []
        replacing[table] = replace(changes.get(table, TableChanges(table)), removed=removed)
    return replacing


def _validate(run: LoadRun, base: Release | None, changes: Mapping[str, TableChanges]) -> Verdict | None:
    """Step 7: the gate's verdict; None when nothing changes. Raises GateRefused when it blocks."""
    if not any(change.added or change.removed for change in changes.values()):
        return None
    if run.progress:
        run.progress("validate", 0, 1)
    verdict = run.gate(*_files_to_validate(run.config, base, changes), run.name)
    if run.progress:
        run.progress("validate", 1, 1)
    if verdict.blocked:
        pages = f"; see {verdict.docs}" if verdict.docs else ""
        raise GateRefused(
            f"validation blocks publication, the last release stands: {'; '.join(verdict.sentences)}{pages}"
        )
    return verdict


def _files_to_validate(
    config: LoadConfig, base: Release | None, changes: Mapping[str, TableChanges]
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Table → its files after the commit, and table → those of them with rows that no release had."""
    root = config.zones.warehouse / TABLES
    names = [table.name for table in config.tables]
    files = {name: [str(root / name / f.path) for f in future_files(base, name, changes.get(name))] for name in names}
    added = {name: [str(root / name / f.path) for f in changes[name].added] for name in names if name in changes}
    return files, added


def _publish(
    run: LoadRun,
    base: Release | None,
    changes: Mapping[str, TableChanges],
    reconciliations: Mapping[str, Reconciliation],
    verdict: Verdict | None,
    folder: Path,
) -> Release | None:
    """Step 8: commit every table, then pin the versions in a release; without changes (no verdict), the last release.

    Voxel files come first: each is named by its digest, and one that no release names is deleted by the next sweep.
    """
    if verdict is None:
        return base
    config = run.config
    publish_voxel_files(config.zones.warehouse, folder, changes)
    _commit(config, changes, run.name, overwritten=frozenset(filter(run.replaces, columns_of(config))))
    draft = Release(
        id="",
        created="",
        batch=run.name,
        tables={},
        warehouse=config.zones.warehouse,
        totals=total(reconciliations).to_dict(),
        types={name: counts.to_dict() for name, counts in reconciliations.items()},
        validation=verdict.summary,
        key_id=config.key_id,
        buckets=config.buckets,
        views={table.name: table.digest for table in config.tables},
    )
    return publish(draft, list(columns_of(config)))


def publish_again(config: LoadConfig, base: Release, changes: Mapping[str, TableChanges], name: str) -> Release:
    """Publish the rows of ``base`` in other files (compaction): counts and validation are those of ``base``."""
    _commit(config, changes, name)
    return publish(replace(base, batch=name), list(columns_of(config)))


def _commit(
    config: LoadConfig, changes: Mapping[str, TableChanges], name: str, overwritten: Collection[str] = ()
) -> None:
    for table, columns in columns_of(config).items():
        change = changes.get(table, TableChanges(table))
        commit_table(config.zones.warehouse, table, columns, change, name, overwrite=table in overwritten)


def columns_of(config: LoadConfig) -> dict[str, Mapping[str, str]]:
    """Columns of every table, warehouse tables first."""
    return {**{table.name: table.column_types() for table in config.tables}, **INTERNAL}
