"""Every write on a study: one keyword-only function each, one transaction that changes the data and appends the event.

Owns the order: the row is locked, the rules are asked on what stands now, the change is made, the audit event appended,
notifications are kept; letters go out after the commit. Who calls has identified ``by``; nothing is trusted of what a
page said it showed, but the ``revision`` that its reader had read.

Rows are locked before the chain, which is held to the end of the transaction, and with ``no_key``: PostgreSQL checks
foreign keys at the commit, and would then wait, the chain in hand, for a row that a transaction behind it has locked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.db.models import Model, QuerySet
from django.db.models.functions import Length
from django.utils import timezone

from erios.accounts.audit_events import record
from erios.accounts.models import User
from erios.accounts.sealed_rows import check_account, check_study
from erios.audit import Draft
from erios.errors import InputError
from erios.extracts.counts import Feasibility, open_counter
from erios.extracts.criteria import parse
from erios.governance.proposal import declarations
from erios.governance.roles import Permission, Role
from erios.governance.study import Action, Opinion, State, check, target, transition
from erios.governance.words import Refusal, RuleBroken
from erios.governance.workflow import SYSTEM
from erios.settings import load_settings
from erios.studies import ledger as ledgers
from erios.studies.emails import notify
from erios.studies.models import (
    Agreement,
    Comment,
    Condition,
    Part,
    PartKind,
    Point,
    Proposal,
    Study,
)
from erios.studies.selectors import blocking_fields, facts_of, watchers

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DECISIONS = {
    Action.APPROVE: State.APPROVED,
    Action.APPROVE_CONDITIONALLY: State.CONDITIONAL,
    Action.REJECT: State.REJECTED,
}
MOVES = frozenset(
    {Action.TRIAGE, Action.OPEN_REVIEW, Action.WITHDRAW, Action.ACTIVATE, Action.SUSPEND, Action.CLOSE, Action.ARCHIVE}
)
"""Actions that only move the proposal."""


def start_study(*, by: User, title: str = "") -> Proposal:
    """A new study with an empty first proposal."""
    if not by.person.may(Permission.PROPOSE):
        raise RuleBroken(Refusal("not-yours", {"action": Action.EDIT, "who": (Role.CLINICIAN, Role.DATA_SCIENTIST)}))
    with transaction.atomic():
        study = _new_study(by)
        proposal = Proposal.objects.create(study=study, content={"title": title} if title else {})
        part = Part.objects.create(proposal=proposal, person=by, kind=PartKind.PROPOSER)
        record([Draft("study.start", study.number)], by=by, rows=[study, proposal, part])
    return proposal


def _new_study(by: User) -> Study:
    """Of two who start at the same instant, the unique column lets one have the number; the other takes the next."""
    while True:
        try:
            with transaction.atomic():
                return Study.objects.create(number=_next_number(), proposer=by)
        except IntegrityError:
            continue


def _next_number() -> str:
    """E2031-007: the seventh study of 2031. Numbers are never used again; after E2031-999 comes E2031-1000."""
    year = timezone.now().year
    last = Study.objects.filter(number__startswith=f"E{year}-").order_by(Length("number").desc(), "-number").first()
    return f"E{year}-{int(last.number.split('-')[1]) + 1 if last else 1:03d}"


def amend(*, study: Study, by: User) -> Proposal:
    """A new version of an active study, to go the whole way while the old one stays active."""
    with transaction.atomic():
        check_study(study)
        last = study.proposals.select_for_update(no_key=True).order_by("-version").first()
        if last is None or last.state != State.ACTIVE or study.proposer_id != by.pk:
            state = last.state if last else State.DRAFT
            raise RuleBroken(Refusal("not-now", {"action": "amend", "state": state}))
        proposal = Proposal.objects.create(study=study, version=last.version + 1, content=last.content)
        kept = last.parts.filter(kind__in=[PartKind.PROPOSER, PartKind.TEAM])
        parts = Part.objects.bulk_create(Part(proposal=proposal, person=part.person, kind=part.kind) for part in kept)
        draft = Draft("study.amend", study.number, details={"version": proposal.version})
        record([draft], by=by, rows=[proposal, *parts])
    return proposal


def save_content(*, proposal: Proposal, by: User, changes: Mapping[str, Any]) -> Proposal:
    """Change fields of a draft; the wizard saves as it goes. The event names the fields, not what they say."""
    with _acting(proposal, Action.EDIT, by) as locked:
        locked.content = {**locked.content, **changes}
        _keep(locked)
        record([_draft(Action.EDIT, locked, fields=sorted(changes))], by=by, rows=[locked])
    return locked


def add_member(*, proposal: Proposal, by: User, member: User) -> Part:
    """Put somebody on the team; somebody who has a part already is refused by the database itself."""
    with _acting(proposal, Action.EDIT, by) as locked:
        try:
            with transaction.atomic():
                part = Part.objects.create(proposal=locked, person=member, kind=PartKind.TEAM)
        except IntegrityError:
            raise RuleBroken(Refusal("reviewer")) from None
        _keep(locked)
        record([_draft("team.add", locked, member=member.username)], by=by, rows=[locked, part])
    return part


def remove_member(*, proposal: Proposal, by: User, member: User) -> None:
    """Take somebody off the team."""
    with _acting(proposal, Action.EDIT, by) as locked:
        parts = list(locked.parts.filter(person=member, kind=PartKind.TEAM))
        locked.parts.filter(person=member, kind=PartKind.TEAM).delete()
        _keep(locked)
        record([_draft("team.remove", locked, member=member.username)], by=by, rows=[locked, *parts])


def submit(*, proposal: Proposal, by: User, revision: int | None = None) -> Proposal:
    """Hand the proposal in; what reviewers said of an earlier round is kept beside it, and they start anew."""
    with _acting(proposal, Action.SUBMIT, by, revision) as locked:
        reviews = locked.parts.filter(kind__in=[PartKind.VOTE, PartKind.VISA])
        locked.earlier_reviews = [*locked.earlier_reviews, *map(_said, reviews)]
        locked.submitted = timezone.now()
        _move(locked, Action.SUBMIT, by, over=reviews)
    return locked


def _said(part: Part) -> dict[str, str]:
    at = part.at.isoformat(timespec="seconds")
    return {"who": part.person.username, "kind": part.kind, "opinion": part.opinion, "reason": part.reason, "at": at}


def move(*, proposal: Proposal, by: User, action: Action, reason: str = "", revision: int | None = None) -> Proposal:
    """An action that only moves the proposal: triage, open review, withdraw, activate, suspend, close, archive."""
    if action not in MOVES:
        raise ValueError(f"'{action}' is an action of its own")
    with _acting(proposal, action, by, revision, reason) as locked:
        if action is Action.ACTIVATE:
            _replace_active(locked, by)
        _move(locked, action, by, reason)
    return locked


def _replace_active(proposal: Proposal, by: User) -> None:
    """An amendment takes the place of the version in force."""
    others = proposal.study.proposals.select_for_update(no_key=True).exclude(pk=proposal.pk)
    for active in others.filter(state=State.ACTIVE):
        _move(active, Action.REPLACE, by)


def return_with_points(*, proposal: Proposal, by: User, points: Sequence[str], revision: int | None = None) -> Proposal:
    """Send the proposal back with written points, each to be answered."""
    texts = [text.strip() for text in points if text.strip()]
    with _acting(proposal, Action.RETURN, by, revision, reason="\n".join(texts)) as locked:
        asked = Point.objects.bulk_create(Point(proposal=locked, author=by, text=text) for text in texts)
        _move(locked, Action.RETURN, by, f"{len(texts)} points", rows=asked)
    return locked


def answer_point(*, point: Point, by: User, answer: str) -> Point:
    """Answer a reviewer's point."""
    with _acting(point.proposal, Action.ANSWER, by, reason=answer, wants_reason=True) as locked:
        point.answer, point.answered = answer.strip(), timezone.now()
        point.save(update_fields=["answer", "answered"])
        _keep(locked)
        record([_draft(Action.ANSWER, locked, point=point.pk)], by=by, rows=[locked, point])
    return point


