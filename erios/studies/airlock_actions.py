"""Every write on an airlock request: one keyword-only function each, one transaction that changes the data and appends
the event.

Owns the order, as ``erios.studies.actions`` does for studies: the request's row is locked first, so that two who vote
at once do so one after another, and the second opens all votes. A file's bytes are hashed before anything is done with
them; bytes that changed void the request for good.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Model, QuerySet
from django.utils import timezone

from erios.accounts.audit_events import record
from erios.accounts.models import User
from erios.accounts.sealed_rows import check_account, check_study
from erios.airlock.check import check_file
from erios.airlock.findings import Report
from erios.airlock.findings import Verdict as CheckVerdict
from erios.audit import Draft
from erios.errors import InputError
from erios.extracts.manifest import NAME, SIGNATURE
from erios.governance.airlock import (
    LEAVING,
    WORKFLOW,
    Action,
    Destination,
    Kind,
    State,
    Verdict,
    following,
    voting,
)
from erios.governance.roles import Role
from erios.governance.words import Refusal, RuleBroken
from erios.governance.workflow import SYSTEM
from erios.settings import load_settings
from erios.studies.airlock_models import AirlockComment, AirlockFile, AirlockPoint, AirlockRequest, AirlockVote
from erios.studies.airlock_selectors import (
    airlock_facts,
    airlock_watchers,
    context_of,
    files_of,
    lets_out,
    outcome_of,
    seal,
    unseal,
)
from erios.studies.airlock_store import keep_bytes, path_of, read_intact
from erios.studies.emails import notify
from erios.studies.extract_selectors import team_of
from erios.studies.models import Study

MOST_FILES = 50
"""Files of a request at most: two people read each."""
MOST_CHARACTERS = 1000
"""Of a vote's reason, whose sealed form has one length for all."""
_NAME = re.compile(r"\w[\w .()+-]{0,99}")


def start_request(*, study: Study, by: User, destination: Destination = Destination.TEAM) -> AirlockRequest:
    """A new request of somebody on the team of a study, to be filled with files."""
    with transaction.atomic():
        locked = Study.objects.select_for_update(no_key=True).get(pk=study.pk)
        check_study(locked)
        check_account(by)
        if not lets_out(locked):
            raise RuleBroken(Refusal("airlock-study-not-active"))
        if by.username not in team_of(locked):
            raise RuleBroken(Refusal("not-on-team"))
        number = f"{locked.number}-S{locked.airlock_requests.count() + 1:02d}"
        request = AirlockRequest.objects.create(number=number, study=locked, author=by, destination=destination)
        record([_draft("request", request, destination=destination)], by=by, rows=[request])
    return request


def add_file(
    *,
    request: AirlockRequest,
    by: User,
    name: str,
    content: bytes,
    kind: Kind = Kind.OUTPUT,
    context: str,
    controls: str,
    behind: str = "",
    columns: Mapping[str, str] | None = None,
) -> AirlockFile:
    """Put a file in, in place of one of the same name, and check it; InputError for a name or text that will not do."""
    _check_named(name)
    if not (context.strip() and controls.strip()):
        raise InputError(f"{name} needs its context (what it is) and the controls applied (what protects the patients)")
    with _acting(request, Action.EDIT, by) as locked:
        before = list(files_of(locked).filter(name=name))
        files_of(locked).filter(name=name).delete()
        if files_of(locked).count() >= MOST_FILES:
            raise InputError(f"a request has {MOST_FILES} files at most: make another for the rest")
        said = {"kind": kind, "context": context.strip(), "controls": controls.strip(), "behind": behind}
        digest = keep_bytes(locked.study.number, name, content)
        file = AirlockFile(request=locked, round=locked.round, name=name, digest=digest, size=len(content), **said)
        file.columns = dict(columns or {})
        _check(file)
        rows = [file, *_check_figures(locked, behind)]
        _keep(locked)
        event = _draft("add", locked, file=name, digest=digest, held=file.held)
        record([event], by=by, rows=[locked, *before, *rows])
    return file


def _check_named(name: str) -> None:
    if not _NAME.fullmatch(name) or name in (NAME, SIGNATURE):
        raise InputError("a file's name has letters, digits, spaces and .()+-_ and at most 100 of them: rename it")


def _check(file: AirlockFile) -> None:
    """Check a file as things stand now and save it with its report."""
    before = held_by(Report.from_json(file.report)) if file.report else set()
    report = check_file(path_of(file.request.study.number, file.digest, file.name), context_of(file))
    file.report, file.held, file.form = report.as_json(), report.held, report.form
    if held_by(report) - before:  # the exception was given in view of less
        file.exception, file.exception_by = "", None
    if not file.held:
        file.exception_asked, file.exception, file.exception_by = "", "", None
    file.save()


