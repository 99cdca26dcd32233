"""Every read of the airlock: facts for the rules, who may see which request and which vote, what was released before.

A vote, or a checker's word, is read by nobody but its author and the data protection officer until all votes of its
round are in: every page, command and letter asks here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from erios.accounts.models import User, holding
from erios.airlock.check import Context, Released
from erios.airlock.findings import Finding, Report
from erios.errors import StorageError
from erios.governance.airlock import (
    LEAVING,
    WORKFLOW,
    Action,
    Destination,
    Facts,
    Kind,
    State,
    Verdict,
    next_actors,
    outcome,
    reads_votes,
)
from erios.governance.roles import Role
from erios.governance.study import State as StudyState
from erios.settings import load_settings
from erios.studies.airlock_models import AirlockComment, AirlockFile, AirlockRequest, AirlockVote
from erios.studies.airlock_store import path_of, read_intact
from erios.studies.extract_selectors import team_of
from erios.studies.models import PartKind, Study
from erios.studies.selectors import everybody_on, own_studies
from erios.vault import Vault

_CHECKS = frozenset({Role.CHECKER, Role.DPO})
_OUT = (State.RELEASED, State.RETRACTED)
"""States in which files have left: they may be read outside for ever."""


def visible_requests(user: User) -> QuerySet[AirlockRequest]:
    """Requests that a person may read: the team's own; for checkers and the DPO, those that were submitted, or for
    whose files an exception is asked."""
    seen = Q(study__in=own_studies(user))
    if user.roles & _CHECKS:
        seen |= Q(round__gt=1) | ~Q(state=State.DRAFT)
    if Role.DPO in user.roles:
        seen |= Q(files__in=AirlockFile.objects.exclude(exception_asked=""))
    requests = AirlockRequest.objects.filter(seen).distinct()
    return requests.select_related("study__proposer", "author").order_by("-created")


def files_of(request: AirlockRequest, round: int = 0) -> QuerySet[AirlockFile]:
    """The files of a round, the current one without a number."""
    return request.files.filter(round=round or request.round).order_by("pk")


def airlock_facts(request: AirlockRequest, file: str = "") -> Facts:
    """What the rules must know of a request, or of one file of it, as it stands in the database now."""
    files = list(files_of(request))
    leaving = [one for one in files if one.kind in LEAVING]
    named = next((one for one in files if one.name == file), None)
    return Facts(
        state=State(request.state),
        author=request.author.username,
        team=everybody_on(request.study),
        current=team_of(request.study),
        destination=Destination(request.destination),
        files=tuple(one.name for one in leaving),
        incomplete=tuple(one.name for one in files if not (one.context.strip() and one.controls.strip())),
        held=tuple(one.name for one in leaving if one.held and not one.exception),
        votes=_counted(request, files),
        file=file,
        asked=bool(named and named.held and named.exception_asked and not named.exception),
        points_open=request.points.filter(answered__isnull=True).count(),
        study_active=lets_out(request.study),
    )


def lets_out(study: Study) -> bool:
    """May anything leave the study? While it is active, and when it is over: results come at the end, and later."""
    states = [StudyState.ACTIVE, StudyState.EXPIRED, StudyState.CLOSED, StudyState.ARCHIVED]
    return study.proposals.filter(state__in=states).exists()


def _counted(request: AirlockRequest, files: Sequence[AirlockFile]) -> dict[str, frozenset[str]]:
    """Who has voted on each file; whoever has joined the team since counts no more."""
    team = everybody_on(request.study)
    votes = AirlockVote.objects.filter(file__in=files).values_list("file_id", "checker__username")
    return {file.name: frozenset(login for pk, login in votes if pk == file.pk and login not in team) for file in files}


def airlock_actions_for(request: AirlockRequest, user: User, file: str = "") -> list[Action]:
    """What this person may do with the request, or one file of it, now."""
    return WORKFLOW.possible(airlock_facts(request, file), user.person)


# --- checks ---


def context_of(file: AirlockFile) -> Context:
    """What the checks must know beside a file: what study and team had out before, and the data behind it."""
    request = file.request
    behind = files_of(request, file.round).filter(kind=Kind.SUPPORTING, behind=file.name)
    return Context(
        earlier=earlier_releases(request),
        attachments=[path_of(request.study.number, one.digest, one.name) for one in behind],
        columns=file.columns,
        settings=load_settings().airlock,
    )


def earlier_releases(request: AirlockRequest) -> list[Released]:
    """Every file that left the study before, or another study of anybody who is or was on its team."""
    people = User.objects.filter(username__in=everybody_on(request.study))
    kinds = [PartKind.PROPOSER, PartKind.TEAM]
    shared = Q(study=request.study) | Q(
        study__in=Study.objects.filter(proposals__parts__person__in=people, proposals__parts__kind__in=kinds)
    )
    before = AirlockRequest.objects.filter(shared, state__in=_OUT).exclude(pk=request.pk).distinct().order_by("pk")
    return [_released(file) for one in before.select_related("study") for file in released_files(one)]


def _released(file: AirlockFile) -> Released:
    content = read_intact(file.request.study.number, file.digest, file.name)
    if content is None:
        raise StorageError(
            f"{file.name}, which {file.request.number} has let out, is not stored as it left: nothing can be compared"
            " with it; restore the studies zone"
        )
    return Released(f"{file.request.number}/{file.name}", content)


def released_files(request: AirlockRequest) -> list[AirlockFile]:
    """The files that leave: of the last round, those that both checkers approved."""
    files = files_of(request).filter(kind__in=LEAVING).select_related("request__study").prefetch_related("votes")
    return [file for file in files if outcome_of(file) is Verdict.APPROVE]


def outcome_of(file: AirlockFile) -> Verdict | None:
    """What the opened votes on a file come to; None before."""
    given = [Verdict(vote.verdict) for vote in file.votes.all() if vote.verdict]
    return outcome(given) if given else None


# --- what a person is shown ---

FATES = {Verdict.APPROVE: "approved", Verdict.CHANGE: "returned", Verdict.REFUSE: "refused"}
"""What a file is called once the votes on it are open."""


@dataclass(frozen=True)
class ShownVote:
    """A vote as a reader may see it: ``verdict`` empty while it is sealed to them, ``who`` empty for the team."""

    who: str
    verdict: str
    ground: str
    reason: str
    mine: bool


@dataclass(frozen=True)
class ShownFile:
    """A file on a page: its report in the reader's language, the votes, and what the reader may do to it now."""

    file: AirlockFile
    report: Report
    votes: tuple[ShownVote, ...]
    outcome: Verdict | None
    mine: tuple[Action, ...]

    @property
    def votable(self) -> bool:
        """Whether the reader's vote is wanted."""
        return Action.VOTE in self.mine and self.file.kind in LEAVING

    @property
    def fate(self) -> str:
        """What the opened votes came to, in a word."""
        return FATES[self.outcome] if self.outcome else ""

    @property
    def numbered(self) -> list[tuple[int, Finding]]:
        """The findings with the numbers by which a table's cells are marked."""
        return list(enumerate(self.report.findings, 1))


