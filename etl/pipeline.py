"""The main job, as one readable list of steps: receive, stage, settle, identify, fold, account, validate, publish.

Owns the order of the steps and the promise that nothing is visible before the last one. Everything it needs is
handed to it: zones as paths, the key as a function that tasks call, the gate as a function. It must never see clear
text: it moves counts and file names.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq

from etl.accounting import Account, settle_accounts, total
from etl.errors import GateRefused, ReleaseError
from etl.files import DataFile, new_path
from etl.fold import SMALL, FoldTask, Merged, fold_all
from etl.identity import LOGICAL_MARK, MOVED_COLUMNS, Identified, IdentitySources, write_identity
from etl.kernel import KernelPlan, type_plans
from etl.landing import Batch, batch_ids, pack, read_batch, receive, storage_error
from etl.privacy import pseudonym
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
from etl.settle import REPLACED_COLUMNS, SettleTask, list_sql, settle
from etl.staging import AGAIN, REFERRED, KeyReader, Staged, StagingPlan, StagingTask, stage
from etl.tables import IDENTIFIER, IDENTITY, INTERNAL, LEDGER, LEDGER_COLUMNS, LINK, WarehouseTable
from etl.tasks import Progress, Runner

ROWS_PER_TASK = 400_000
ROWS_OF_A_TASK = 4_000
"""What a fold costs beside its rows, in rows."""
TASKS_PER_CORE = 2
REFRESH = "refresh"
"""Stands for the batch where a release has none."""
SPLITS_PER_TASK = 8


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
    file_rows: int = 32768
    read_objectors: Callable[[], Iterable[str]] = tuple
    """The references (``Patient/ID``, ``Patient?identifier=SYSTEM|VALUE``) of those who object to research."""


@dataclass(frozen=True)
class Verdict:
    """What the gate says of the staged tables: a sentence a fault, a summary to keep, and where its pages are."""

    blocked: bool
    sentences: tuple[str, ...]
    summary: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    docs: str | None = None


Gate = Callable[[Mapping[str, Sequence[str]], Mapping[str, Sequence[str]], str], Verdict]
"""(table → its future files, table → those of them that are new, batch id) → verdict."""


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
    with _held(plan) as (started, mended):
        _check_base(plan)
        earlier = batch_ids(plan.zones.landing)
        batch = receive(paths, plan.zones.landing, split_bytes=plan.split_bytes, progress=progress)
        report = _advance(batch, plan, runner, gate, progress, earlier)
    return replace(report, recovered=mended, seconds=time.monotonic() - started)


def refresh(plan: LoadPlan, runner: Runner, gate: Gate, progress: Progress | None = None) -> LoadReport:
    """Publish what the objection register asks for today, without a new batch."""
    with _held(plan) as (started, mended):
        _check_base(plan)
        report = _advance(None, plan, runner, gate, progress, batch_ids(plan.zones.landing))
    return replace(report, recovered=mended, seconds=time.monotonic() - started)


@contextmanager
def _held(plan: LoadPlan) -> Iterator[tuple[float, tuple[str, ...]]]:
    """Hold the warehouse; what a killed run left is rolled back first."""
    started = time.monotonic()
    with exclusive(plan.zones.warehouse):
        yield started, tuple(recover(plan.zones.warehouse))


def _check_base(plan: LoadPlan) -> None:
    """Refuse before anything starts what would need the warehouse rebuilt: other columns, another key."""
    for table in plan.tables:
        check_schema(plan.zones.warehouse, table.name, table.column_types())
    base = latest(plan.zones.warehouse)
    if base and base.key_id != plan.key_id:
        raise ReleaseError(
            f"the warehouse was built with key {base.key_id}, the keyring's current key is {plan.key_id}:"
            " run `erios etl rebuild`, and readers keep the old release until it ends"
        )


def _advance(
    batch: Batch | None,
    plan: LoadPlan,
    runner: Runner,
    gate: Gate,
    progress: Progress | None,
    earlier: Sequence[str],
) -> LoadReport:
    """Everything after landing: from the last release to the next; the caller holds the warehouse."""
    base = latest(plan.zones.warehouse)
    changes: dict[str, Merged] = {}
    with _work_folder(plan) as work, _unpublished(plan, changes):
        accounts = _accounts(batch, plan, base, work, changes, runner, progress, earlier)
        verdict = _validate(batch.id if batch else REFRESH, plan, base, changes, gate, progress)
        release = _publish(batch, plan, base, changes, accounts, verdict)
    return LoadReport(
        batch=batch.id if batch else "",
        release=release.id if release else None,
        new_release=release is not None and (base is None or release.id != base.id),
        accounts=accounts,
        verdict=verdict,
        passed_over=batch.passed_over if batch else (),
        recovered=(),
        seconds=0.0,
    )


def _accounts(
    batch: Batch | None,
    plan: LoadPlan,
    base: Release | None,
    folder: Path,
    changes: dict[str, Merged],
    runner: Runner,
    progress: Progress | None,
    earlier: Sequence[str],
) -> Mapping[str, Account]:
    """Stage, settle and fold; where an objection has ended, all over with that patient's earlier records."""
    objectors = _objectors(plan)
    back: frozenset[str] = frozenset()
    while True:
        tasks = staging_tasks(batch, plan, runner.parallelism, earlier, back)
        staged = stage_all(tasks, plan, folder, runner, progress)
        work = Work(plan, base, folder, staged, objectors, changes)
        settled = runner.run("settle", settle, _settle_tasks(work), progress)
        identified = write_identity(_identity_sources(work), plan.scratch)
        if identified.returning <= back:
            return settle_accounts(
                staged, [*(part.outcomes for part in settled), *_fold(work, identified, runner, progress)]
            )
        back |= identified.returning
        shutil.rmtree(folder)
        folder.mkdir()


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


