"""Extracts as work on files: build and assess, release to the study, destroy; and the door through which runs read.

Owns the order between files and record: files are made whole before the record says that they are, and gone before it
says that. Whoever is killed in between leaves a state from which the same command goes on.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erios.errors import EriosError, InputError, StorageError, UsageError
from erios.settings import load_settings, make_folder
from erios.workflows.extract_files import alone, draft_of, put_in_place
from erios.workflows.extract_objections import turn_touched_stale

if TYPE_CHECKING:
    from erios.accounts.models import User
    from erios.extracts.opening import OpenedExtract
    from erios.studies.models import Extract

_FILES = (
    "manifest.json",
    "manifest.sig",
    "datapackage.json",
    "dictionary.html",
    "ro-crate-metadata.json",
    "data",
    "images",
)


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
    with alone(source):
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
    draft = draft_of(target)
    shutil.rmtree(draft, ignore_errors=True)
    make_folder(target.parent, 0o750)
    try:
        shutil.copytree(source, draft)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise StorageError(f"cannot copy the extract to the studies zone: {error.strerror}") from None
    put_in_place(draft, target)


def destroy_extract(extract: Extract, by: User) -> Extract:
    """Delete every file of a dead extract, wherever it lies, and note what is gone."""
    from erios.governance.extract import WORKFLOW, Action
    from erios.studies.extract_actions import destroy
    from erios.studies.extract_selectors import extract_facts, workshop_of

    settings = load_settings()
    WORKFLOW.check(extract_facts(extract), Action.DESTROY, by.person)
    workshop = workshop_of(extract.number, settings)
    places = [workshop, draft_of(workshop), settings.studies / extract.study.number / extract.number]
    with alone(workshop):
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
    from erios.workflows.database import open_database

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
