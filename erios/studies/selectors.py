"""Every read of studies: facts for the rules, queues, what a person may see, the public register."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from erios.accounts.models import User, holding
from erios.accounts.sealed_rows import check_study
from erios.governance.airlock import State as AirlockState
from erios.governance.proposal import FINDINGS, Finding, LegalRoute, lint
from erios.governance.publication import State as PublicationState
from erios.governance.purposes import Declaration
from erios.governance.roles import Permission, Role
from erios.governance.study import Action, Facts, Opinion, State, next_actors, possible
from erios.settings import load_settings
from erios.studies.models import PartKind, Proposal, Study
from erios.translation import gettext, mark

PUBLIC = (State.ACTIVE, State.SUSPENDED, State.EXPIRED, State.CLOSED, State.ARCHIVED)
"""States in which the register shows a study; a refused one is counted, not named."""


def facts_of(proposal: Proposal, missing: Sequence[str] = (), declared: Sequence[Declaration] = ()) -> Facts:
    """What the rules must know of a proposal, as it stands in the database now."""
    parts = list(proposal.parts.select_related("person"))
    visa = next(((p.person.username, Opinion(p.opinion)) for p in parts if p.kind == PartKind.VISA), None)
    return Facts(
        state=State(proposal.state),
        proposer=next((p.person.username for p in parts if p.kind == PartKind.PROPOSER), ""),
        team=frozenset(p.person.username for p in parts if p.kind == PartKind.TEAM),
        votes={p.person.username: Opinion(p.opinion) for p in parts if p.kind == PartKind.VOTE},
        visa=visa,
        missing=tuple(missing),
        declarations=tuple(declared),
        points_open=proposal.points.filter(answered__isnull=True).count(),
        conditions_open=proposal.conditions.filter(met__isnull=True).count(),
        agreed=frozenset(Role(role) for role in proposal.agreements.values_list("role", flat=True)),
        quorum=load_settings().portal.quorum,
    )


def actions_for(proposal: Proposal, user: User) -> list[Action]:
    """What this person may do with the proposal now."""
    return possible(facts_of(proposal), user.person)


def findings(proposal: Proposal) -> list[Finding]:
    """What the linter says of a proposal today."""
    team = proposal.parts.filter(kind=PartKind.TEAM).count()
    today = timezone.localdate().isoformat()
    return lint(proposal.content, routes=legal_routes(), team=team, today=today)


def blocking_fields(proposal: Proposal) -> tuple[str, ...]:
    """Fields that stop the submission, each once."""
    return tuple(dict.fromkeys(finding.field for finding in findings(proposal) if finding.blocks))


_MEMBER = mark("membre de l'équipe")


def finding_sentence(finding: Finding) -> str:
    """The sentence of a finding in the current language."""
    return gettext(FINDINGS[finding.code])


@cache
def legal_routes() -> tuple[LegalRoute, ...]:
    """The legal routes of conf/legal_routes.toml."""
    import tomllib

    raw = tomllib.loads(load_settings().legal_routes.read_text(encoding="utf-8"))
    return tuple(LegalRoute(**{**route, "needs": tuple(route.get("needs", ()))}) for route in raw["route"])


def visible_studies(user: User) -> QuerySet[Study]:
    """Studies that a person may read: the own ones; for reviewers, all that were once submitted."""
    own = Q(proposals__parts__person=user, proposals__parts__kind__in=[PartKind.PROPOSER, PartKind.TEAM])
    seen = own | Q(proposals__submitted__isnull=False) if user.person.may(Permission.REVIEW) else own
    return Study.objects.filter(seen).distinct()


def everybody_on(study: Study) -> frozenset[str]:
    """Logins of the proposers and teams of every version of a study."""
    parts = study.proposals.filter(parts__kind__in=[PartKind.PROPOSER, PartKind.TEAM])
    return frozenset(parts.values_list("parts__person__username", flat=True))


def own_studies(user: User) -> QuerySet[Study]:
    kinds = [PartKind.PROPOSER, PartKind.TEAM]
    return Study.objects.filter(proposals__parts__person=user, proposals__parts__kind__in=kinds).distinct()


@dataclass(frozen=True)
class Waiting:
    """One line of a reviewer's queue; ``mine``: actions that the reader may do now."""

    proposal: Proposal
    waits_for: tuple[str, ...]
    age: timedelta
    mine: tuple[Action, ...]


