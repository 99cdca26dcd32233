"""Every write on an extract: one keyword-only function each, one transaction that changes the data and appends the
event.

Owns the order, as ``erios.studies.actions`` does for studies. The files are made, copied and destroyed by
``erios.workflows.extract_release``, which calls these before and after; nothing here touches a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Model
from django.utils import timezone

from erios.accounts.audit_events import record
from erios.accounts.models import User
from erios.accounts.sealed_rows import check_account, check_study
from erios.audit import Draft
from erios.errors import InputError
from erios.extracts.specification import Specification, dump_specification, from_proposal, read_specification
from erios.governance.extract import WORKFLOW, Action, State
from erios.governance.words import Refusal, RuleBroken
from erios.governance.workflow import SYSTEM
from erios.settings import load_settings
from erios.studies.emails import notify
from erios.studies.extract_selectors import active_proposal, extract_facts, extract_watchers, team_of
from erios.studies.models import (
    Extract,
    ExtractPart,
    ExtractPartKind,
    ExtractVersion,
    Notification,
    Study,
)

MOVES = frozenset({Action.APPROVE_SPECIFICATION, Action.REFUSE, Action.ABANDON, Action.REVOKE, Action.QUARANTINE})
"""Actions that only move the extract."""


def request_extract(*, study: Study, by: User, content: Mapping[str, Any] | None = None) -> Extract:
    """Ask for an extract; without a specification, of what the approved proposal asks for."""
    with transaction.atomic():
        locked = Study.objects.select_for_update(no_key=True).get(pk=study.pk)
        check_study(locked)
        check_account(by)
        proposal = active_proposal(locked)
        if proposal is None:
            raise RuleBroken(Refusal("study-not-active"))
        if by.username not in team_of(locked):
            raise RuleBroken(Refusal("not-on-team"))
        specification = _read(content if content is not None else from_proposal(proposal.content))
        number = f"{locked.number}-X{locked.extracts.count() + 1:02d}"
        extract = Extract.objects.create(number=number, study=locked, proposal=proposal)
        part = ExtractPart.objects.create(extract=extract, person=by, kind=ExtractPartKind.REQUESTER)
        version = _add_version(extract, specification, by)
        notes = _tell(extract, "request", by)
        record([Draft("extract.request", number)], by=by, rows=[extract, part, version, *notes])
    return extract


def _read(content: Mapping[str, Any]) -> Specification:
    return read_specification(content, load_settings().views_dir)


def _add_version(extract: Extract, specification: Specification, by: User) -> ExtractVersion:
    number = extract.versions.count() + 1
    content = dump_specification(specification)
    return ExtractVersion.objects.create(extract=extract, number=number, content=content, by=by)


def specify(*, extract: Extract, by: User, content: Mapping[str, Any], revision: int | None = None) -> Extract:
    """A new version of the specification."""
    specification = _read(content)
    with _acting(extract, Action.SPECIFY, by, revision) as locked:
        version = _add_version(locked, specification, by)
        _keep(locked)
        record([_draft(Action.SPECIFY, locked, version=version.number)], by=by, rows=[locked, version])
    return locked


def move_extract(
    *, extract: Extract, by: User, action: Action, reason: str = "", revision: int | None = None
) -> Extract:
    """An action that only moves the extract: approve the specification, refuse, abandon, revoke, quarantine."""
    if action not in MOVES:
        raise ValueError(f"'{action}' is an action of its own")
    with _acting(extract, action, by, revision, reason) as locked:
        _move(locked, action, by, reason)
    return locked


def ask_changes(*, extract: Extract, by: User, reason: str, revision: int | None = None) -> Extract:
    """Send the extract back to whoever asked; what was built is not kept."""
    with _acting(extract, Action.ASK_CHANGES, by, revision, reason) as locked:
        parts = _forget_build(locked)
        _move(locked, Action.ASK_CHANGES, by, reason, rows=parts)
    return locked


def _forget_build(extract: Extract) -> list[ExtractPart]:
    """What was built, and who built and would have cleared it, count no more; the parts that are over."""
    over = extract.parts.exclude(kind=ExtractPartKind.REQUESTER)
    parts = list(over)
    over.delete()
    extract.root = extract.public_key = extract.exception_reason = extract.release = ""
    extract.report, extract.overlaps, extract.linkage, extract.rows = {}, [], {}, {}
    extract.expires = None
    return parts


def apply_proposal(*, extract: Extract, by: User, number: int, revision: int | None = None) -> Extract:
    """A proposal of the risk report (from 1) becomes the next version of the specification; the DPO reads it anew.

    InputError for a number that the report does not have.
    """
    with _acting(extract, Action.APPLY_PROPOSAL, by, revision) as locked:
        remedies = locked.report.get("remedies", [])
        if not 1 <= number <= len(remedies):
            raise InputError(
                f"the report of {locked.number} has {len(remedies)} proposals; `erios extract show` lists them"
            )
        chosen = remedies[number - 1]
        version = _add_version(locked, _read(chosen["specification"]), by)
        rows = [*_forget_build(locked), version]
        _move(locked, Action.APPLY_PROPOSAL, by, rows=rows, version=version.number, technique=chosen["technique"])
    return locked


def start_build(*, extract: Extract, by: User) -> Extract:
    """Begin a build; until it ends, well or badly, nobody begins another."""
    with _acting(extract, Action.BUILD, by) as locked:
        before = locked.parts.filter(kind=ExtractPartKind.BUILDER)
        parts = list(before)
        before.delete()
        parts.append(_take_part(locked, by, ExtractPartKind.BUILDER))
        locked.busy, locked.progress, locked.problem = timezone.now(), "", ""
        _keep(locked)
        record([_draft("build.start", locked)], by=by, rows=[locked, *parts])
    return locked


def note_progress(*, extract: Extract, progress: str) -> None:
    """Where a build is, for those who watch; no event."""
    Extract.objects.filter(pk=extract.pk).update(progress=progress[:100])


def fail_build(*, extract: Extract, by: User, problem: str) -> Extract:
    """Note why a build failed; it may be begun again."""
    with transaction.atomic():
        locked = Extract.objects.select_for_update(no_key=True).get(pk=extract.pk)
        check_study(locked.study)
        locked.busy, locked.problem = None, problem
        _keep(locked)
        record([_draft("build.fail", locked, problem)], by=by, rows=[locked])
    return locked


def finish_build(
    *,
    extract: Extract,
    by: User,
    release: str,
    key_id: str,
    root: str,
    public_key: str,
    patients: int,
    rows: Mapping[str, int],
) -> Extract:
    """The extract is built: its root is what a clearance will be bound to."""
    with _acting(extract, Action.BUILD, by) as locked:
        locked.release, locked.key_id, locked.root, locked.public_key = release, key_id, root, public_key
        locked.patients, locked.rows = patients, dict(rows)
        _move(locked, Action.BUILD, by, release=release, root=root)
    return locked


def assess(
    *,
    extract: Extract,
    report: Mapping[str, Any],
    overlaps: Sequence[Mapping[str, Any]],
    linkage: Mapping[str, Any],
) -> Extract:
    """Keep the risk report, the overlaps with earlier releases and the linkage attack; the DPO's turn."""
    with _acting(extract, Action.ASSESS, None) as locked:
        locked.report, locked.overlaps, locked.linkage = dict(report), list(overlaps), dict(linkage)
        locked.busy, locked.progress = None, ""
        isolating = sum(bool(one["isolates"]) for one in overlaps)
        _move(locked, Action.ASSESS, None, k=report["risk"]["k"], isolating=isolating)
    return locked


