"""Releases of the airlock as files: a folder with a signed manifest, verified whenever it is read.

Owns ``studies/<number>/airlock/<request>/`` and the manifest's form. Files are copied and signed before the record says
that they are out; the record holds the manifest's digest, so that no other manifest, signed or not, is one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from erios.accounts.models import User
from erios.accounts.sealed_rows import check_study
from erios.airlock.check import check_file
from erios.airlock.findings import Report, Verdict
from erios.errors import InputError, StorageError
from erios.extracts.manifest import NAME, SIGNATURE, check_signature, list_files, root_of, signature_of
from erios.governance.airlock import WORKFLOW, Action, State
from erios.governance.publication import WORKFLOW as PUBLICATION
from erios.governance.publication import Action as PublicationAction
from erios.governance.words import Refusal, RuleBroken
from erios.keys import read_key
from erios.locks import held
from erios.settings import Settings, load_settings, make_folder
from erios.studies.airlock_actions import check_bytes, held_by, hold_approved, note_download, note_release
from erios.studies.airlock_models import AirlockFile, AirlockRequest
from erios.studies.airlock_selectors import airlock_facts, context_of, released_files
from erios.studies.airlock_store import airlock_folder, path_of
from erios.studies.models import Publication
from erios.studies.publication_actions import act_on_results
from erios.studies.publication_selectors import facts_of
from erios.version import code_version
from erios.workflows.extract_files import draft_folder, publish_draft
from erios.workflows.signing_keys import signing_key

FORM = "erios airlock release 1"
"""First field of a manifest: it is of a release, and can be taken for no extract's."""


def release_request(request: AirlockRequest, by: User) -> AirlockRequest:
    """Copy the approved files to a folder of the release with a signed manifest, and put its digest on record.

    A byte that changed voids the request. Files that the checks hold now, after what left meanwhile, go back to the
    author; releases are one after another, so that of two that give away a difference the second is held.
    """
    settings = load_settings()
    WORKFLOW.check(airlock_facts(request), Action.RELEASE, by.person)
    with _one_by_one(settings):
        check_bytes(request)
        files = released_files(request)
        _check_again(request, files)
        folder = release_folder(request)
        draft = draft_folder(folder)
        shutil.rmtree(draft, ignore_errors=True)
        manifest = _write(request, files, draft, settings)
        publish_draft(draft, folder)
        known = json.loads(manifest)
        return note_release(
            request=request,
            by=by,
            root=known["root"],
            manifest=hashlib.sha256(manifest).hexdigest(),
            key_id=known["key_id"],
            files={file.name: file.digest for file in files},
        )


@contextmanager
def _one_by_one(settings: Settings) -> Iterator[None]:
    make_folder(settings.studies, 0o750)
    with held(settings.studies / ".airlock-release.lock"):
        yield


def release_folder(request: AirlockRequest) -> Path:
    """Where the files of a release lie."""
    return airlock_folder(request.study.number) / request.number


def _check_again(request: AirlockRequest, files: list[AirlockFile]) -> None:
    """RuleBroken, and the request returned, where something holds a file now that its checkers did not read."""
    reports = [
        (file, check_file(path_of(request.study.number, file.digest, file.name), context_of(file))) for file in files
    ]
    known = {file.name: held_by(Report.from_json(file.report)) for file in files}
    if late := {file.name: report for file, report in reports if held_by(report) - known[file.name]}:
        findings = {
            name: [f"{one.where}: {one.message}" for one in report.findings if one.verdict is Verdict.HELD][:10]
            for name, report in late.items()
        }
        hold_approved(request=request, findings=findings)
        raise RuleBroken(Refusal("airlock-held", {"files": tuple(late)}))


def _write(request: AirlockRequest, files: list[AirlockFile], draft: Path, settings: Settings) -> bytes:
    """Copy the files and sign their manifest; answers the manifest's bytes."""
    make_folder(draft, 0o750)
    key = read_key(settings.keyring)
    try:
        for file in files:
            shutil.copyfile(path_of(request.study.number, file.digest, file.name), draft / file.name)
        manifest = _manifest(request, files, draft, key.key_id)
        (draft / NAME).write_bytes(manifest)
        (draft / SIGNATURE).write_text(signature_of(manifest, settings.keyring, key.key_id))
    except OSError as error:
        raise StorageError(f"cannot write the release to the studies zone: {error.strerror}") from None
    return manifest


def _manifest(request: AirlockRequest, files: list[AirlockFile], folder: Path, key_id: str) -> bytes:
    entries = list_files(folder, {})
    written = {entry.path: entry.sha256 for entry in entries}
    if changed := [file.name for file in files if written.get(file.name) != file.digest]:
        raise InputError(f"{', '.join(changed)} changed while it was copied: release the request again")
    said = {
        file.name: {
            "kind": file.kind,
            "form": file.form,
            "sha256": file.digest,
            "bytes": file.size,
            "context": file.context,
            "controls": file.controls,
            "exception": bool(file.exception),
        }
        for file in files
    }
    known = {
        "form": FORM,
        "request": request.number,
        "study": request.study.number,
        "round": request.round,
        "destination": request.destination,
        "files": said,
        "root": root_of(entries),
        "key_id": key_id,
        "code": code_version(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return json.dumps(known, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def verify_release(request: AirlockRequest) -> dict[str, Any]:
    """The manifest of a release, once record, signature, root and every file hold; InputError says what does not."""
    check_study(request.study)
    if request.state != State.RELEASED:
        raise RuleBroken(Refusal("airlock-not-released", {"state": request.state}))
    folder = release_folder(request)
    try:
        manifest = (folder / NAME).read_bytes()
    except OSError:
        raise InputError(f"{request.number} has no manifest: restore the studies zone") from None
    if hashlib.sha256(manifest).hexdigest() != request.manifest:
        raise InputError(f"the manifest of {request.number} is not the one on record: do not use its files")
    check_signature(folder, signing_key(load_settings(), request.key_id))
    entries = list_files(folder, {})
    if root_of(entries) != request.root or any(path.is_symlink() for path in folder.iterdir()):
        raise InputError(f"the files of {request.number} are not those that were released: do not use them")
    return dict(json.loads(manifest))


def export_request(request: AirlockRequest, by: User, target: Path) -> list[str]:
    """Copy a verified release into a new folder, its manifest too, for somebody on the team; the names of the files."""
    manifest = verify_release(request)
    note_download(request=request, by=by)
    try:
        shutil.copytree(release_folder(request), target)
    except FileExistsError:
        raise InputError(f"{target} is there already: name a new folder") from None
    except (OSError, shutil.Error):
        raise StorageError(f"cannot write to {target}: check the folder and its disk") from None
    return sorted(manifest["files"])


def publish_results(publication: Publication, by: User) -> Publication:
    """The DPO agrees to a results text: its request is released, then the text is public."""
    if refusal := PUBLICATION.refusal(facts_of(publication), PublicationAction.PUBLISH, by.person):
        raise RuleBroken(refusal)
    request = publication.request
    if request is not None and request.state == State.APPROVED:
        release_request(request, by)
    fresh = Publication.objects.get(pk=publication.pk)
    return act_on_results(publication=fresh, by=by, action=PublicationAction.PUBLISH)