def queue(user: User) -> list[Waiting]:
    """Proposals on their way that wait for somebody, the reader's own business first, then the oldest."""
    states = [state for state in State if next_actors(state) and state is not State.DRAFT]
    proposals = Proposal.objects.filter(state__in=states, study__in=visible_studies(user)).select_related("study")
    now = timezone.now()
    lines = [Waiting(p, next_actors(State(p.state)), now - p.since, tuple(actions_for(p, user))) for p in proposals]
    return sorted(lines, key=lambda line: (not line.mine, -line.age.total_seconds()))


def watchers(proposal: Proposal) -> list[User]:
    """Who is told of a change: the team, whoever the proposal waits for now, and who has had a part in it."""
    roles = [Role(name) for name in next_actors(State(proposal.state)) if name in list(Role)]
    return list(User.objects.filter(Q(parts__proposal=proposal) | holding(roles), is_active=True).distinct())


@dataclass(frozen=True)
class Registered:
    """A study as the public reads it."""

    number: str
    title: str
    summary: str
    interest: str
    tables: tuple[str, ...]
    team: tuple[str, ...]
    route: str
    state: State
    decided: datetime | None
    ends: str
    retention_years: str
    results: str


def register() -> list[Registered]:
    """Studies of the public register, newest decision first."""
    shown = Proposal.objects.filter(state__in=PUBLIC).select_related("study", "study__proposer").order_by("-decided")
    shown = shown.prefetch_related("study__publications__request")
    check_study(*{proposal.study for proposal in shown})
    return [_registered(proposal) for proposal in shown]


def _registered(proposal: Proposal) -> Registered:
    said: dict[str, Any] = proposal.content
    people: Iterable[User] = [
        part.person for part in proposal.parts.filter(kind__in=[PartKind.PROPOSER, PartKind.TEAM])
    ]
    return Registered(
        number=proposal.study.number,
        title=said.get("title", ""),
        summary=said.get("summary", ""),
        interest=said.get("interest", ""),
        tables=tuple(table["table"] for table in said.get("data") or ()),
        team=tuple(dict.fromkeys(person.title or gettext(_MEMBER) for person in people)),
        route=said.get("route", ""),
        state=State(proposal.state),
        decided=proposal.decided,
        ends=proposal.ends.isoformat() if proposal.ends else "",
        retention_years=str(said.get("retention_years", "")),
        results=_published_results(proposal.study),
    )


def _published_results(study: Study) -> str:
    """The one text that the DPO has agreed to and nobody has withdrawn, nor its release; empty where there is none."""
    texts = [text for text in study.publications.all() if text.state == PublicationState.PUBLISHED]
    return next((text.text for text in texts if not text.request or text.request.state == AirlockState.RELEASED), "")


def refusals() -> dict[str, int]:
    """How many proposals did not pass, by what stopped them."""
    rejected = Proposal.objects.filter(state=State.REJECTED)
    by_visa = rejected.filter(parts__kind=PartKind.VISA, parts__opinion=Opinion.UNFAVOURABLE).distinct().count()
    withdrawn = Proposal.objects.filter(state=State.WITHDRAWN, submitted__isnull=False).count()
    return {"visa": by_visa, "decision": rejected.count() - by_visa, "withdrawn": withdrawn}


def dossier_of(proposal: Proposal, user: User) -> dict[str, Any]:
    """A proposal as plain values, for scripts."""
    facts = facts_of(proposal)
    parts = proposal.parts.select_related("person")
    return {
        "study": proposal.study.number,
        "version": proposal.version,
        "state": proposal.state,
        "since": proposal.since.isoformat(timespec="seconds"),
        "waits_for": list(next_actors(facts.state)),
        "you_may": [str(action) for action in possible(facts, user.person)],
        "proposer": facts.proposer,
        "team": sorted(facts.team),
        "reviews": [f"{p.kind} {p.opinion} by {p.person.username}" for p in parts if p.opinion],
        "points": [f"{p.text}: {p.answer or 'to be answered'}" for p in proposal.points.all()],
        "conditions": [f"{c.text}: {'met' if c.met else 'open'}" for c in proposal.conditions.all()],
        "to_mend": [f"{f.field}: {finding_sentence(f)}" for f in findings(proposal)],
        "content": proposal.content,
    }
