"""Upkeep of the warehouse: which releases are kept, what is deleted from disk, small files put together.

Owns deletion of data files: a file is deleted when no kept release reads it, and never otherwise. Readers go on
undisturbed: a release that is kept reads the same files before and after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from etl.errors import ReleaseError
from etl.load_config import LoadPlan
from etl.merge.planning import Work, folded, forms, small_files
from etl.pipeline import held, publish_again
from etl.tasks import Progress, Runner
from etl.warehouse.data_files import RELEASES
from etl.warehouse.garbage import delete, unread, work_folder
from etl.warehouse.release import Release, latest, open_release, read_pins, release_ids, write_pins
from etl.warehouse.staged import Staged

Pins = Callable[[], Mapping[str, str]]
"""Releases that others need, such as released extracts, each with the reason."""


def keep(warehouse: Path, release_id: str, reason: str | None) -> dict[str, str]:
    """Keep a release whatever its age, or (no reason) let it age again; answers all that are kept so."""
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
    """What a vacuum forgot and deleted, or would."""

    forgotten: tuple[str, ...]
    kept: Mapping[str, str]
    files: int
    bytes: int


def vacuum(plan: LoadPlan, last: int, pins: Pins, *, dry_run: bool = False) -> Vacuumed:
    """Forget all releases but the ``last`` ones and those pinned, and delete the files that nobody reads any more."""
    if last < 1:
        raise ReleaseError("at least the last release is kept: ask for --last 1 or more")
    warehouse = plan.zones.warehouse
    with held(plan):
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


def compact(plan: LoadPlan, runner: Runner, progress: Progress | None = None) -> Compacted:
    """Put the small files of every bucket together and publish the same rows as a new release."""
    with held(plan):
        base = latest(plan.zones.warehouse)
        if base is None:
            raise ReleaseError("no release yet; run `erios etl load PATH` first")
        release = _compacted(plan, base, runner, progress)
    before = sum(table.files for table in base.tables.values())
    return Compacted(before, sum(table.files for table in release.tables.values()), release)


def _compacted(plan: LoadPlan, base: Release, runner: Runner, progress: Progress | None) -> Release:
    with work_folder(plan.zones.warehouse) as folder:
        work = Work(plan, base, folder, Staged(), (), {})
        small = {form.table: small_files(work, form.table, 2) for form in forms(plan)}
        if not any(small.values()):
            return base
        folded(work, runner, progress, small)
        return publish_again(plan, base, work.changes, "compact")