def shown_files(request: AirlockRequest, user: User, round: int = 0) -> list[ShownFile]:
    """The files of a round, in order."""
    facts = airlock_facts(request)
    files = files_of(request, round).prefetch_related("votes__checker")
    return [
        ShownFile(
            file,
            Report.from_json(file.report),
            tuple(_shown_vote(vote, facts, user) for vote in file.votes.all() if _is_shown(vote, facts, user)),
            outcome_of(file),
            tuple(airlock_actions_for(request, user, file.name)) if file.round == request.round else (),
        )
        for file in files
    ]


def refused_before(file: AirlockFile) -> list[AirlockFile]:
    """Files of the same bytes that checkers did not approve before, in whatever request: asking again hides nothing."""
    same = AirlockFile.objects.filter(digest=file.digest).exclude(pk=file.pk).order_by("pk")
    opened = same.filter(votes__verdict__in=[Verdict.REFUSE, Verdict.CHANGE]).distinct()
    return list(opened.select_related("request").prefetch_related("votes"))


def _is_shown(vote: AirlockVote, facts: Facts, user: User) -> bool:
    return bool(vote.verdict) or vote.checker_id == user.pk or reads_votes(facts, user.person)


def _shown_vote(vote: AirlockVote, facts: Facts, user: User) -> ShownVote:
    verdict, ground, reason = (vote.verdict, vote.ground, vote.reason) if vote.verdict else unseal(vote)
    who = "" if user.username in facts.team else vote.checker.name
    return ShownVote(who, verdict, ground, reason, vote.checker_id == user.pk)