def held_by(report: Report) -> set[str]:
    """What holds a file, so that two reports can be compared."""
    return {json.dumps(one.as_json(), sort_keys=True) for one in report.findings if one.verdict is CheckVerdict.HELD}


def _check_figures(request: AirlockRequest, name: str) -> list[AirlockFile]:
    """Check anew the file whose data came in or went."""
    files = list(files_of(request).filter(name=name)) if name else []
    for file in files:
        _check(file)
    return files


def remove_file(*, request: AirlockRequest, by: User, name: str) -> AirlockRequest:
    """Take a file out of a request that is not under review."""
    with _acting(request, Action.EDIT, by) as locked:
        file = find_file(locked, name)
        behind, gone = file.behind, AirlockFile(pk=file.pk)
        file.delete()
        checked = _check_figures(locked, behind)
        _keep(locked)
        record([_draft("remove", locked, file=name)], by=by, rows=[locked, gone, *checked])
    return locked


def find_file(request: AirlockRequest, name: str) -> AirlockFile:
    """A file of the current round; InputError names those there are."""
    files = {file.name: file for file in files_of(request)}
    if name not in files:
        raise InputError(f"{request.number} has no file '{name}'; there are {', '.join(files) or 'none'}")
    return files[name]


def ask_exception(*, request: AirlockRequest, by: User, file: str, reason: str) -> AirlockRequest:
    """Say why the checks are wrong about a file that they hold: the DPO may let the checkers see it all the same."""
    with _acting(request, Action.ASK_EXCEPTION, by, file=file, reason=reason) as locked:
        found = find_file(locked, file)
        if not found.held:
            raise InputError(f"{file} is not held: it needs no exception")
        found.exception_asked = reason.strip()
        found.save(update_fields=["exception_asked"])
        notes = notify(_officers(), by, Action.ASK_EXCEPTION, locked.state, _proposal(locked), request=locked)
        _keep(locked)
        event = _draft(Action.ASK_EXCEPTION, locked, reason, file=file, digest=found.digest)
        record([event], by=by, rows=[locked, found, *notes])
    return locked


def grant_exception(*, request: AirlockRequest, by: User, file: str, digest: str, reason: str) -> AirlockRequest:
    """The DPO lets the checkers see exactly these bytes although the checks hold them; two checkers decide still."""
    with _acting(request, Action.GRANT_EXCEPTION, by, file=file, reason=reason) as locked:
        found = _same(locked, file, digest)
        found.exception, found.exception_by = reason.strip(), by
        found.save(update_fields=["exception", "exception_by"])
        notes = notify([locked.author], by, Action.GRANT_EXCEPTION, locked.state, _proposal(locked), request=locked)
        _keep(locked)
        event = _draft(Action.GRANT_EXCEPTION, locked, reason, file=file, digest=digest)
        record([event], by=by, rows=[locked, found, *notes])
    return locked


def submit_request(*, request: AirlockRequest, by: User, revision: int | None = None) -> AirlockRequest:
    """Hand the files to the checkers, once the checks have seen each again as things stand now."""
    if WORKFLOW.row(request.state, Action.SUBMIT):
        check_bytes(request)
    with _acting(request, None, by, revision) as locked:
        files = list(files_of(locked).select_related("request__study"))
        for file in files:
            _check(file)
        WORKFLOW.check(airlock_facts(locked), Action.SUBMIT, by.person)
        digests = {file.name: file.digest for file in files}
        _move(locked, Action.SUBMIT, by, rows=files, files=digests)
    return locked


def vote(
    *,
    request: AirlockRequest,
    by: User,
    file: str,
    digest: str,
    verdict: Verdict,
    ground: str = "",
    reason: str = "",
) -> AirlockRequest:
    """A checker's vote on the bytes that they read. The last vote of the round opens all, and moves the request.

    Until then row and event hold it sealed, at one length whatever it says.
    """
    if WORKFLOW.row(request.state, Action.VOTE):
        check_bytes(request, file)
    if refusal := voting(verdict, ground, reason):
        raise RuleBroken(refusal)
    if len(reason) > MOST_CHARACTERS:
        raise InputError(f"a reason has {MOST_CHARACTERS} characters at most")
    with _acting(request, Action.VOTE, by, file=file) as locked:
        found = _same(locked, file, digest)
        if found.kind not in LEAVING:
            raise InputError(f"{file} supports other files and does not leave: it needs no vote")
        cast = _cast(
            found, by, seal(found, by, verdict, ground if verdict is not Verdict.APPROVE else "", reason.strip())
        )
        _keep(locked)
        record([_draft(Action.VOTE, locked, file=file, digest=digest, sealed=cast.sealed)], by=by, rows=[locked, cast])
        if not airlock_facts(locked).open_files:
            _open(locked)
    return locked


