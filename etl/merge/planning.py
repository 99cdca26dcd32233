"""One advance of the warehouse as Spark tasks: what settle and fold get to do, sized and grouped.

Owns finding the files that a change touches, by the ranges in their names, and the share of work of a task. It must
never see clear text: it moves counts and file names.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq

from etl.load_config import LoadPlan
from etl.merge.patient_identity import MOVED_COLUMNS, IdentitySources
from etl.merge.table_merge import FoldTask, fold_all
from etl.merge.versions import REPLACED_COLUMNS, SettleTask, list_sql
from etl.tables import WarehouseTable
from etl.tasks import Progress, Runner
from etl.warehouse.changes import Merged
from etl.warehouse.columns import IDENTIFIER, IDENTITY, INTERNAL, LEDGER, LINK
from etl.warehouse.data_files import TABLES, DataFile, new_path, stamp
from etl.warehouse.release import Release
from etl.warehouse.staged import REFERRED, Staged

ROWS_PER_TASK = 150_000
MOST_ROWS = 160_000
"""Rows of a fold that are in memory at a time, about."""
COPIED_PER_WRITTEN = 3
"""So many rows are copied in the time of one that is sorted and written."""
SETTLED_PER_WRITTEN = 2
"""So many rows are settled in the time of one that is written."""
SEARCHED_PER_SETTLED = 8
"""So many rows of the ledger are searched in the time of one that is settled."""
SMALL = 8
"""A file with less than an eighth of the rows a file may have is small."""
ROWS_OF_A_TASK = 12_000
"""What a fold costs beside its rows, in rows."""


@dataclass(frozen=True)
class Work:
    """One advance of the warehouse: from what, with what staged, and the changes found so far."""

    plan: LoadPlan
    base: Release | None
    folder: Path
    staged: Staged
    objectors: Sequence[tuple[str, bool]]
    changes: dict[str, Merged]
    only: frozenset[str] = frozenset()
    """Tables to fold; none named, all."""

    @property
    def lists(self) -> Path:
        return self.folder / "lists"

    @cached_property
    def where(self) -> Whereabouts:
        """Where rows go or move, once the lists are written."""
        return Whereabouts.read(self.lists)

    def current(self, table: str) -> list[DataFile]:
        """The table's files in the last release."""
        return self.base.data_files(table) if self.base and table in self.base.tables else []

    def paths(self, table: str) -> tuple[str, ...]:
        """Absolute paths of the table's files in the last release."""
        return tuple(self.base.files(table)) if self.base and table in self.base.tables else ()


def settle_tasks(work: Work) -> list[SettleTask]:
    staged = tuple(work.staged.of(LEDGER))
    if not staged:
        return []
    ledger, identity = work.current(LEDGER), work.paths(IDENTITY)
    rows = work.staged.rows(LEDGER) + sum(file.rows for file in ledger) // SEARCHED_PER_SETTLED
    root = work.plan.zones.warehouse / TABLES / LEDGER
    work.lists.mkdir(exist_ok=True)
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
        for first, last in _ranges(work.plan.buckets, rows // SETTLED_PER_WRITTEN)
    ]


