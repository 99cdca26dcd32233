"""Reads of results texts: what the public is shown, what the DPO has to read, what a study's people see of both."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from erios.accounts.models import User
from erios.governance.airlock import State as AirlockState
from erios.governance.publication import WORKFLOW, Action, Facts, State
from erios.studies.models import Proposal, Publication, Study
from erios.studies.selectors import everybody_on, visible_studies


def facts_of(publication: Publication) -> Facts:
    """A version as the rules see it; the team of every version of the study."""
    team, request = everybody_on(publication.study), publication.request
    checked = request is not None and request.state in (AirlockState.APPROVED, AirlockState.RELEASED)
    number = request.number if request else "—"
    return Facts(State(publication.state), publication.study.proposer.username, team, checked, number)


@dataclass(frozen=True)
class Shown:
    """A version on a page; ``mine``: what the reader may do to it now."""

    publication: Publication
    mine: tuple[Action, ...]
    age: timedelta

    @property
    def proposal(self) -> Proposal:
        """The study's latest proposal, which has its title."""
        return self.publication.study.proposals.latest("version")


def _shown(publication: Publication, user: User) -> Shown:
    mine = tuple(WORKFLOW.possible(facts_of(publication), user.person))
    return Shown(publication, mine, timezone.now() - publication.since)


def results_of(study: Study, user: User) -> list[Shown]:
    """All versions of a study's text, newest first."""
    versions = study.publications.select_related("study__proposer", "by", "decided_by", "request")
    return [_shown(publication, user) for publication in versions]


def results_queue(user: User) -> list[Shown]:
    """Texts that wait for this reader's agreement, oldest first."""
    waiting = Publication.objects.filter(state=State.WAITING, study__in=visible_studies(user)).order_by("since")
    lines = [_shown(publication, user) for publication in waiting.select_related("study__proposer", "request")]
    return [line for line in lines if Action.PUBLISH in line.mine]