def _objectors(plan: LoadPlan) -> tuple[tuple[str, bool], ...]:
    """The register's entries as pseudonyms, each with whether it is a business identifier."""
    key = plan.read_key()
    return tuple((pseudonym(key, text), LOGICAL_MARK in text) for text in sorted(plan.read_objectors()))


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


def _tasks_of(
    batch: Batch, plan: LoadPlan, parallelism: int, first: int, only: frozenset[str] | None
) -> list[StagingTask]:
    groups = pack(batch.splits(), _share(batch, plan, parallelism))
    return [StagingTask(first + n, batch.id, batch.received, group, only) for n, group in enumerate(groups)]


def stage_all(
    tasks: Sequence[StagingTask], plan: LoadPlan, work: Path, runner: Runner, progress: Progress | None
) -> Staged:
    """Read, check and pseudonymise: every task's splits as staged files below ``work``."""
    kernel = KernelPlan(type_plans(plan.tables), plan.buckets, plan.max_line_bytes, memory_mb=plan.task_memory_mb)
    for batch in {task.batch for task in tasks if task.only is None}:
        shutil.rmtree(plan.zones.quarantine / batch, ignore_errors=True)
    staging = StagingPlan(
        kernel, plan.zones.landing, work, plan.zones.quarantine, plan.read_key, chunk_bytes=plan.split_bytes
    )
    whole = Staged()
    for part in runner.run("read", partial(stage, staging), tasks, progress):
        whole.add(part)
    return whole