def _ranges(buckets: int, rows: int) -> list[tuple[int, int]]:
    """Ranges of buckets of about ``ROWS_PER_TASK`` rows each."""
    count = min(buckets, 1 << max(0, (rows // ROWS_PER_TASK)).bit_length())
    width = buckets // count
    return [(first, first + width - 1) for first in range(0, buckets, width)]


def identity_sources(work: Work) -> IdentitySources:
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


def new_identity(work: Work) -> Merged:
    """The identity table whole: it is small, and computed anew each time."""
    folder = work.plan.zones.warehouse / TABLES / IDENTITY
    draft = new_path(0, "0" * 8, "f" * 8)
    (folder / draft).parent.mkdir(parents=True, exist_ok=True)
    source = work.lists / "identity" / "all.parquet"
    shutil.copyfile(source, folder / draft)
    path = stamp(folder, draft)
    file = DataFile(path, 0, source.stat().st_size, pq.read_metadata(source).num_rows)
    return Merged(IDENTITY, added=[file], removed=work.current(IDENTITY))


def fold_groups(
    work: Work, parallelism: int, crumbs: Mapping[str, Sequence[DataFile]] | None = None
) -> list[tuple[FoldTask, ...]]:
    """Tasks of about equal work; small ones share a Spark task, because a task has a fixed cost.

    With ``crumbs`` (table → files to put together) nothing else is written.
    """
    tasks = list(_crumb_tasks(work, crumbs) if crumbs is not None else _fold_tasks(work))
    if not tasks:
        return []
    whole = sum(rows + ROWS_OF_A_TASK for rows, _ in tasks)
    rounds = -(-whole // (ROWS_PER_TASK * parallelism))
    groups: list[tuple[int, list[FoldTask]]] = [(0, []) for _ in range(min(len(tasks), rounds * parallelism))]
    for rows, task in sorted(tasks, key=lambda pair: -pair[0]):
        lightest = min(range(len(groups)), key=lambda place: groups[place][0])
        weight, others = groups[lightest]
        groups[lightest] = weight + rows + ROWS_OF_A_TASK, [*others, task]
    return [tuple(group) for _, group in sorted(groups, key=lambda group: -group[0])]


def forms(plan: LoadPlan) -> list[Form]:
    """Every table that is folded, warehouse tables first."""
    return [*map(_form, plan.tables), *(Form(name, "", INTERNAL[name], "resource_key") for name in _FOLDED)]


_FOLDED = (IDENTIFIER, LINK, LEDGER)


def _form(table: WarehouseTable) -> Form:
    single = tuple(c.name for c in table.references if not c.collection)
    many = tuple(c.name for c in table.references if c.collection)
    return Form(table.name, table.view.resource, table.column_types(), table.key, single, many)


def _fold_tasks(work: Work) -> Iterator[tuple[int, FoldTask]]:
    """(rows it will write, about; the task) for every range of every table that changes."""
    where = work.where
    for form in (form for form in forms(work.plan) if not work.only or form.table in work.only):
        affected = where.affected(work, form)
        if work.staged.rows(form.table) or affected:
            known = {file.path for file in affected} if form.table != LEDGER else set()
            small = [file for file in small_files(work, form.table, work.plan.crumbs) if file.path not in known]
            yield from _ranges_of(work, form, affected, small)


def _crumb_tasks(work: Work, crumbs: Mapping[str, Sequence[DataFile]]) -> Iterator[tuple[int, FoldTask]]:
    for form in forms(work.plan):
        if files := crumbs.get(form.table):
            yield from ((rows, replace(task, compact=True)) for rows, task in _ranges_of(work, form, (), files))


def small_files(work: Work, table: str, many: int) -> list[DataFile]:
    """The table's small files, where a bucket has so many of them."""
    small = [file for file in work.current(table) if file.rows < work.plan.file_rows // SMALL]
    buckets = Counter(file.bucket for file in small)
    return [file for file in small if buckets[file.bucket] >= many]


@dataclass(frozen=True)
class Form:
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
    merged: np.ndarray
    logical: bool
    barred: bool

    @property
    def moves(self) -> bool:
        """May any row move? Else a file that is affected only loses rows."""
        return self.logical or len(self.moved) > 0

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
            moved, merged = _prefixes(sql, "cluster", "moved"), _prefixes(sql, "alias", "moved WHERE replaced")
            return cls(replaced, moved, merged, bool(logical), bool(barred))

    def affected(self, work: Work, form: Form) -> list[DataFile]:
        """The table's files that hold a row that goes or moves, or may."""
        current = work.current(form.table)
        if form.table == LEDGER:
            return current if self.barred else [file for file in current if _holds(file, self.merged)]
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


def _ranges_of(
    work: Work, form: Form, affected: Sequence[DataFile], small: Sequence[DataFile]
) -> Iterator[tuple[int, FoldTask]]:
    plan = work.plan
    present = sum(file.rows for file in affected)
    written = work.staged.rows(form.table) + sum(file.rows for file in small) + (present if work.where.moves else 0)
    rows = written + present // COPIED_PER_WRITTEN
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
            parts=max(1, -(-written // (len(ranges) * MOST_ROWS))),
            generation=_generation(work.base),
            memory_mb=plan.task_memory_mb,
            scratch=plan.scratch,
        )
        yield rows // len(ranges), task


def _generation(base: Release | None) -> int:
    """The number of the release to be."""
    return int(base.id[1:]) + 1 if base else 1


def folded(
    work: Work,
    runner: Runner,
    progress: Progress | None,
    crumbs: Mapping[str, Sequence[DataFile]] | None = None,
) -> list[Mapping[str, Counter[str]]]:
    """Fill ``work.changes`` with the files of every table that change, unseen so far; answer what was objected."""
    parts = [
        part
        for group in runner.run("write", fold_all, fold_groups(work, runner.parallelism, crumbs), progress)
        for part in group
    ]
    for part in parts:
        whole = work.changes.setdefault(part.table, Merged(part.table))
        whole.added += part.added
        whole.lessened += part.lessened
        whole.removed += part.removed
    return [_objected(part.objected) for part in parts if part.objected]


def _objected(counts: Counter[str]) -> dict[str, Counter[str]]:
    """What settle counted as written, but a patient objects to."""
    return {name: Counter({"objected": count, "written": -count}) for name, count in counts.items()}