def vote(*, proposal: Proposal, by: User, opinion: Opinion, reason: str, revision: int | None = None) -> Proposal:
    """A committee member's vote."""
    return _opine(proposal, Action.VOTE, PartKind.VOTE, by, opinion, reason, revision)


def give_visa(*, proposal: Proposal, by: User, opinion: Opinion, reason: str, revision: int | None = None) -> Proposal:
    """The DPO's visa, given or refused."""
    return _opine(proposal, Action.VISA, PartKind.VISA, by, opinion, reason, revision)


def _opine(
    proposal: Proposal,
    action: Action,
    kind: PartKind,
    by: User,
    opinion: Opinion,
    reason: str,
    revision: int | None,
) -> Proposal:
    with _acting(proposal, action, by, revision, reason) as locked:
        part = _take_part(locked, by, kind, opinion, reason)
        _move(locked, action, by, reason, rows=[part], opinion=opinion)
    return locked


def decide(
    *,
    proposal: Proposal,
    by: User,
    action: Action,
    reason: str,
    conditions: Sequence[str] = (),
    revision: int | None = None,
) -> Proposal:
    """The controller's delegate decides: approve, approve with conditions, reject."""
    asked = [text.strip() for text in conditions if text.strip()]
    if action is Action.APPROVE_CONDITIONALLY and not asked:
        raise InputError("an approval with conditions needs at least one condition")
    with _acting(proposal, action, by, revision, reason) as locked:
        part = _take_part(locked, by, PartKind.DECISION, DECISIONS[action], reason)
        made = Condition.objects.bulk_create(Condition(proposal=locked, text=text) for text in asked)
        locked.decided = timezone.now()
        _move(locked, action, by, reason, rows=[part, *made], conditions=len(asked))
    return locked


