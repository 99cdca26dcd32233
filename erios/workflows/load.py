"""Loading: settings and keyring in, a published release out.

Owns the composition of the etl and validation wings; the command line and, later, the portal call it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from erios.audit import append
from erios.errors import UsageError
from erios.keys import read_key
from erios.objections import current_objectors
from erios.reidentification import segments_folder
from erios.settings import Settings
from erios.vault import sealing_key
from erios.workflows.spark_session import spark_session
from erios.workflows.stale_extracts import follow_objections
from etl.dicom.confidentiality_profile import read_profile
from etl.dicom.series import DicomRules
from etl.ingest.quarantine import collect_for_replay, mark_replayed, refused, refused_series
from etl.load_config import Gate, LoadConfig, Verdict, Zones
from etl.pipeline import LoadReport, load, rebuild, refresh
from etl.tables import WarehouseTable, load_tables
from etl.task_runner import Progress, Runner, SparkRunner
from etl.terminology.vocabulary import Vocabulary, read_vocabulary
from etl.warehouse.image_files import TABLE
from etl.warehouse.release import Release, open_release
from validation import Severity, StagedTable, ValidationReport, check_tables, prepare


def load_config(settings: Settings) -> LoadConfig:
    """The load's parameters; the key is named, not read. Raises ViewError, PrivacyError, KeyringError."""
    key = read_key(settings.keyring)
    dicom = dicom_rules(settings)
    return LoadConfig(
        zones=Zones(settings.landing, settings.identity / "quarantine", settings.warehouse),
        tables=_with_profile(load_tables(settings.views_dir), dicom),
        read_key=partial(read_key, settings.keyring, key.key_id),
        key_id=key.key_id,
        buckets=settings.load.buckets,
        chunk_bytes=settings.load.chunk_mb << 20,
        max_line_bytes=settings.load.max_line_mb << 20,
        task_memory_mb=settings.load.task_memory_mb,
        scratch=settings.spark_local_dir,
        file_rows=settings.load.file_rows,
        reidentification_folder=segments_folder(settings),
        read_sealing_key=partial(sealing_key, settings.keyring, key.key_id),
        read_objectors=partial(current_objectors, settings),
        dicom=dicom,
        most_unpacked=settings.load.max_unpacked_mb << 20,
        local_codes=settings.local_codes,
        vocabulary=vocabulary(settings),
    )


def vocabulary(settings: Settings) -> Vocabulary:
    """The code lists and forms in force; PrivacyError or InputError names the file that is wrong."""
    folder = settings.terminology_dir
    return read_vocabulary(folder / "code_systems.toml", folder, settings.code_lists)


def dicom_rules(settings: Settings) -> DicomRules:
    """How DICOM series are read; PrivacyError when the profile keeps what the standard removes."""
    images = settings.images
    return DicomRules(read_profile(images.profile), images.patient_system, tuple(sorted(images.issuers.items())))


def _with_profile(tables: Sequence[WarehouseTable], dicom: DicomRules) -> tuple[WarehouseTable, ...]:
    """The tables, with what decides on images in the digest of theirs: another profile asks for a rebuild."""
    rules = f"{dicom.profile.digest} {dicom.patient_system} {dicom.issuers}"
    return tuple(
        replace(table, digest=sha256(f"{table.digest} {rules}".encode()).hexdigest()[:16])
        if table.name == TABLE
        else table
        for table in tables
    )


def load_export(paths: Sequence[Path], settings: Settings, progress: Progress | None = None) -> LoadReport:
    """Load FHIR and DICOM (files, folders, zips), validate them and publish a release."""
    return _run(settings, "load", lambda config, runner, check: load(paths, config, runner, check, progress))


def refresh_release(settings: Settings, progress: Progress | None = None) -> LoadReport:
    """Publish a release that follows the objection register of today, without a new export."""
    return _run(settings, "refresh", lambda config, runner, check: refresh(config, runner, check, progress))