def visible_comments(request: AirlockRequest, user: User) -> list[AirlockComment]:
    """Words on a request; a checker's of the round under review are its author's and the DPO's alone."""
    comments = request.comments.select_related("author").order_by("pk")
    if request.state != State.SUBMITTED or reads_votes(airlock_facts(request), user.person):
        return list(comments)
    return [one for one in comments if not one.by_checker or one.round < request.round or one.author_id == user.pk]


_LONG = 4608
"""Bytes of a vote before it is sealed, filled up, so that its length tells nothing."""


def seal(file: AirlockFile, checker: User, verdict: str, ground: str, reason: str) -> str:
    """A vote as it lies in row and record until all are in."""
    said = json.dumps([verdict, ground, reason], ensure_ascii=False).encode()
    return base64.b64encode(Vault(load_settings().keyring).seal(said.ljust(_LONG), _place(file, checker))).decode()


def unseal(vote: AirlockVote) -> tuple[str, str, str]:
    """Verdict, ground and reason of a sealed vote; for the eyes that ``_is_shown`` allows, and for opening them."""
    said = Vault(load_settings().keyring).unseal(base64.b64decode(vote.sealed), _place(vote.file, vote.checker))
    verdict, ground, reason = json.loads(said)
    return verdict, ground, reason


def _place(file: AirlockFile, checker: User) -> str:
    return f"airlock vote {file.pk} {file.digest} {checker.pk}"


# --- queues and figures ---


@dataclass(frozen=True)
class WaitingRequest:
    """One line of a queue; ``mine``: what the reader may do now; ``title``: of the study."""

    request: AirlockRequest
    waits_for: tuple[str, ...]
    age: timedelta
    mine: tuple[Action, ...]

    @property
    def title(self) -> str:
        """The study's title."""
        return str(self.request.study.proposals.latest("version").content.get("title", ""))


def request_lines(user: User, *, waiting: bool = False) -> list[WaitingRequest]:
    """Requests that a person may read, or those of them that wait for somebody: the reader's own business first."""
    now = timezone.now()
    lines = [
        WaitingRequest(one, waits_for(one), now - one.since, tuple(airlock_actions_for(one, user)))
        for one in visible_requests(user)
        if not waiting or waits_for(one)
    ]
    return sorted(lines, key=lambda line: (not line.mine, -line.age.total_seconds())) if waiting else lines


def request_lines_of(study: Study, user: User) -> list[AirlockRequest]:
    """The requests of a study that a person may read, newest first."""
    return list(visible_requests(user).filter(study=study))


def waits_for(request: AirlockRequest) -> tuple[str, ...]:
    """Whom a request waits for."""
    return next_actors(State(request.state), Destination(request.destination))


def airlock_watchers(request: AirlockRequest) -> list[User]:
    """Who is told of a change: the author, and whoever the request waits for; no checker of the team's own."""
    roles = [Role(name) for name in waits_for(request) if name in list(Role)]
    told = Q(pk=request.author_id) | (holding(roles) & ~Q(username__in=everybody_on(request.study)))
    return list(User.objects.filter(told, is_active=True).distinct())
