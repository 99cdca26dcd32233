"""Building an extract, and assessing its risk.

Owns the order between files and record: files are whole before the record says that they are.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from erios.accounts.models import User
from erios.checkout import PROJECT
from erios.errors import EriosError
from erios.extracts.build import build
from erios.extracts.build_plan import BuildPlan
from erios.extracts.counts import load_parameters
from erios.extracts.dictionary import Context, write_dictionary
from erios.extracts.generalisation.columns import Terms
from erios.extracts.generalisation.dates import MOVED
from erios.extracts.manifest import Manifest, list_files, public_key, root_of, write_manifest
from erios.extracts.overlaps import Cohorts
from erios.extracts.risk import assess as assess_risk
from erios.extracts.risk import load_knowledge
from erios.extracts.specification import Specification, dump_specification, extract_tables
from erios.governance.extract import WORKFLOW, Action, State
from erios.keys import study_key
from erios.settings import Settings, load_settings, make_folder
from erios.studies.extract_actions import assess as record_assessment
from erios.studies.extract_actions import fail_build, finish_build, start_build
from erios.studies.extract_selectors import (
    earlier_cohorts,
    extract_facts,
    specification_of,
    workshop_of,
)
from erios.studies.models import Extract
from erios.translation import SOURCE
from erios.version import code_version
from erios.view_texts import view_texts
from erios.workflows.extract_files import draft_folder, locked, publish_draft
from erios.workflows.extract_linkage import attack_by_linkage, linkages_of_remedy
from erios.workflows.extract_objections import check_objections
from erios.workflows.extract_remedies import Trial, find_remedies
from erios.workflows.spark_session import spark_session
from etl.errors import EtlError
from etl.task_runner import Progress, Runner, SparkRunner
from etl.warehouse.release import Release, open_release

RISK_SEED = 20_240


def build_extract(extract: Extract, by: User, progress: Progress | None = None) -> Extract:
    """Build an extract of the latest release, and assess it; its files lie in the warehouse zone until released.

    Raises RuleBroken, BusyError while somebody else builds it, InputError when the release does not follow the
    objection register of today; whatever stops the build is on record, and it may be begun again.
    """
    settings = load_settings()
    folder = workshop_of(extract.number, settings)
    with locked(folder):
        if extract.state == State.BUILT:
            return _assess_again(extract, by, settings)
        extract = start_build(extract=extract, by=by)
        try:
            return _build_and_assess(extract, by, folder, settings, progress)
        except BaseException as error:
            shutil.rmtree(draft_folder(folder), ignore_errors=True)
            fail_build(extract=extract, by=by, problem=_sentence(error))
            raise


def _assess_again(extract: Extract, by: User, settings: Settings) -> Extract:
    """Go on with an extract that was built, but whose assessment was cut short."""
    WORKFLOW.check(replace(extract_facts(extract), state=State.SPECIFIED), Action.BUILD, by.person)
    return _assess(extract, settings)


def _sentence(error: BaseException) -> str:
    """What may be kept of a failure: our own sentences, else the class alone."""
    return str(error) if isinstance(error, EriosError | EtlError) else type(error).__name__


def _build_and_assess(
    extract: Extract, by: User, folder: Path, settings: Settings, progress: Progress | None
) -> Extract:
    release = open_release(settings.warehouse)
    check_objections(release, settings)
    specification = specification_of(extract)
    draft = draft_folder(folder)
    shutil.rmtree(draft, ignore_errors=True)
    make_folder(draft, 0o700)
    with spark_session(settings) as spark:
        facts = _build(extract, specification, release, draft, settings, SparkRunner(spark), progress)
    publish_draft(draft, folder)
    extract = finish_build(extract=extract, by=by, release=release.id, key_id=release.key_id, **facts)
    return _assess(extract, settings)


def _assess(extract: Extract, settings: Settings) -> Extract:
    specification = specification_of(extract)
    release = open_release(settings.warehouse, extract.release)
    report = _assess_risk(extract, specification, release, settings)
    overlaps = find_overlaps(extract, specification, release, settings)
    linkage = attack_by_linkage(extract, specification, release, settings)
    return record_assessment(extract=extract, report=report, overlaps=overlaps, linkage=linkage)


def _build(
    extract: Extract,
    specification: Specification,
    release: Release,
    draft: Path,
    settings: Settings,
    runner: Runner,
    progress: Progress | None,
) -> dict[str, Any]:
    """Data, dictionary and signed manifest in ``draft``; answers what the record keeps of it."""
    tables, threshold = extract_tables(settings.views_dir), load_parameters().threshold
    memory = settings.load.task_memory_mb
    key = partial(study_key, settings.keyring, extract.study.number, release.key_id)
    terms = Terms(specification.dates, datetime.fromisoformat(release.created).year, specification.clock)
    done = build(BuildPlan(draft, specification, tables, terms, threshold, memory, key), release, runner, progress)
    context = _context(extract, release, settings)
    rows = write_dictionary(draft, specification, tables, context, runner, threshold=threshold, memory_mb=memory)
    manifest = _manifest(extract, specification, release, draft, rows)
    write_manifest(draft, manifest, settings.keyring)
    public = public_key(settings.keyring, release.key_id)
    return {"root": manifest.root, "public_key": public, "patients": done.patients, "rows": done.rows}


def _context(extract: Extract, release: Release, settings: Settings) -> Any:
    title = str(extract.proposal.content.get("title", extract.study.number))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    texts = view_texts(settings.views_dir, SOURCE)
    return Context(extract.number, extract.study.number, title, release.id, settings.portal.hospital, now, texts)


def _manifest(
    extract: Extract, specification: Specification, release: Release, draft: Path, rows: dict[str, int]
) -> Any:
    files = list_files(draft, rows)
    return Manifest(
        extract=extract.number,
        study=extract.study.number,
        proposal=extract.proposal.version,
        release=release.id,
        specification=dump_specification(specification),
        policy={
            name: digest for name, digest in release.views.items() if name in {t.name for t in specification.tables}
        },
        key_id=release.key_id,
        code=code_version(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        files=files,
        root=root_of(files),
    )


def _assess_risk(
    extract: Extract, specification: Specification, release: Release, settings: Settings
) -> dict[str, Any]:
    """The risk report with its remedies; its journalist knows of somebody only that the hospital, as the release has
    it, treated them."""
    folder, knowledge = workshop_of(extract.number, settings), load_knowledge(PROJECT / "conf" / "risk.toml")
    report = assess_risk(
        folder / "data",
        {table.name: table.names() for table in specification.tables},
        knowledge,
        threshold=load_parameters().threshold,
        seed=RISK_SEED,
        memory_mb=settings.load.task_memory_mb,
        population=max(1, release.tables["patient"].rows),
        dates_known=specification.dates not in MOVED,
    )
    draft = draft_folder(folder)
    make_folder(draft, 0o700)
    key = partial(study_key, settings.keyring, extract.study.number, release.key_id)
    try:
        link = partial(linkages_of_remedy, extract, release, settings)
        trial = Trial(report, specification, release, draft, knowledge, key, settings, RISK_SEED, link)
        report = replace(report, remedies=find_remedies(trial))
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return dict(json.loads(report.to_json()))


def find_overlaps(
    extract: Extract, specification: Specification, release: Release, settings: Settings
) -> list[dict[str, Any]]:
    """How this cohort crosses those of earlier extracts of the study and its people, and what counts have told.

    A line: what it is crossed with, and whether fewer patients than the threshold are in the one and not the other.
    """
    threshold = load_parameters().threshold
    with Cohorts(release, settings.load.task_memory_mb) as cohorts:
        return [
            {"with": name, "kind": kind, **cohorts.cross(specification.cohort, other, threshold)}
            for name, kind, other in earlier_cohorts(extract)
        ]