def rebuild_release(settings: Settings, tables: Sequence[str] = (), progress: Progress | None = None) -> LoadReport:
    """Compute the tables (all, or those named) anew from the landing zone, validate them and publish a release."""
    return _run(settings, "rebuild", lambda config, runner, check: rebuild(config, runner, check, tables, progress))


def delete_resources(names: Sequence[str], settings: Settings, progress: Progress | None = None) -> LoadReport:
    """Delete resources by ``Type/id``: a batch of deletions, landed and accounted for like any other."""
    wrong = [number for number, name in enumerate(names, 1) if not _RESOURCE.fullmatch(name)]
    if wrong:
        raise UsageError(f"argument {wrong[0]} is no resource: write TYPE/ID, such as Observation/42")
    entries = [{"request": {"method": "DELETE", "url": name}} for name in names]
    settings.make_zones()
    with TemporaryDirectory(dir=settings.identity) as folder:
        path = Path(folder) / "deletions.ndjson"
        path.write_text(json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}) + "\n")
        return load_export([path], settings, progress)


_RESOURCE = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}")


def _run(settings: Settings, action: str, act: Callable[[LoadConfig, Runner, Gate], LoadReport]) -> LoadReport:
    """Do it with the parameters of a load, a task runner and the gate, and put it on record; Great Expectations is
    imported in the background."""
    settings.make_zones()
    config = load_config(settings)
    start_validation()
    with spark_session(settings) as spark:
        runner = SparkRunner(spark)
        runner.warm(config.carried)
        report = act(config, runner, gate(settings))
    details = {"release": report.release, "new": report.new_release, **report.to_dict()["totals"]}
    append(settings, f"warehouse.{action}", object=report.batch, details=details)
    follow_objections(settings)
    return report


def start_validation() -> None:
    """Import Great Expectations, which takes seconds, while Spark starts and reads."""
    Thread(target=prepare, daemon=True).start()


def gate(settings: Settings) -> Gate:
    """The validation wing as the pipeline's gate; Data Docs go to the warehouse zone, one folder a batch."""
    return partial(_check, settings)


def _check(
    settings: Settings, tables: Mapping[str, Sequence[str]], fresh: Mapping[str, Sequence[str]], batch: str
) -> Verdict:
    report = validate_files(settings, tables, settings.warehouse / "validation" / batch, fresh)
    if report.blocked:
        _audit_validation(settings, "refuse", batch, report)
    return Verdict(
        report.blocked,
        report.sentences(Severity.BLOCK),
        report.to_dict(),
        warnings=report.sentences(Severity.WARN),
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
    staged = {
        name: StagedTable(name, tuple(files), None if fresh is None else tuple(fresh.get(name, ())))
        for name, files in tables.items()
    }
    return check_tables(staged, settings.suites_dir, docs)


def validate_release(settings: Settings, release_id: str | None) -> tuple[Release, ValidationReport]:
    """Run the suites again on a release."""
    release = open_release(settings.warehouse, release_id)
    tables = {name: release.files(name) for name in release.names()}
    report = validate_files(settings, tables, settings.warehouse / "validation" / release.id)
    _audit_validation(settings, "validate", release.id, report)
    return release, report


def _audit_validation(settings: Settings, action: str, subject: str, report: ValidationReport) -> None:
    """That the suites read these tables, and how many expectations failed."""
    details = {"expectations": len(report.results), **report.to_dict()["failed"]}
    append(settings, f"warehouse.{action}", object=subject, details=details)


def replay_quarantine(settings: Settings, batch: str | None, progress: Progress | None = None) -> LoadReport | None:
    """Load again, as a new batch, what waits in quarantine; None when nothing waits."""
    quarantine = settings.identity / "quarantine"
    waiting = {row.batch for row in refused(quarantine, batch)}
    if not waiting:
        return None
    with TemporaryDirectory(dir=settings.identity) as folder:
        path = Path(folder) / "replayed.ndjson"
        lines = collect_for_replay(quarantine, settings.landing, path, batch)
        series = refused_series(quarantine, settings.landing, batch)
        report = load_export([*([path] if lines else []), *series], settings, progress)
    mark_replayed(quarantine, waiting - {report.batch}, report.batch)
    return report