def _take_part(proposal: Proposal, person: User, kind: PartKind, opinion: str, reason: str) -> Part:
    """The rules have let it pass; where two act at one instant, the database lets the first."""
    try:
        with transaction.atomic():
            return Part.objects.create(
                proposal=proposal, person=person, kind=kind, opinion=opinion, reason=reason.strip()
            )
    except IntegrityError:
        raise RuleBroken(Refusal("moved-on", {"state": proposal.state})) from None


def meet_condition(*, condition: Condition, by: User) -> Condition:
    """Note that a condition of the decision is met."""
    with _acting(condition.proposal, Action.MEET_CONDITION, by) as locked:
        condition.met, condition.met_by = timezone.now(), by
        condition.save(update_fields=["met", "met_by"])
        _keep(locked)
        record([_draft(Action.MEET_CONDITION, locked, condition=condition.pk)], by=by, rows=[locked, condition])
    return condition


def agree_to_resume(*, proposal: Proposal, by: User, reason: str, revision: int | None = None) -> Proposal:
    """One of the two agrees to resume; with both, the study is active again."""
    with _acting(proposal, Action.AGREE_TO_RESUME, by, revision, reason) as locked:
        role = next(iter(by.roles & {Role.DPO, Role.CONTROLLER}))
        if {Role.DPO, Role.CONTROLLER} <= facts_of(locked).agreed | by.roles:
            _move(locked, Action.AGREE_TO_RESUME, by, reason, over=locked.agreements.all())
        else:
            agreement = Agreement.objects.create(proposal=locked, role=role, person=by)
            _move(locked, Action.AGREE_TO_RESUME, by, reason, rows=[agreement])
    return locked


def expire_studies(*, today: date) -> list[Proposal]:
    """Active and suspended studies whose end has passed; run every night."""
    due = Proposal.objects.filter(state__in=[State.ACTIVE, State.SUSPENDED], ends__lt=today)
    expired = []
    for proposal in due:
        with transaction.atomic():
            locked = Proposal.objects.select_for_update(no_key=True).get(pk=proposal.pk)
            check_study(locked.study)
            check(facts_of(locked), Action.EXPIRE, SYSTEM)
            _move(locked, Action.EXPIRE, None)
            expired.append(locked)
    return expired