def _cast(file: AirlockFile, by: User, sealed: str) -> AirlockVote:
    """The rules have let it pass; of two who act at one instant the database lets the first."""
    try:
        with transaction.atomic():
            return AirlockVote.objects.create(request=file.request, file=file, checker=by, sealed=sealed)
    except IntegrityError:
        raise RuleBroken(Refusal("airlock-voted")) from None


def _open(request: AirlockRequest) -> None:
    """All votes are in: open them, and bring the request where they say."""
    files = list(files_of(request).filter(kind__in=LEAVING))
    counted = airlock_facts(request).votes
    votes = [
        vote
        for vote in AirlockVote.objects.filter(file__in=files).select_related("file", "checker")
        if vote.checker.username in counted[vote.file.name]
    ]
    for vote in votes:
        vote.verdict, vote.ground, vote.reason = unseal(vote)
        vote.save(update_fields=["verdict", "ground", "reason"])
    outcomes = {file.name: outcome for file in files if (outcome := outcome_of(file))}
    action = following(list(outcomes.values()))
    WORKFLOW.check(airlock_facts(request), action, SYSTEM)
    asked = [(vote.file, vote.reason) for vote in votes if vote.verdict == Verdict.CHANGE]
    points = _ask(request, asked) if action is Action.RETURN else []
    _move(request, action, None, rows=[*votes, *points], outcomes=outcomes)


def _ask(request: AirlockRequest, asked: Sequence[tuple[AirlockFile | None, str]]) -> list[AirlockPoint]:
    return AirlockPoint.objects.bulk_create(
        AirlockPoint(request=request, round=request.round, file=file, text=text) for file, text in asked
    )


def return_request(
    *, request: AirlockRequest, by: User, points: Sequence[str], revision: int | None = None
) -> AirlockRequest:
    """Send the request back with points, before all votes are in or after; those cast so far are never opened."""
    texts = [text.strip() for text in points if text.strip()]
    with _acting(request, Action.RETURN, by, revision, reason="\n".join(texts)) as locked:
        asked = _ask(locked, [(None, text) for text in texts])
        _move(locked, Action.RETURN, by, f"{len(texts)} points", rows=asked)
    return locked


def answer_airlock_point(*, point: AirlockPoint, by: User, answer: str) -> AirlockPoint:
    """Answer what a checker asked."""
    with _acting(point.request, Action.ANSWER, by) as locked:
        if not answer.strip():
            raise RuleBroken(Refusal("reason"))
        point.answer, point.answered = answer.strip(), timezone.now()
        point.save(update_fields=["answer", "answered"])
        _keep(locked)
        record([_draft(Action.ANSWER, locked, point=point.pk)], by=by, rows=[locked, point])
    return point


def comment_on_request(*, request: AirlockRequest, by: User, text: str) -> AirlockComment:
    """A word on a request, by somebody who may read it; see ``airlock_selectors.visible_comments`` for who reads it."""
    if not text.strip():
        raise InputError("an empty comment says nothing")
    with transaction.atomic():
        locked = AirlockRequest.objects.select_for_update(no_key=True).get(pk=request.pk)
        check_study(locked.study)
        check_account(by)
        by_checker = Role.CHECKER in by.roles and by.username not in airlock_facts(locked).team
        said = {"author": by, "by_checker": by_checker, "text": text.strip(), "round": locked.round}
        comment = AirlockComment.objects.create(request=locked, **said)
        record([_draft("comment", locked, comment=comment.pk)], by=by, rows=[comment])
    return comment


def close_request(
    *, request: AirlockRequest, by: User | None, action: Action, reason: str = "", revision: int | None = None
) -> AirlockRequest:
    """Withdraw a request that is on its way, or retract one whose files have left."""
    if action not in (Action.WITHDRAW, Action.RETRACT):
        raise ValueError(f"'{action}' is an action of its own")
    with _acting(request, action, by, revision, reason) as locked:
        _move(locked, action, by, reason)
    return locked


def note_release(
    *, request: AirlockRequest, by: User, root: str, manifest: str, key_id: str, files: Mapping[str, str]
) -> AirlockRequest:
    """The files lie with their signed manifest in the study's airlock: from now on they are out."""
    with _acting(request, Action.RELEASE, by) as locked:
        locked.root, locked.manifest, locked.key_id = root, manifest, key_id
        _move(locked, Action.RELEASE, by, root=root, manifest=manifest, key=key_id, files=dict(files))
    return locked


def note_download(*, request: AirlockRequest, by: User, file: str = "") -> None:
    """That somebody on the team takes a released file, or all, away; RuleBroken for everybody else."""
    if request.state != State.RELEASED:
        raise RuleBroken(Refusal("airlock-not-released", {"state": request.state}))
    if by.username not in team_of(request.study):
        raise RuleBroken(Refusal("not-on-team"))
    with transaction.atomic():
        record([_draft("download", request, file=file)], by=by)


