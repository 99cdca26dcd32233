"""Upkeep of the warehouse: which releases are kept, erasure of a patient; each step in the audit chain.

Owns what the etl wing cannot know: who asked, which releases extracts pin, and the other places that know a patient.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from erios.audit import append
from erios.errors import InternalError
from erios.objections import Objection, add, parse_reference
from erios.reidentification import forget, segments_folder
from erios.settings import Settings, make_folder
from erios.workflows.database import open_database
from erios.workflows.load import load_config
from erios.workflows.spark_session import spark_session
from etl.erasure import Erasure, erase
from etl.maintenance import Compacted, Vacuumed, compact, keep, vacuum
from etl.sealing import write_private
from etl.task_runner import SparkRunner
from etl.warehouse.release import latest


def pinned_releases(settings: Settings) -> dict[str, str]:
    """Releases that a living extract was built from, each with one of them."""
    open_database()
    from erios.studies.extract_selectors import pinned_by_extracts  # Django's models, once it is set up

    return pinned_by_extracts()


def keep_release(settings: Settings, release: str, reason: str | None) -> dict[str, str]:
    """Keep a release whatever its age; without a reason, let it age again."""
    kept = keep(settings.warehouse, release, reason)
    append(settings, "warehouse.keep" if reason else "warehouse.unkeep", object=release, reason=reason or "")
    return kept


def vacuum_warehouse(settings: Settings, last: int, *, dry_run: bool) -> Vacuumed:
    """Forget old releases and delete what nobody reads any more."""
    done = vacuum(load_config(settings), last, partial(pinned_releases, settings), dry_run=dry_run)
    if not dry_run:
        details = {"forgotten": list(done.forgotten), "files": done.files, "bytes": done.bytes}
        append(settings, "warehouse.vacuum", details=details)
    return done


def compact_warehouse(settings: Settings) -> Compacted:
    """Put small files together."""
    with spark_session(settings) as spark:
        done = compact(load_config(settings), SparkRunner(spark))
    append(settings, "warehouse.compact", object=done.release.id, details={"before": done.before, "after": done.after})
    return done


def erase_patient(settings: Settings, patients: Sequence[str], reason: str, *, landing: bool) -> tuple[Erasure, Path]:
    """Erase one patient, known by one or more references; answers what was done and where its report is.

    The patient is entered in the objection register first, so that no later export brings the rows back. Raises
    InternalError when the scan still finds a pseudonym.
    """
    references = [parse_reference(patient) for patient in patients]
    config = load_config(settings)
    change = add(settings, [Objection(reference, f"erasure: {reason}") for reference in references])
    candidates = [settings.studies, settings.tracking, segments_folder(settings), settings.identity / "quarantine"]
    forget(settings, change.patient_keys)
    reports: list[Path] = []

    def record(erasure: Erasure) -> None:
        reports.append(_write_report(settings, erasure, reason, landing=landing))
        details = {"landing": landing, "rows": erasure.rows, "releases": erasure.releases, "report": reports[0].name}
        append(settings, "warehouse.erase", object=change.patient_keys[0], reason=reason, details=details)

    folders = [folder for folder in candidates if folder.exists()]
    erasure = erase(config, references, folders, landing=landing, done=record)
    _forget_in_ledger(settings)
    if erasure.after is None or erasure.after.occurrences:
        raise InternalError(f"the scan after the erasure still finds the patient: see {reports[0]}")
    return erasure, reports[0]


def _forget_in_ledger(settings: Settings) -> None:
    """Take whoever is in no release any more out of the disclosure ledger's roster."""
    open_database()
    from erios.extracts.counts import open_counter
    from erios.studies.ledger import forget_absent  # Django's models, once it is set up

    forget_absent(open_counter(settings) if latest(settings.warehouse) else None)


def _write_report(settings: Settings, erasure: Erasure, reason: str, *, landing: bool) -> Path:
    """What was erased and what the scans found, in the identity zone; no pseudonym is in it."""
    now = datetime.now(UTC)
    folder = settings.identity / "erasures"
    make_folder(folder, 0o700)
    path = folder / f"{now:%Y%m%dT%H%M%S%f}.json"
    content = {"time": now.isoformat(timespec="seconds"), "reason": reason, "landing": landing, **erasure.to_dict()}
    write_private(path, json.dumps(content, indent=1, ensure_ascii=False).encode())
    return path