def _share(batch: Batch, plan: LoadPlan, parallelism: int) -> int:
    """Bytes of one task: some splits, because a task has a fixed cost, and a part of each core's share."""
    whole = sum(group[0].length for group in pack(batch.splits(), 0)) or 1
    return max(1 << 20, min(SPLITS_PER_TASK * plan.split_bytes, whole // (TASKS_PER_CORE * parallelism)))


@dataclass(frozen=True)
class Work:
    """One advance of the warehouse: from what, with what staged, and the changes found so far."""

    plan: LoadPlan
    base: Release | None
    folder: Path
    staged: Staged
    objectors: Sequence[tuple[str, bool]]
    changes: dict[str, Merged]

    @property
    def lists(self) -> Path:
        return self.folder / "lists"

    def current(self, table: str) -> list[DataFile]:
        """The table's files in the last release."""
        return self.base.data_files(table) if self.base and table in self.base.tables else []

    def paths(self, table: str) -> tuple[str, ...]:
        """Absolute paths of the table's files in the last release."""
        return tuple(self.base.files(table)) if self.base and table in self.base.tables else ()


def _fold(
    work: Work, identified: Identified, runner: Runner, progress: Progress | None
) -> list[Mapping[str, Counter[str]]]:
    """Fill ``work.changes`` with the files of every table that change, unseen so far; answer what was objected."""
    parts = [part for group in runner.run("write", fold_all, _fold_groups(work), progress) for part in group]
    for part in parts:
        whole = work.changes.setdefault(part.table, Merged(part.table))
        whole.added += part.added
        whole.removed += part.removed
    if identified.changed:
        work.changes[IDENTITY] = _new_identity(work)
    return [_objected(part.objected) for part in parts if part.objected]


def _objected(counts: Counter[str]) -> dict[str, Counter[str]]:
    """What settle counted as written, but a patient objects to."""
    return {name: Counter({"objected": count, "written": -count}) for name, count in counts.items()}


def _settle_tasks(work: Work) -> list[SettleTask]:
    staged = tuple(work.staged.of(LEDGER))
    if not staged:
        return []
    ledger, identity = work.current(LEDGER), work.paths(IDENTITY)
    root = work.plan.zones.warehouse / TABLES / LEDGER
    return [
        SettleTask(
            first=first,
            last=last,
            staged=staged,
            ledger=tuple(str(root / file.path) for file in ledger if first <= file.bucket <= last),
            identity=identity,
            lists=work.lists,
            memory_mb=work.plan.task_memory_mb,
            scratch=work.plan.scratch,
        )
        for first, last in _ranges(work.plan.buckets, work.staged.rows(LEDGER))
    ]


def _ranges(buckets: int, rows: int) -> list[tuple[int, int]]:
    """Ranges of buckets of about ``ROWS_PER_TASK`` rows each."""
    count = min(buckets, 1 << max(0, (rows // ROWS_PER_TASK)).bit_length())
    width = buckets // count
    return [(first, first + width - 1) for first in range(0, buckets, width)]


def _identity_sources(work: Work) -> IdentitySources:
    return IdentitySources(
        identity=work.paths(IDENTITY),
        links=work.paths(LINK),
        identifiers=work.paths(IDENTIFIER),
        staged_links=work.staged.of(LINK),
        staged_identifiers=work.staged.of(IDENTIFIER),
        staged_referred=[path for name, path, rows in work.staged.files if rows and name.startswith(f"{REFERRED}/")],
        objectors=work.objectors,
        lists=work.lists,
    )


def _new_identity(work: Work) -> Merged:
    """The identity table whole: it is small, and computed anew each time."""
    folder = work.plan.zones.warehouse / TABLES / IDENTITY
    path = new_path(0, "0" * 8, "f" * 8)
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    source = work.lists / "identity" / "all.parquet"
    shutil.copyfile(source, folder / path)
    file = DataFile(path, 0, source.stat().st_size, pq.read_metadata(source).num_rows)
    return Merged(IDENTITY, added=[file], removed=work.current(IDENTITY))


def _fold_groups(work: Work) -> list[tuple[FoldTask, ...]]:
    """Tasks of about equal work; small ones share a Spark task, because a task has a fixed cost."""
    groups: list[list[FoldTask]] = []
    weight = ROWS_PER_TASK
    for rows, task in sorted(_fold_tasks(work), key=lambda pair: -pair[0]):
        if weight + rows > ROWS_PER_TASK:
            groups.append([])
            weight = 0
        groups[-1].append(task)
        weight += rows + ROWS_OF_A_TASK
    return [tuple(group) for group in groups]


def _fold_tasks(work: Work) -> Iterator[tuple[int, FoldTask]]:
    """(rows it will write, about; the task) for every range of every table that changes."""
    where = Whereabouts.read(work.lists)
    for table in work.plan.tables:
        single = tuple(c.name for c in table.references if not c.collection)
        many = tuple(c.name for c in table.references if c.collection)
        form = _Form(table.name, table.view.resource, table.column_types(), table.key, single, many)
        yield from _ranges_of(work, form, where.affected(work, form))
    for name in (IDENTIFIER, LINK):
        form = _Form(name, "", INTERNAL[name], "resource_key")
        yield from _ranges_of(work, form, where.affected(work, form))
    ledger = _Form(LEDGER, "", LEDGER_COLUMNS, "resource_key")
    yield from _ranges_of(work, ledger, work.current(LEDGER) if where.barred else [])


@dataclass(frozen=True)
class _Form:
    """What a fold must know of a table, warehouse table or internal."""

    table: str
    resource: str
    columns: Mapping[str, str]
    key: str
    references: tuple[str, ...] = ()
    reference_lists: tuple[str, ...] = ()


@dataclass(frozen=True)
class Whereabouts:
    """Where rows go or move: prefixes of cluster keys by resource type ("" for all), as sorted numbers."""

    replaced: Mapping[str, np.ndarray]
    moved: np.ndarray
    logical: bool
    barred: bool

    @classmethod
    def read(cls, lists: Path) -> Whereabouts:
        """From the lists of settle and of the identities."""
        with duckdb.connect() as sql:
            sql.execute(f"CREATE VIEW replaced AS {list_sql(lists, 'replaced', REPLACED_COLUMNS)}")
            sql.execute(f"CREATE VIEW moved AS {list_sql(lists, 'moved', MOVED_COLUMNS)}")
            types = [row[0] for row in sql.execute("SELECT DISTINCT resource_type FROM replaced").fetchall()]
            replaced = {name: _prefixes(sql, "cluster", f"replaced WHERE resource_type = '{name}'") for name in types}
            replaced[""] = _prefixes(sql, "resource_key", "replaced")
            flags = "SELECT coalesce(bool_or(logical), false), coalesce(bool_or(excluded), false) FROM moved"
            logical, barred = sql.execute(flags).fetchall()[0]
            return cls(replaced, _prefixes(sql, "cluster", "moved"), bool(logical), bool(barred))

    def affected(self, work: Work, form: _Form) -> list[DataFile]:
        """The table's files that hold a row that goes or moves, or may."""
        current = work.current(form.table)
        if form.resource and self.logical:
            return current
        places = [self.replaced.get(form.resource, _NOWHERE), self.moved if form.resource else _NOWHERE]
        return [file for file in current if any(_holds(file, place) for place in places)]


_NOWHERE = np.zeros(0, np.uint32)


def _prefixes(sql: duckdb.DuckDBPyConnection, column: str, rows: str) -> np.ndarray:
    query = f"SELECT DISTINCT ('0x' || left({column}, 8))::UINTEGER AS prefix FROM {rows} ORDER BY 1"
    return np.asarray(sql.execute(query).fetchnumpy()["prefix"])


def _holds(file: DataFile, prefixes: np.ndarray) -> bool:
    first, last = (int(end, 16) for end in file.range)
    place = int(np.searchsorted(prefixes, first))
    return place < len(prefixes) and int(prefixes[place]) <= last


def _ranges_of(work: Work, form: _Form, affected: list[DataFile]) -> Iterator[tuple[int, FoldTask]]:
    staged = work.staged.rows(form.table)
    if not staged and not affected:
        return
    plan = work.plan
    known = {file.path for file in affected} if form.table != LEDGER else set()
    few = plan.file_rows // SMALL
    small = [file for file in work.current(form.table) if file.rows < few and file.path not in known]
    rows = staged + sum(file.rows for file in [*affected, *small])
    ranges = _ranges(plan.buckets, rows)
    for first, last in ranges:
        task = FoldTask(
            table=form.table,
            resource=form.resource,
            folder=plan.zones.warehouse / TABLES / form.table,
            first=first,
            last=last,
            buckets=plan.buckets,
            staged=tuple(work.staged.of(form.table)),
            affected=tuple(affected),
            small=tuple(file for file in small if first <= file.bucket <= last),
            lists=work.lists,
            columns=form.columns,
            key=form.key,
            references=form.references,
            reference_lists=form.reference_lists,
            file_rows=plan.file_rows,
            generation=_generation(work.base),
            memory_mb=plan.task_memory_mb,
            scratch=plan.scratch,
        )
        yield rows // len(ranges), task


def _generation(base: Release | None) -> int:
    """The number of the release to be."""
    return int(base.id[1:]) + 1 if base else 1


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
    name: str,
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
    names = [table.name for table in plan.tables]
    files = {name: [str(root / name / f.path) for f in future_files(base, name, changes.get(name))] for name in names}
    fresh = {name: [str(root / name / f.path) for f in changes[name].added] for name in names if name in changes}
    verdict = gate(files, fresh, name)
    if progress:
        progress("validate", 1, 1)
    if verdict.blocked:
        pages = f"; see {verdict.docs}" if verdict.docs else ""
        raise GateRefused(
            f"validation blocks publication, the last release stands: {'; '.join(verdict.sentences)}{pages}"
        )
    return verdict


def _publish(
    batch: Batch | None,
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
    columns |= INTERNAL
    label = batch.id if batch else REFRESH
    for name, types in columns.items():
        commit_table(plan.zones.warehouse, name, types, changes.get(name, Merged(name)), label)
    return publish(
        plan.zones.warehouse,
        list(columns),
        batch=label,
        totals=total(accounts).to_dict(),
        types={name: account.to_dict() for name, account in accounts.items()},
        validation=verdict.summary,
        key_id=plan.key_id,
    )