def clear(*, extract: Extract, by: User, root: str, expires: date, revision: int | None = None) -> Extract:
    """The DPO clears exactly these bytes, until a day."""
    with _acting(extract, Action.CLEAR, by, revision) as locked:
        _check_bound(locked, root)
        locked.expires = _future(expires)
        part = _take_part(locked, by, ExtractPartKind.CLEARER)
        _move(locked, Action.CLEAR, by, rows=[part], root=root, expires=expires.isoformat())
    return locked


def ask_exception(
    *, extract: Extract, by: User, root: str, expires: date, reason: str, revision: int | None = None
) -> Extract:
    """The DPO would clear these bytes in spite of the risk; the controller's delegate must agree."""
    with _acting(extract, Action.ASK_EXCEPTION, by, revision, reason) as locked:
        _check_bound(locked, root)
        locked.expires, locked.exception_reason = _future(expires), reason.strip()
        part = _take_part(locked, by, ExtractPartKind.CLEARER, reason)
        _move(locked, Action.ASK_EXCEPTION, by, reason, rows=[part], root=root, expires=expires.isoformat())
    return locked


def grant_exception(*, extract: Extract, by: User, root: str, reason: str, revision: int | None = None) -> Extract:
    """The controller's delegate agrees to the exception."""
    with _acting(extract, Action.GRANT_EXCEPTION, by, revision, reason) as locked:
        _check_bound(locked, root)
        part = _take_part(locked, by, ExtractPartKind.EXCEPTION, reason)
        _move(locked, Action.GRANT_EXCEPTION, by, reason, rows=[part], root=root)
    return locked


def check_release(*, extract: Extract, by: User) -> None:
    """RuleBroken if this person may not release the extract now."""
    WORKFLOW.check(extract_facts(extract), Action.RELEASE, by.person)


