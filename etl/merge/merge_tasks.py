"""Planning of version resolution and of the merge: the Spark tasks of both, sized and grouped.

Owns finding the files that a change touches, by the key ranges in their names, and the size of a task. It must never
see clear text: it moves counts and file names.
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

from etl.load_config import LoadConfig
from etl.merge.patient_identity import MOVED_COLUMNS, IdentitySources
from etl.merge.table_merge import MergeTask, TableSchema, merge_all
from etl.merge.versions import REPLACED_COLUMNS, ResolveTask, list_sql
from etl.tables import WarehouseTable
from etl.task_runner import Progress, Runner
from etl.warehouse.changes import TableChanges
from etl.warehouse.columns import IDENTIFIER, IDENTITY, INTERNAL, LEDGER, LINK
from etl.warehouse.data_files import TABLES, DataFile, new_path, stamp
from etl.warehouse.release import Release
from etl.warehouse.staged_files import REFERRED, Staged

ROWS_PER_TASK = 150_000
MOST_ROWS = 160_000
"""Rows of a merge task in memory at a time, about."""
COPIED_PER_WRITTEN = 3
"""Cost model: copying this many rows takes the time of sorting and writing one."""
RESOLVED_PER_WRITTEN = 2
"""Cost model: resolving this many rows takes the time of writing one."""
SEARCHED_PER_RESOLVED = 8
"""Cost model: searching this many rows of the ledger takes the time of resolving one."""
SMALL = 8
"""A file is small below ``file_rows / SMALL`` rows."""
ROWS_OF_A_TASK = 12_000
"""Fixed cost of a merge task, in rows."""


@dataclass(frozen=True)
class MergeContext:
    """The state of one update: the last release, what is staged, and the changes found so far."""

    config: LoadConfig
    base: Release | None
    folder: Path
    staged: Staged
    objectors: Sequence[tuple[str, bool]]
    changes: dict[str, TableChanges]
    only: frozenset[str] = frozenset()
    """Tables to merge; none named, all."""

    @property
    def lists(self) -> Path:
        return self.folder / "lists"

    @cached_property
    def affected_files(self) -> AffectedFiles:
        """Which files are affected; readable once versions and identities are resolved."""
        return AffectedFiles.read(self.lists)

    def current(self, table: str) -> list[DataFile]:
        """The table's files in the last release."""
        return self.base.data_files(table) if self.base and table in self.base.tables else []

    def paths(self, table: str) -> tuple[str, ...]:
        """Absolute paths of ``current``."""
        return tuple(self.base.files(table)) if self.base and table in self.base.tables else ()


