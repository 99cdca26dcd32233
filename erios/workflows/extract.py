"""Extracts as work on files: build and assess, release to the study, destroy; and the door through which runs read.

Owns the order between files and record: files are made whole before the record says that they are, and gone before it
says that. Whoever is killed in between leaves a state from which the same command goes on.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erios.errors import BusyError, EriosError, InputError, StorageError, UsageError
from erios.keys import derive_key
from erios.settings import PROJECT, Settings, load_settings, make_folder

if TYPE_CHECKING:
    from erios.accounts.models import User
    from erios.extracts.opening import OpenedExtract
    from erios.extracts.specification import Specification
    from erios.studies.models import Extract
    from etl.privacy import PseudonymKey
    from etl.release import Release
    from etl.tasks import Progress, Runner

_FILES = (
    "manifest.json",
    "manifest.sig",
    "datapackage.json",
    "dictionary.html",
    "ro-crate-metadata.json",
    "data",
    "images",
)
RISK_SEED = 20_240


def study_key(keyring: Path, study: str, key_id: str) -> PseudonymKey:
    """The key of one study's pseudonyms, derived (HKDF, RFC 5869) from the keyring's: no other study's tells it."""
    from etl.privacy import PseudonymKey

    derived = derive_key(keyring, f"erios study pseudonyms {study}".encode(), key_id)
    return PseudonymKey(derived.key_id, derived.secret)


def build_extract(extract: Extract, by: User, progress: Progress | None = None) -> Extract:
    """Build an extract of the latest release, and assess it; its files lie in the warehouse zone until released.

    Raises RuleBroken, BusyError while somebody else builds it, InputError when the release does not follow the
    objection register of today; whatever stops the build is on record, and it may be begun again.
    """
    from erios.governance.extract import State
    from erios.studies.extract_actions import fail_build, start_build
    from erios.studies.extract_selectors import workshop_of

    settings = load_settings()
    folder = workshop_of(extract.number, settings)
    with _alone(folder):
        if extract.state == State.BUILT:
            return _assess_again(extract, by, settings)
        extract = start_build(extract=extract, by=by)
        try:
            return _build_and_assess(extract, by, folder, settings, progress)
        except BaseException as error:
            shutil.rmtree(_draft(folder), ignore_errors=True)
            fail_build(extract=extract, by=by, problem=_sentence(error))
            raise


def _assess_again(extract: Extract, by: User, settings: Settings) -> Extract:
    """Go on with an extract that was built, but whose assessment was cut short."""
    from dataclasses import replace

    from erios.governance.extract import WORKFLOW, Action, State
    from erios.studies.extract_selectors import extract_facts

    WORKFLOW.check(replace(extract_facts(extract), state=State.SPECIFIED), Action.BUILD, by.person)
    return _assess(extract, settings)


def _sentence(error: BaseException) -> str:
    """What may be kept of a failure: our own sentences, else the class alone."""
    from etl.errors import EtlError

    return str(error) if isinstance(error, EriosError | EtlError) else type(error).__name__


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    from erios.locks import held

    make_folder(folder.parent, 0o700)
    try:
        with held(folder.with_name(f".{folder.name}.lock"), patience=0):
            yield
    except BusyError:
        raise BusyError(f"somebody is at work on extract {folder.name}: wait for it to end") from None