def hold_approved(*, request: AirlockRequest, findings: Mapping[str, Sequence[str]]) -> AirlockRequest:
    """Approved files that the checks hold now, after what was released meanwhile, go back to their author."""
    with _acting(request, Action.RETURN, None, reason="held") as locked:
        files = {file.name: file for file in files_of(locked)}
        asked = _ask(locked, [(files[name], " ".join(said)) for name, said in findings.items()])
        _move(locked, Action.RETURN, None, "held by the checks", rows=asked, files=sorted(findings))
    return locked


def check_bytes(request: AirlockRequest, name: str = "") -> None:
    """RuleBroken, and the request void, unless the files (or the one of this name) are stored as handed in."""
    for file in files_of(request).filter(**({"name": name} if name else {})):
        if read_intact(request.study.number, file.digest, file.name) is None:
            refusal = Refusal("airlock-changed", {"file": file.name})
            if WORKFLOW.row(request.state, Action.VOID):
                _void(request, file, str(refusal))
            raise RuleBroken(refusal)


def _void(request: AirlockRequest, file: AirlockFile, problem: str) -> None:
    with _acting(request, Action.VOID, None) as locked:
        locked.problem = problem
        _move(locked, Action.VOID, None, problem, file=file.name, digest=file.digest)


def expire_requests(*, now: datetime) -> list[AirlockRequest]:
    """Requests that nobody has moved for too long: what the checks compared them with is no longer what is out."""
    states = next(row.sources for row in WORKFLOW.transitions if row.action is Action.EXPIRE)
    last = now - timedelta(days=load_settings().airlock.days)
    expired = []
    for request in AirlockRequest.objects.filter(state__in=states, since__lt=last):
        with _acting(request, Action.EXPIRE, None) as locked:
            _move(locked, Action.EXPIRE, None)
            expired.append(locked)
    return expired


def _same(request: AirlockRequest, name: str, digest: str) -> AirlockFile:
    """The file, if its bytes are those that the person read."""
    file = find_file(request, name)
    if file.digest != digest:
        raise RuleBroken(Refusal("moved-on", {"state": request.state}))
    return file


@contextmanager
def _acting(
    request: AirlockRequest,
    action: Action | None,
    by: User | None,
    revision: int | None = None,
    reason: str = "",
    *,
    file: str = "",
) -> Iterator[AirlockRequest]:
    """The request, locked and open to this action by this person (None: the caller asks the rules itself)."""
    with transaction.atomic():
        rows: QuerySet[AirlockRequest] = AirlockRequest.objects.select_for_update(no_key=True, of=("self",))
        locked = rows.select_related("study", "author").get(pk=request.pk)
        check_study(locked.study)
        if by is not None:
            check_account(by)
        if revision is not None and revision != locked.revision:
            raise RuleBroken(Refusal("moved-on", {"state": locked.state}))
        if action is not None:
            row = WORKFLOW.check(airlock_facts(locked, file), action, by.person if by else SYSTEM)
            if row.reason and not reason.strip():
                raise RuleBroken(Refusal("reason"))
        yield locked


def _move(
    request: AirlockRequest,
    action: Action,
    by: User | None,
    reason: str = "",
    *,
    rows: Sequence[Model] = (),
    **details: Any,
) -> None:
    """Bring the request where the rules say, tell those concerned, and append the event; ``rows``: written besides."""
    before = request.state
    row = WORKFLOW.row(before, action)
    assert row is not None
    request.state, request.since = row.target or State(before), timezone.now()
    copies = _next_round(request) if action is Action.RETURN else []
    _keep(request)
    notes = notify(airlock_watchers(request), by, action, request.state, _proposal(request), request=request)
    event = _draft(action, request, reason, before=before, after=request.state, **details)
    record([event], by=by, rows=[request, *rows, *copies, *notes])


def _next_round(request: AirlockRequest) -> list[AirlockFile]:
    """What is sent back comes again as a version of its own: the files are copied to it, the votes are not."""
    files = list(files_of(request))
    request.round += 1
    for file in files:
        file.pk, file.round = None, request.round
        file._state.adding = True
        file.save()
    return files


def _keep(request: AirlockRequest) -> None:
    request.revision += 1
    request.save()


def _proposal(request: AirlockRequest) -> Any:
    return request.study.proposals.latest("version")


def _officers() -> QuerySet[User]:
    return User.objects.filter(held_roles__role=Role.DPO, is_active=True)


def _draft(action: str, request: AirlockRequest, reason: str = "", **details: Any) -> Draft:
    return Draft(f"airlock.{action.replace(' ', '-')}", request.number, reason, {"round": request.round, **details})