def release(*, extract: Extract, by: User, root: str, revision: int | None = None) -> Extract:
    """The files lie with the study and were verified there: from now on the team may open them."""
    with _acting(extract, Action.RELEASE, by, revision) as locked:
        _check_bound(locked, root)
        part = _take_part(locked, by, ExtractPartKind.RELEASER)
        _move(locked, Action.RELEASE, by, rows=[part], root=root)
    return locked


def quarantine_damaged(*, extract: Extract, problem: str) -> Extract:
    """The portal itself sets aside an extract whose files do not hold."""
    with _acting(extract, Action.QUARANTINE, None, reason=problem) as locked:
        _move(locked, Action.QUARANTINE, None, problem)
    return locked


def turn_stale(*, extract: Extract, reason: str) -> Extract:
    """A patient in it has objected or was erased; the event names the runs that have read it."""
    with _acting(extract, Action.TURN_STALE, None) as locked:
        runs = list(locked.runs.order_by("number").values_list("number", flat=True))
        _move(locked, Action.TURN_STALE, None, reason, runs=runs)
    return locked


def expire_extracts(*, today: date) -> list[Extract]:
    """Extracts whose last day has passed; run every night."""
    states = next(row.sources for row in WORKFLOW.transitions if row.action is Action.EXPIRE)
    expired = []
    for extract in Extract.objects.filter(state__in=states, expires__lt=today):
        with _acting(extract, Action.EXPIRE, None) as locked:
            _move(locked, Action.EXPIRE, None)
            expired.append(locked)
    return expired


def destroy(*, extract: Extract, by: User, proof: Mapping[str, Any]) -> Extract:
    """The files are gone; ``proof`` says which, and that none is left."""
    with _acting(extract, Action.DESTROY, by) as locked:
        _move(locked, Action.DESTROY, by, **proof)
    return locked


def record_opening(*, extract: Extract, login: str, refused: str = "") -> None:
    """That somebody opened the extract, or why they could not."""
    name = "extract.open.refused" if refused else "extract.open"
    with transaction.atomic():
        record([Draft(name, extract.number, refused, {"login": login, "root": extract.root})], by=None)


def _future(expires: date) -> date:
    if expires <= timezone.localdate():
        raise InputError("a clearance ends on a day to come")
    return expires


def _check_bound(extract: Extract, root: str) -> None:
    """What the person read is what they act on."""
    if root != extract.root:
        raise RuleBroken(Refusal("other-root"))


def _take_part(extract: Extract, person: User, kind: ExtractPartKind, reason: str = "") -> ExtractPart:
    """The rules have let it pass; the database holds one part a person, and one person a part."""
    try:
        with transaction.atomic():
            return ExtractPart.objects.create(extract=extract, person=person, kind=kind, reason=reason.strip())
    except IntegrityError:
        raise RuleBroken(Refusal("extract-hands")) from None


@contextmanager
def _acting(
    extract: Extract, action: Action, by: User | None, revision: int | None = None, reason: str = ""
) -> Iterator[Extract]:
    """The extract, locked and found open to this action by this person; RuleBroken says why not."""
    with transaction.atomic():
        locked = Extract.objects.select_for_update(no_key=True).select_related("study", "proposal").get(pk=extract.pk)
        check_study(locked.study)
        if by is not None:
            check_account(by)
        if revision is not None and revision != locked.revision:
            raise RuleBroken(Refusal("moved-on", {"state": locked.state}))
        if locked.busy and action not in (Action.BUILD, Action.ASSESS, *_STOPS):
            raise RuleBroken(Refusal("extract-busy"))
        row = WORKFLOW.check(extract_facts(locked), action, by.person if by else SYSTEM)
        if row.reason and not reason.strip():
            raise RuleBroken(Refusal("reason"))
        yield locked


_STOPS = (Action.QUARANTINE, Action.TURN_STALE)


def _move(
    extract: Extract, action: Action, by: User | None, reason: str = "", *, rows: Sequence[Model] = (), **details: Any
) -> None:
    """Bring the extract where the rules say, tell those concerned, and append the event; ``rows``: written besides."""
    before = extract.state
    row = WORKFLOW.row(before, action)
    assert row is not None
    extract.state = row.target or State(before)
    if extract.state != before:
        extract.since = timezone.now()
    _keep(extract)
    written = [extract, *rows, *_tell(extract, action, by)]
    record([_draft(action, extract, reason, before=before, after=extract.state, **details)], by=by, rows=written)


def _keep(extract: Extract) -> None:
    extract.revision += 1
    extract.save()


def _draft(action: str, extract: Extract, reason: str = "", **details: Any) -> Draft:
    return Draft(f"extract.{action.replace(' ', '-')}", extract.number, reason, details)


def _tell(extract: Extract, action: str, by: User | None) -> list[Notification]:
    return notify(extract_watchers(extract), by, action, extract.state, extract.proposal, extract)