def _draft(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.new")


def _build_and_assess(
    extract: Extract, by: User, folder: Path, settings: Settings, progress: Progress | None
) -> Extract:
    from erios.studies.extract_actions import finish_build
    from erios.studies.extract_selectors import specification_of
    from erios.workflows.session import spark_session
    from etl.release import open_release
    from etl.tasks import SparkRunner

    release = open_release(settings.warehouse)
    _check_objections(release, settings)
    specification = specification_of(extract)
    draft = _draft(folder)
    shutil.rmtree(draft, ignore_errors=True)
    make_folder(draft, 0o700)
    with spark_session(settings) as spark:
        made = _build(extract, specification, release, draft, settings, SparkRunner(spark), progress)
    _settle(draft, folder)
    extract = finish_build(extract=extract, by=by, release=release.id, key_id=release.key_id, **made)
    return _assess(extract, settings)


def _assess(extract: Extract, settings: Settings) -> Extract:
    from erios.studies.extract_actions import assess
    from erios.studies.extract_selectors import specification_of, workshop_of
    from etl.release import open_release

    specification = specification_of(extract)
    release = open_release(settings.warehouse, extract.release)
    report = _assess_risk(workshop_of(extract.number, settings), specification, release, settings)
    overlaps = find_overlaps(extract, specification, release, settings)
    linkage = attack_by_linkage(extract, specification, release, settings)
    return assess(extract=extract, report=report, overlaps=overlaps, linkage=linkage)


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
    from erios.extracts.build import BuildPlan, build
    from erios.extracts.counts import load_parameters
    from erios.extracts.dictionary import write_dictionary
    from erios.extracts.forms import Terms
    from erios.extracts.manifest import public_key, write_manifest
    from erios.extracts.specification import warehouse_tables

    tables, threshold = warehouse_tables(settings.views_dir), load_parameters().threshold
    memory = settings.load.task_memory_mb
    key = partial(study_key, settings.keyring, extract.study.number, release.key_id)
    terms = Terms(specification.dates, datetime.fromisoformat(release.created).year)
    done = build(BuildPlan(draft, specification, tables, terms, threshold, memory, key), release, runner, progress)
    context = _context(extract, release, settings)
    rows = write_dictionary(draft, specification, tables, context, runner, threshold=threshold, memory_mb=memory)
    manifest = _manifest(extract, specification, release, draft, rows)
    write_manifest(draft, manifest, settings.keyring)
    public = public_key(settings.keyring, release.key_id)
    return {"root": manifest.root, "public_key": public, "patients": done.patients, "rows": done.rows}


def _context(extract: Extract, release: Release, settings: Settings) -> Any:
    from erios.extracts.dictionary import Context
    from erios.translation import french_of

    title = str(extract.proposal.content.get("title", extract.study.number))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    words = french_of(settings.views_dir)
    return Context(extract.number, extract.study.number, title, release.id, settings.portal.hospital, now, words)


def _manifest(
    extract: Extract, specification: Specification, release: Release, draft: Path, rows: dict[str, int]
) -> Any:
    from erios.extracts.manifest import Manifest, list_files, root_of
    from erios.extracts.specification import dump_specification

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


def code_version() -> str:
    """The package's version, and the revision of the checkout it runs from, if it is one."""
    head = PROJECT / ".git" / "HEAD"
    try:
        text = head.read_text().strip()
        revision = (head.parent / text.removeprefix("ref: ")).read_text().strip() if text.startswith("ref: ") else text
    except OSError:
        revision = ""
    return f"erios {version('erios')} {revision[:12]}".strip()


def _settle(draft: Path, folder: Path) -> None:
    """Put a whole draft in its place; one of an earlier build goes."""
    _sync(draft)
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


def _sync(folder: Path) -> None:
    """Everything below a folder is on the disk."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _check_objections(release: Release, settings: Settings) -> None:
    """Nobody who objects may be in an extract: the release must follow the register of today."""
    if newer := objections_after(release, settings):
        raise InputError(
            f"{newer} entries of the objection register are newer than release {release.id}: run `erios etl refresh`,"
            " then build the extract again"
        )


def objections_after(release: Release, settings: Settings) -> int:
    """How many entries of the register the release does not know."""
    from etl.tables import IDENTITY

    aliases = _objectors(settings, release.key_id)
    if not aliases:
        return 0
    known = release.duckdb(IDENTITY).filter("objects").project("alias").fetchall() if IDENTITY in release.tables else []
    return len(set(aliases) - {alias for (alias,) in known})


def _objectors(settings: Settings, key_id: str) -> list[str]:
    """Keyed names of those who object today, as the warehouse names them."""
    from erios.keys import read_key
    from erios.objections import standing
    from etl.privacy import pseudonym

    key = read_key(settings.keyring, key_id)
    return [pseudonym(key, reference) for reference in standing(settings)]


def _assess_risk(folder: Path, specification: Specification, release: Release, settings: Settings) -> dict[str, Any]:
    """The risk report; its journalist knows of somebody only that the hospital, as the release has it, treated them."""
    from erios.extracts.counts import load_parameters
    from erios.extracts.risk import assess, load_knowledge

    report = assess(
        folder / "data",
        {table.name: table.names() for table in specification.tables},
        load_knowledge(PROJECT / "conf" / "risk.toml"),
        threshold=load_parameters().threshold,
        seed=RISK_SEED,
        memory_mb=settings.load.task_memory_mb,
        population=max(1, release.tables["patient"].rows),
    )
    return dict(json.loads(report.to_json()))


def find_overlaps(
    extract: Extract, specification: Specification, release: Release, settings: Settings
) -> list[dict[str, Any]]:
    """How this cohort crosses those of earlier extracts of the study and its people, and what counts have told.

    A line: what it is crossed with, and whether fewer patients than the threshold are in the one and not the other.
    """
    from erios.extracts.counts import load_parameters
    from erios.extracts.overlaps import Cohorts
    from erios.studies.extract_selectors import earlier_cohorts

    threshold = load_parameters().threshold
    with Cohorts(release, settings.load.task_memory_mb) as cohorts:
        return [
            {"with": name, "kind": kind, **cohorts.cross(specification.cohort, other, threshold)}
            for name, kind, other in earlier_cohorts(extract)
        ]


def attack_by_linkage(
    extract: Extract, specification: Specification, release: Release, settings: Settings
) -> dict[str, Any]:
    """Try to find this extract's patients in the last one of another study by what both hold; {} without another.

    Who is who is known here only: the truth is written in the extract's private folder, and deleted at once.
    """
    from erios.extracts.members import write_truth
    from erios.extracts.risk import link, load_knowledge
    from erios.studies.extract_selectors import extracts_with_data, folder_of, specification_of, workshop_of

    other = extracts_with_data().exclude(study=extract.study).order_by("-pk").first()
    if other is None:
        return {}
    theirs, keys = (
        specification_of(other),
        [study_key(settings.keyring, one.study.number, one.key_id) for one in (extract, other)],
    )
    truth = _draft(workshop_of(extract.number, settings)).with_suffix(".truth")
    try:
        write_truth(truth, release, specification.cohort, keys, settings.load.task_memory_mb)
        found = link(
            workshop_of(extract.number, settings) / "data",
            {table.name: table.names() for table in specification.tables},
            folder_of(other, settings) / "data",
            {table.name: table.names() for table in theirs.tables},
            load_knowledge(PROJECT / "conf" / "risk.toml"),
            truth,
            seed=RISK_SEED,
            memory_mb=settings.load.task_memory_mb,
            scratch=truth.parent,
        )
    finally:
        truth.unlink(missing_ok=True)
    return {"with": other.number, **json.loads(found.to_json())}


def release_extract(extract: Extract, by: User, root: str) -> Extract:
    """Copy the cleared files to the study's folder, verify every byte there, and let the team open them.

    A byte that differs puts the extract in quarantine; an objection since the build turns it stale.
    """
    from erios.extracts.manifest import verify
    from erios.governance.words import Refusal, RuleBroken
    from erios.studies.extract_actions import check_release, quarantine_damaged, release
    from erios.studies.extract_selectors import workshop_of

    settings = load_settings()
    check_release(extract=extract, by=by)
    if root != extract.root:
        raise RuleBroken(Refusal("other-root"))
    if extract.number in turn_touched_stale(settings):
        raise RuleBroken(Refusal("extract-stale"))
    source, target = workshop_of(extract.number, settings), settings.studies / extract.study.number / extract.number
    with _alone(source):
        try:
            verify(source, extract.public_key, extract.root)
            _copy(source, target)
            verify(target, extract.public_key, extract.root)
        except InputError as error:
            shutil.rmtree(target, ignore_errors=True)
            quarantine_damaged(extract=extract, problem=str(error))
            raise
        released = release(extract=extract, by=by, root=root)
        shutil.rmtree(source)
    return released


def _copy(source: Path, target: Path) -> None:
    draft = _draft(target)
    shutil.rmtree(draft, ignore_errors=True)
    make_folder(target.parent, 0o750)
    try:
        shutil.copytree(source, draft)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise StorageError(f"cannot copy the extract to the studies zone: {error.strerror}") from None
    _settle(draft, target)


def destroy_extract(extract: Extract, by: User) -> Extract:
    """Delete every file of a dead extract, wherever it lies, and note what is gone."""
    from erios.governance.extract import WORKFLOW, Action
    from erios.studies.extract_actions import destroy
    from erios.studies.extract_selectors import extract_facts, workshop_of

    settings = load_settings()
    WORKFLOW.check(extract_facts(extract), Action.DESTROY, by.person)
    workshop = workshop_of(extract.number, settings)
    places = [workshop, _draft(workshop), settings.studies / extract.study.number / extract.number]
    with _alone(workshop):
        files = [path for place in places for path in place.rglob("*") if path.is_file()]
        count, size = len(files), sum(path.stat().st_size for path in files)
        for place in places:
            shutil.rmtree(place, ignore_errors=True)
        if left := [place.name for place in places if place.exists()]:
            raise StorageError(f"{', '.join(left)} cannot be deleted: free the folder, then destroy the extract again")
        return destroy(extract=extract, by=by, proof={"root": extract.root, "files": count, "bytes": size, "left": 0})


def verify_extract(extract: Extract) -> Any:
    """The manifest of an extract whose every byte holds; InputError says what does not."""
    from erios.extracts.manifest import verify
    from erios.studies.extract_selectors import folder_of

    return verify(folder_of(extract, load_settings()), extract.public_key, extract.root)


def open_extract(number: str, login: str | None = None) -> OpenedExtract:
    """The only door to an extract's data: released, on this study's team, today, every byte as cleared; on record.

    ``login``: who opens it (default: the person at the keyboard). Raises RuleBroken, RefusedError or InputError, each
    with its own sentence; a refusal is on record too, and a damaged extract is put in quarantine.
    """
    from erios.workflows.portal import open_database

    settings = open_database()
    from erios.accounts.models import User
    from erios.audit import last_event
    from erios.extracts.opening import check_opening, open_verified
    from erios.operators import current_operator
    from erios.studies.extract_actions import quarantine_damaged, record_opening
    from erios.studies.extract_selectors import clearance_of, find_extract

    extract, who = find_extract(number), login or current_operator()
    user = User.objects.filter(username=who, is_active=True).first()
    last = last_event(settings, "")
    try:
        if user is None:
            raise UsageError(f"no open account '{who}' in the portal: an administrator makes one with your login")
        clearance = clearance_of(extract)
        seen = datetime.fromisoformat(last.time) if last else None
        check_opening(number, clearance, user.person, _now(), seen)
        opened = open_verified(number, clearance)
    except EriosError as error:
        record_opening(extract=extract, login=who, refused=str(error))
        if isinstance(error, InputError):
            quarantine_damaged(extract=extract, problem=str(error))
        raise
    record_opening(extract=extract, login=who)
    return opened


def _now() -> datetime:
    return datetime.now(UTC)


def follow_objections(settings: Settings) -> list[str]:
    """After objections or an erasure: turn stale every extract that holds such a patient; answers which did now.

    Without any extract's files the governance database is not opened.
    """
    from erios.workflows.portal import open_database

    places = [settings.warehouse / "extracts", settings.studies]
    if not any(place.is_dir() and any(place.iterdir()) for place in places):
        return []
    open_database()
    return turn_touched_stale(settings)


def say_stale(numbers: Sequence[str]) -> str:
    """What to print of the extracts that turned stale."""
    if not numbers:
        return "Extracts touched: none."
    said = f"Extracts touched, which nobody can open any more: {', '.join(numbers)}. Have them destroyed."
    return f"{said}{_say_runs(numbers)}"


def _say_runs(numbers: Sequence[str]) -> str:
    """The trainings that have read these extracts, and whose models others use."""
    from erios.studies.run_selectors import runs_on

    runs = list(runs_on(numbers))
    if not runs:
        return " No model was trained on them."
    said = f" Trained on them: {', '.join(run.number for run in runs)}."
    used = [run.number for run in runs if run.promoted]
    return f"{said} In use by others: {', '.join(used)}; the DPO decides what becomes of them." if used else said


def turn_touched_stale(settings: Settings) -> list[str]:
    """Turn stale every extract that holds somebody who objects today; answers which did now."""
    from erios.studies.extract_actions import turn_stale
    from erios.studies.extract_selectors import extracts_with_data

    stale = []
    for extract in extracts_with_data():
        keys = _excluded(settings, extract.key_id)
        if keys and holds(extract, keys, settings):
            turn_stale(extract=extract, reason="a patient in it has objected or was erased")
            stale.append(extract.number)
    return stale


def _excluded(settings: Settings, key_id: str) -> set[str]:
    """Every name of the patients who object: those in the register, and their aliases as of the last release."""
    from etl.release import latest
    from etl.tables import IDENTITY

    release = latest(settings.warehouse)
    known: list[tuple[str]] = []
    if release and IDENTITY in release.tables and release.key_id == key_id:
        known = release.duckdb(IDENTITY).filter("excluded AND NOT logical").project("alias").fetchall()
    return {*_objectors(settings, key_id), *(alias for (alias,) in known)}


def holds(extract: Extract, patient_keys: set[str], settings: Settings) -> bool:
    """Does the extract hold one of these patients, named as the warehouse names them?"""
    from erios.extracts.members import has_any
    from erios.studies.extract_selectors import folder_of
    from etl.privacy import pseudonym

    key = study_key(settings.keyring, extract.study.number, extract.key_id)
    names = [pseudonym(key, name) for name in sorted(patient_keys)]
    return has_any(folder_of(extract, settings) / "data", names)
