"""Extracts as files: release to the study, destroy, verify.

Owns the order between files and record: files are made whole before the record says that they are, and gone before it
says that. Whoever is killed in between leaves a state from which the same command goes on.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from erios.accounts.models import User
from erios.accounts.sealed_rows import check_study
from erios.errors import InputError, StorageError
from erios.extracts.counts import open_counter
from erios.extracts.ledger import Figure
from erios.extracts.manifest import verify
from erios.governance.extract import WORKFLOW, Action
from erios.governance.words import Refusal, RuleBroken
from erios.settings import load_settings, make_folder
from erios.studies.extract_actions import check_release, destroy, quarantine_damaged, release
from erios.studies.extract_selectors import extract_facts, folder_of, specification_of, team_of, workshop_of
from erios.studies.ledger import tell_team
from erios.studies.models import Extract
from erios.workflows.extract_files import draft_folder, locked, publish_draft
from erios.workflows.extract_objections import turn_touched_stale
from erios.workflows.signing_keys import signing_key


def release_extract(extract: Extract, by: User, root: str) -> Extract:
    """Copy the cleared files to the study's folder, verify every byte there, and let the team open them.

    A byte that differs puts the extract in quarantine; an objection since the build turns it stale.
    """
    settings = load_settings()
    check_release(extract=extract, by=by)
    if root != extract.root:
        raise RuleBroken(Refusal("other-root"))
    if extract.number in turn_touched_stale(settings):
        raise RuleBroken(Refusal("extract-stale"))
    source, target = workshop_of(extract.number, settings), settings.studies / extract.study.number / extract.number
    with locked(source):
        try:
            public_key = signing_key(settings, extract.key_id)
            verify(source, public_key, extract.root)
            _copy(source, target)
            verify(target, public_key, extract.root)
        except InputError as error:
            shutil.rmtree(target, ignore_errors=True)
            quarantine_damaged(extract=extract, problem=str(error))
            raise
        _tell_team(extract)
        released = release(extract=extract, by=by, root=root)
        shutil.rmtree(source)
    return released


def _tell_team(extract: Extract) -> None:
    """The team will read how many patients the files have: an answer of the disclosure ledger, about its cohort."""
    counter = open_counter(load_settings(), extract.release)
    canonical = json.dumps({"extract": extract.number, "root": extract.root})
    figure = Figure(canonical, extract.patients or 0, counter.cohort(specification_of(extract).cohort))
    team = User.objects.filter(username__in=team_of(extract.study)).order_by("pk")
    tell_team(counter, figure, extract.study, list(team))


def _copy(source: Path, target: Path) -> None:
    draft = draft_folder(target)
    shutil.rmtree(draft, ignore_errors=True)
    make_folder(target.parent, 0o750)
    try:
        shutil.copytree(source, draft)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise StorageError(f"cannot copy the extract to the studies zone: {error.strerror}") from None
    publish_draft(draft, target)


def destroy_extract(extract: Extract, by: User) -> Extract:
    """Delete every file of a dead extract, wherever it lies, and note what is gone."""
    settings = load_settings()
    WORKFLOW.check(extract_facts(extract), Action.DESTROY, by.person)
    workshop = workshop_of(extract.number, settings)
    folders = [workshop, draft_folder(workshop), settings.studies / extract.study.number / extract.number]
    with locked(workshop):
        files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        count, size = len(files), sum(path.stat().st_size for path in files)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        if left := [folder.name for folder in folders if folder.exists()]:
            raise StorageError(f"{', '.join(left)} cannot be deleted: free the folder, then destroy the extract again")
        return destroy(extract=extract, by=by, proof={"root": extract.root, "files": count, "bytes": size, "left": 0})


def verify_extract(extract: Extract) -> Any:
    """The manifest of an extract whose every byte holds; InputError says what does not."""
    check_study(extract.study)
    settings = load_settings()
    return verify(folder_of(extract, settings), signing_key(settings, extract.key_id), extract.root)