def resolve_tasks(context: MergeContext) -> list[ResolveTask]:
    staged = tuple(context.staged.of(LEDGER))
    if not staged:
        return []
    ledger, identity = context.current(LEDGER), context.paths(IDENTITY)
    rows = context.staged.rows(LEDGER) + sum(file.rows for file in ledger) // SEARCHED_PER_RESOLVED
    root = context.config.zones.warehouse / TABLES / LEDGER
    context.lists.mkdir(exist_ok=True)
    return [
        ResolveTask(
            first=first,
            last=last,
            staged=staged,
            ledger=tuple(str(root / file.path) for file in ledger if first <= file.bucket <= last),
            identity=identity,
            lists=context.lists,
            memory_mb=context.config.task_memory_mb,
            scratch=context.config.scratch,
        )
        for first, last in _ranges(context.config.buckets, rows // RESOLVED_PER_WRITTEN)
    ]


def _ranges(buckets: int, rows: int) -> list[tuple[int, int]]:
    """Ranges of buckets of about ``ROWS_PER_TASK`` rows each."""
    count = min(buckets, 1 << max(0, (rows // ROWS_PER_TASK)).bit_length())
    width = buckets // count
    return [(first, first + width - 1) for first in range(0, buckets, width)]


def identity_sources(context: MergeContext) -> IdentitySources:
    return IdentitySources(
        identity=context.paths(IDENTITY),
        links=context.paths(LINK),
        identifiers=context.paths(IDENTIFIER),
        staged_links=context.staged.of(LINK),
        staged_identifiers=context.staged.of(IDENTIFIER),
        staged_referred=[path for name, path, rows in context.staged.files if rows and name.startswith(f"{REFERRED}/")],
        objectors=context.objectors,
        lists=context.lists,
    )


def new_identity_table(context: MergeContext) -> TableChanges:
    """The changes of the identity table, which is small and replaced as a whole."""
    folder = context.config.zones.warehouse / TABLES / IDENTITY
    draft = new_path(0, "0" * 8, "f" * 8)
    (folder / draft).parent.mkdir(parents=True, exist_ok=True)
    source = context.lists / "identity" / "all.parquet"
    shutil.copyfile(source, folder / draft)
    path = stamp(folder, draft)
    file = DataFile(path, 0, source.stat().st_size, pq.read_metadata(source).num_rows)
    return TableChanges(IDENTITY, added=[file], removed=context.current(IDENTITY))


def merge_groups(
    context: MergeContext, parallelism: int, compacted: Mapping[str, Sequence[DataFile]] | None = None
) -> list[tuple[MergeTask, ...]]:
    """Tasks of about equal work; small ones share a Spark task, because a task has a fixed cost.

    With ``compacted`` (table → small files to combine) nothing else is written.
    """
    tasks = list(_compaction_tasks(context, compacted) if compacted is not None else _merge_tasks(context))
    if not tasks:
        return []
    whole = sum(rows + ROWS_OF_A_TASK for rows, _ in tasks)
    rounds = -(-whole // (ROWS_PER_TASK * parallelism))
    groups: list[tuple[int, list[MergeTask]]] = [(0, []) for _ in range(min(len(tasks), rounds * parallelism))]
    for rows, task in sorted(tasks, key=lambda pair: -pair[0]):
        lightest = min(range(len(groups)), key=lambda place: groups[place][0])
        weight, others = groups[lightest]
        groups[lightest] = weight + rows + ROWS_OF_A_TASK, [*others, task]
    return [tuple(group) for _, group in sorted(groups, key=lambda group: -group[0])]


def table_schemas(config: LoadConfig) -> list[TableSchema]:
    """Every table that is merged, warehouse tables first."""
    return [
        *map(_schema, config.tables),
        *(TableSchema(name, "", INTERNAL[name], "resource_key") for name in _MERGED_INTERNAL),
    ]


_MERGED_INTERNAL = (IDENTIFIER, LINK, LEDGER)


def _schema(table: WarehouseTable) -> TableSchema:
    single = tuple(c.name for c in table.references if not c.collection)
    many = tuple(c.name for c in table.references if c.collection)
    return TableSchema(table.name, table.view.resource, table.column_types(), table.key, single, many)


def _merge_tasks(context: MergeContext) -> Iterator[tuple[int, MergeTask]]:
    """(cost in rows, task) for every range of buckets of every table that changes."""
    affected_files = context.affected_files
    for schema in (
        schema for schema in table_schemas(context.config) if not context.only or schema.table in context.only
    ):
        affected = affected_files.affected(context, schema)
        if context.staged.rows(schema.table) or affected:
            rewritten = {file.path for file in affected} if schema.table != LEDGER else set()
            small = [
                file
                for file in small_files(context, schema.table, context.config.compaction_threshold)
                if file.path not in rewritten
            ]
            yield from _ranges_of(context, schema, affected, small)


def _compaction_tasks(
    context: MergeContext, compacted: Mapping[str, Sequence[DataFile]]
) -> Iterator[tuple[int, MergeTask]]:
    for schema in table_schemas(context.config):
        if files := compacted.get(schema.table):
            yield from ((rows, replace(task, compact=True)) for rows, task in _ranges_of(context, schema, (), files))


def small_files(context: MergeContext, table: str, many: int) -> list[DataFile]:
    """The table's small files, of buckets that have at least ``many`` of them."""
    small = [file for file in context.current(table) if file.rows < context.config.file_rows // SMALL]
    buckets = Counter(file.bucket for file in small)
    return [file for file in small if buckets[file.bucket] >= many]


@dataclass(frozen=True)
class AffectedFiles:
    """Which files hold rows that are removed or move to another patient.

    Arrays of cluster-key prefixes, as sorted numbers: ``replaced`` by resource type ("" for all), ``moved`` and
    ``merged`` (patients). ``logical``: a business identifier means another resource than before; ``excluded``: a
    patient objects.
    """

    replaced: Mapping[str, np.ndarray]
    moved: np.ndarray
    merged: np.ndarray
    logical: bool
    excluded: bool

    @property
    def moves(self) -> bool:
        """May any row move? If not, an affected file only loses rows."""
        return self.logical or len(self.moved) > 0

    @classmethod
    def read(cls, lists: Path) -> AffectedFiles:
        """Read the lists that version and identity resolution wrote."""
        with duckdb.connect() as sql:
            sql.execute(f"CREATE VIEW replaced AS {list_sql(lists, 'replaced', REPLACED_COLUMNS)}")
            sql.execute(f"CREATE VIEW moved AS {list_sql(lists, 'moved', MOVED_COLUMNS)}")
            types = [row[0] for row in sql.execute("SELECT DISTINCT resource_type FROM replaced").fetchall()]
            replaced = {name: _prefixes(sql, "cluster", f"replaced WHERE resource_type = '{name}'") for name in types}
            replaced[""] = _prefixes(sql, "resource_key", "replaced")
            flags = "SELECT coalesce(bool_or(logical), false), coalesce(bool_or(excluded), false) FROM moved"
            logical, excluded = sql.execute(flags).fetchall()[0]
            moved, merged = _prefixes(sql, "cluster", "moved"), _prefixes(sql, "alias", "moved WHERE replaced")
            return cls(replaced, moved, merged, bool(logical), bool(excluded))

    def affected(self, context: MergeContext, schema: TableSchema) -> list[DataFile]:
        """The table's files that hold, or may hold, a row that is removed or moves."""
        current = context.current(schema.table)
        if schema.table == LEDGER:
            return current if self.excluded else [file for file in current if _holds(file, self.merged)]
        if schema.resource and self.logical:
            return current
        prefixes = [self.replaced.get(schema.resource, _NO_PREFIX), self.moved if schema.resource else _NO_PREFIX]
        return [file for file in current if any(_holds(file, each) for each in prefixes)]


_NO_PREFIX = np.zeros(0, np.uint32)


def _prefixes(sql: duckdb.DuckDBPyConnection, column: str, rows: str) -> np.ndarray:
    query = f"SELECT DISTINCT ('0x' || left({column}, 8))::UINTEGER AS prefix FROM {rows} ORDER BY 1"
    return np.asarray(sql.execute(query).fetchnumpy()["prefix"])


def _holds(file: DataFile, prefixes: np.ndarray) -> bool:
    first, last = (int(end, 16) for end in file.range)
    nearest = int(np.searchsorted(prefixes, first))
    return nearest < len(prefixes) and int(prefixes[nearest]) <= last


def _ranges_of(
    context: MergeContext, schema: TableSchema, affected: Sequence[DataFile], small: Sequence[DataFile]
) -> Iterator[tuple[int, MergeTask]]:
    config = context.config
    present = sum(file.rows for file in affected)
    written = (
        context.staged.rows(schema.table)
        + sum(file.rows for file in small)
        + (present if context.affected_files.moves else 0)
    )
    rows = written + present // COPIED_PER_WRITTEN
    ranges = _ranges(config.buckets, rows)
    for first, last in ranges:
        task = MergeTask(
            **vars(schema),
            folder=config.zones.warehouse / TABLES / schema.table,
            first=first,
            last=last,
            buckets=config.buckets,
            staged=tuple(context.staged.of(schema.table)),
            affected=tuple(affected),
            small=tuple(file for file in small if first <= file.bucket <= last),
            lists=context.lists,
            file_rows=config.file_rows,
            parts=max(1, -(-written // (len(ranges) * MOST_ROWS))),
            generation=_generation(context.base),
            memory_mb=config.task_memory_mb,
            scratch=config.scratch,
        )
        yield rows // len(ranges), task


def _generation(base: Release | None) -> int:
    """The number of the release to be."""
    return int(base.id[1:]) + 1 if base else 1


def merge_tables(
    context: MergeContext,
    runner: Runner,
    progress: Progress | None,
    compacted: Mapping[str, Sequence[DataFile]] | None = None,
) -> list[Mapping[str, Counter[str]]]:
    """Fill ``context.changes`` with the changed files, invisible until the commit; returns objected outcomes."""
    parts = [
        part
        for group in runner.run("write", merge_all, merge_groups(context, runner.parallelism, compacted), progress)
        for part in group
    ]
    for part in parts:
        whole = context.changes.setdefault(part.table, TableChanges(part.table))
        whole.added += part.added
        whole.rewritten += part.rewritten
        whole.removed += part.removed
    return [_objected(part.objected) for part in parts if part.objected]


def _objected(counts: Counter[str]) -> dict[str, Counter[str]]:
    """Corrects the outcome of versions that were counted as written before the objection was known."""
    return {name: Counter({"objected": count, "written": -count}) for name, count in counts.items()}
