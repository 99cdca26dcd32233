"""Maintenance of the warehouse: pinned releases, vacuum (delete unread files), compaction (combine small files).

Owns deletion of data files: a file is deleted when no kept release reads it, and never otherwise. Readers go on
undisturbed: a release that is kept reads the same files before and after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from etl.errors import ReleaseError
from etl.load_config import LoadConfig
from etl.merge.merge_tasks import MergeContext, merge_tables, small_files, table_schemas
from etl.pipeline import locked_warehouse, publish_again
from etl.task_runner import Progress, Runner
from etl.warehouse.data_files import RELEASES
from etl.warehouse.garbage import delete, unread, work_folder
from etl.warehouse.release import Release, latest, open_release, read_pins, release_ids, write_pins
from etl.warehouse.staged_files import Staged

Pins = Callable[[], Mapping[str, str]]
"""Releases that others need, such as those of released extracts, each with the reason."""


def keep(warehouse: Path, release_id: str, reason: str | None) -> dict[str, str]:
    """Pin a release for a reason, or (None) unpin it; returns all pins."""
    open_release(warehouse, release_id)
    pins = read_pins(warehouse)
    if reason:
        pins[release_id] = reason
    else:
        pins.pop(release_id, None)
    write_pins(warehouse, pins)
    return pins


@dataclass(frozen=True)
class Vacuumed:
    """What a vacuum deleted, or (dry run) would."""

    forgotten: tuple[str, ...]
    kept: Mapping[str, str]
    files: int
    bytes: int


def vacuum(config: LoadConfig, last: int, pins: Pins, *, dry_run: bool = False) -> Vacuumed:
    """Delete all releases but the ``last`` ones and those pinned, and the data files that no kept release reads."""
    if last < 1:
        raise ReleaseError("at least the last release is kept: ask for --last 1 or more")
    warehouse = config.zones.warehouse
    with locked_warehouse(config):
        ids = release_ids(warehouse)
        why = {**dict.fromkeys(ids[-last:], f"one of the last {last}"), **read_pins(warehouse), **pins()}
        forgotten = tuple(name for name in ids if name not in why)
        if not dry_run:
            for name in forgotten:
                (warehouse / RELEASES / f"{name}.json").unlink()
        garbage = list(unread(warehouse, [name for name in ids if name in why]))
        size = sum(path.stat().st_size for path in garbage)
        if not dry_run:
            delete(warehouse, garbage)
        return Vacuumed(forgotten, {name: why[name] for name in ids if name in why}, len(garbage), size)


@dataclass(frozen=True)
class Compacted:
    """Files before and after, and the release that reads the new ones."""

    before: int
    after: int
    release: Release


def compact(config: LoadConfig, runner: Runner, progress: Progress | None = None) -> Compacted:
    """Combine the small files of every bucket and publish the same rows as a new release."""
    with locked_warehouse(config):
        base = latest(config.zones.warehouse)
        if base is None:
            raise ReleaseError("no release yet; run `erios etl load PATH` first")
        release = _compacted(config, base, runner, progress)
    before = sum(table.files for table in base.tables.values())
    return Compacted(before, sum(table.files for table in release.tables.values()), release)


def _compacted(config: LoadConfig, base: Release, runner: Runner, progress: Progress | None) -> Release:
    with work_folder(config.zones.warehouse) as folder:
        context = MergeContext(config, base, folder, Staged(), (), {})
        small = {schema.table: small_files(context, schema.table, 2) for schema in table_schemas(config)}
        if not any(small.values()):
            return base
        merge_tables(context, runner, progress, small)
        return publish_again(config, base, context.changes, "compact")