def comment(*, study: Study, by: User, text: str) -> Comment:
    """A word in the study's thread."""
    if not text.strip():
        raise InputError("an empty comment says nothing")
    with transaction.atomic():
        said = Comment.objects.create(study=study, author=by, text=text.strip())
        record([Draft("study.comment", study.number, details={"comment": said.pk})], by=by, rows=[said])
    return said


def ask_count(*, study: Study, by: User, criteria: Any, spark: SparkSession | None = None) -> Feasibility:
    """Count patients for a study: what may be shown, given all that the hospital answered before; charged to the study
    and the person, and on the record.

    With a session Spark counts, else DuckDB, with the same answer. Who meets the criteria is found before the ledger is
    held, for that may take long.
    """
    if not by.person.may(Permission.COUNT):
        raise RuleBroken(Refusal("not-yours", {"action": "count", "who": (Role.CLINICIAN, Role.DATA_MANAGER)}))
    criterion = parse(criteria)
    counter = open_counter(load_settings(), spark=spark)
    counter.prepare(criterion)
    ledgers.enrol(counter)
    with ledgers.open_ledger() as ledger:
        answer = counter.count(criterion, ledger, ledgers.reader_of(study, by, counter.parameters))
        check_study(study)
        rows = [*ledgers.keep(answer.entry, ledger), *ledgers.charge(answer, study, by)]
        details = {"digest": answer.digest, "release": answer.release, "cost": answer.cost}
        record([Draft("study.count", study.number, details=details)], by=by, rows=rows)
    return answer


@contextmanager
def _acting(
    proposal: Proposal,
    action: Action,
    by: User,
    revision: int | None = None,
    reason: str = "",
    *,
    wants_reason: bool = False,
) -> Iterator[Proposal]:
    """The proposal, locked and found open to this action by this person; RuleBroken says why not."""
    with transaction.atomic():
        locked = Proposal.objects.select_for_update(no_key=True).select_related("study").get(pk=proposal.pk)
        check_study(locked.study)
        check_account(by)
        if revision is not None and revision != locked.revision:
            raise RuleBroken(Refusal("moved-on", {"state": locked.state}))
        missing = blocking_fields(locked) if action is Action.SUBMIT else ()
        row = check(facts_of(locked, missing, declarations(locked.content)), action, by.person)
        if (row.reason or wants_reason) and not reason.strip():
            raise RuleBroken(Refusal("reason"))
        yield locked


def _move(
    proposal: Proposal,
    action: Action,
    by: User | None,
    reason: str = "",
    *,
    rows: Sequence[Model] = (),
    over: QuerySet[Any] | None = None,
    **details: Any,
) -> None:
    """Bring the proposal where the rules say, tell those concerned, and append the event.

    ``rows``: what the action has written besides; ``over``: rows that end with the move.
    """
    before = proposal.state
    row = transition(State(before), action)
    assert row is not None
    proposal.state = target(facts_of(proposal), row, by.person if by else SYSTEM)
    if proposal.state != before:
        proposal.since = timezone.now()
    if action is Action.ACTIVATE:
        proposal.ends = date.fromisoformat(proposal.content["ends"])
    _keep(proposal)
    notes = notify(watchers(proposal), by, action, proposal.state, proposal)
    written = [proposal, *rows, *_deleted(over), *notes]
    record([_draft(action, proposal, reason, before=before, after=proposal.state, **details)], by=by, rows=written)


def _deleted(over: QuerySet[Any] | None) -> list[Model]:
    gone = [] if over is None else list(over)
    if over is not None:
        over.delete()
    return gone


def _keep(proposal: Proposal) -> None:
    proposal.revision += 1
    proposal.save()


def _draft(action: str, proposal: Proposal, reason: str = "", **details: Any) -> Draft:
    known = {"version": proposal.version, **details}
    return Draft(f"study.{action.replace(' ', '-')}", proposal.study.number, reason, known)
