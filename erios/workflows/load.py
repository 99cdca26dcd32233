"""Loading: settings and keyring in, a published release out.

Owns the composition of the etl and validation wings; the command line and, later, the portal call it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from erios.keys import read_key
from erios.settings import Settings

if TYPE_CHECKING:
    from etl.pipeline import Gate, LoadPlan, LoadReport, Verdict
    from etl.release import Release
    from etl.tasks import Progress
    from validation import ValidationReport


def load_plan(settings: Settings) -> LoadPlan:
    """The plan of a load: views compiled, key named but not read. Raises ViewError, PrivacyError, KeyringError."""
    from etl.pipeline import LoadPlan, Zones
    from etl.tables import load_tables

    key = read_key(settings.keyring)
    return LoadPlan(
        zones=Zones(settings.landing, settings.identity / "quarantine", settings.warehouse),
        tables=load_tables(settings.views_dir),
        read_key=partial(read_key, settings.keyring, key.key_id),
        key_id=key.key_id,
        buckets=settings.load.buckets,
        split_bytes=settings.load.split_mb << 20,
        max_line_bytes=settings.load.max_line_mb << 20,
        task_memory_mb=settings.load.task_memory_mb,
        scratch=settings.spark_local_dir,
    )


def load_export(paths: Sequence[Path], settings: Settings, progress: Progress | None = None) -> LoadReport:
    """Load FHIR files or folders, validate them and publish a release."""
    from erios.workflows.session import spark_session
    from etl.pipeline import load
    from etl.tasks import SparkRunner

    settings.make_zones()
    plan = load_plan(settings)
    start_validation()
    with spark_session(settings) as spark:
        return load(paths, plan, SparkRunner(spark), gate(settings), progress)


def start_validation() -> None:
    """Import Great Expectations, which takes seconds, while Spark starts and reads."""
    from threading import Thread

    from validation import prepare

    Thread(target=prepare, daemon=True).start()


def gate(settings: Settings) -> Gate:
    """The validation wing as the pipeline's gate; Data Docs go to the warehouse zone, one folder a batch."""
    return partial(_check, settings)


def _check(
    settings: Settings, tables: Mapping[str, Sequence[str]], fresh: Mapping[str, Sequence[str]], batch: str
) -> Verdict:
    from etl.pipeline import Verdict

    report = validate_files(settings, tables, settings.warehouse / "validation" / batch, fresh)
    return Verdict(
        report.blocked,
        tuple(failures(report, "block")),
        report.to_dict(),
        warnings=tuple(failures(report, "warn")),
        docs=str(report.docs_index),
    )


def validate_files(
    settings: Settings,
    tables: Mapping[str, Sequence[str]],
    docs: Path,
    fresh: Mapping[str, Sequence[str]] | None = None,
) -> ValidationReport:
    """Run the suites over the tables' files, or over those ``fresh`` only; Data Docs go below ``docs``.

    Relations are looked up in the whole tables either way.
    """
    from validation import StagedTable, check_tables

    staged = {
        name: StagedTable(name, tuple(files), None if fresh is None else tuple(fresh.get(name, ())))
        for name, files in tables.items()
    }
    return check_tables(staged, settings.suites_dir, docs)


def failures(report: ValidationReport, severity: str) -> list[str]:
    """One sentence a failed expectation of that severity, with keys to look at."""
    return [
        f"{result.table}: {result.sentence}" + (f" (keys {', '.join(result.keys[:3])})" if result.keys else "")
        for result in report.results
        if not result.success and result.severity == severity
    ]


def validate_release(settings: Settings, release_id: str | None) -> tuple[Release, ValidationReport]:
    """Run the suites again on a release."""
    from etl.release import open_release

    release = open_release(settings.warehouse, release_id)
    tables = {name: release.files(name) for name in release.names()}
    return release, validate_files(settings, tables, settings.warehouse / "validation" / release.id)


def replay_quarantine(settings: Settings, batch: str | None, progress: Progress | None = None) -> LoadReport | None:
    """Load again, as a new batch, what waits in quarantine; None when nothing waits."""
    from tempfile import TemporaryDirectory

    from etl.quarantine import collect_for_replay, mark_replayed, refused

    quarantine = settings.identity / "quarantine"
    waiting = {row.batch for row in refused(quarantine, batch)}
    if not waiting:
        return None
    with TemporaryDirectory(dir=settings.identity) as folder:
        path = Path(folder) / "replayed.ndjson"
        collect_for_replay(quarantine, settings.landing, path, batch)
        report = load_export([path], settings, progress)
    mark_replayed(quarantine, waiting - {report.batch}, report.batch)
    return report
