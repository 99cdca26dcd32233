"""The life of a study's proposal: states, actions, who may act, and what each action needs first.

Owns the table of transitions and its rules (mechanism: ``workflow``). An amendment is a proposal of its own
that goes the same way; the one in force stays active until the amendment is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from erios.governance.purposes import Declaration, forbidden
from erios.governance.roles import Person, Role
from erios.governance.words import Refusal
from erios.governance.workflow import Transition, Workflow


class State(StrEnum):
    """Where a proposal stands (docs/design.md §4)."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    TRIAGED = "triaged"
    UNDER_REVIEW = "under review"
    RETURNED = "returned"
    WITHDRAWN = "withdrawn"
    APPROVED = "approved"
    CONDITIONAL = "approved with conditions"
    REJECTED = "rejected"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    EXPIRED = "expired"
    CLOSED = "closed"
    ARCHIVED = "archived"
    REPLACED = "replaced"


class Action(StrEnum):
    """What somebody does to a proposal."""

    EDIT = "edit"
    SUBMIT = "submit"
    TRIAGE = "triage"
    OPEN_REVIEW = "open review"
    RETURN = "return"
    ANSWER = "answer"
    WITHDRAW = "withdraw"
    VOTE = "vote"
    VISA = "visa"
    APPROVE = "approve"
    APPROVE_CONDITIONALLY = "approve with conditions"
    REJECT = "reject"
    MEET_CONDITION = "confirm a condition"
    ACTIVATE = "activate"
    SUSPEND = "suspend"
    AGREE_TO_RESUME = "agree to resume"
    EXPIRE = "expire"
    CLOSE = "close"
    ARCHIVE = "archive"
    REPLACE = "replace"


class Relation(StrEnum):
    """What somebody is to the study, beside the roles held."""

    PROPOSER = "proposer"
    TEAM = "team"
    NONE = "none"


class Opinion(StrEnum):
    """A vote, or a visa."""

    FAVOURABLE = "favourable"
    UNFAVOURABLE = "unfavourable"


@dataclass(frozen=True)
class Facts:
    """What the rules must know of a proposal; logins, never people's names.

    ``missing``: what the linter says must be filled before submission. ``votes``: login → opinion. ``agreed``: roles
    that have agreed to resume.
    """

    state: State
    proposer: str
    team: frozenset[str] = frozenset()
    votes: Mapping[str, Opinion] = field(default_factory=dict)
    visa: tuple[str, Opinion] | None = None
    missing: tuple[str, ...] = ()
    declarations: tuple[Declaration, ...] = ()
    points_open: int = 0
    conditions_open: int = 0
    agreed: frozenset[Role] = frozenset()
    quorum: int = 3

    @property
    def owner(self) -> str:
        """See ``workflow.Facts``."""
        return self.proposer

    def relation(self, person: Person) -> Relation:
        if person.login == self.proposer:
            return Relation.PROPOSER
        return Relation.TEAM if person.login in self.team else Relation.NONE

    @property
    def outcome(self) -> Opinion | None:
        """The committee's opinion once enough have voted: favourable needs more than half of the votes."""
        if len(self.votes) < self.quorum:
            return None
        in_favour = sum(opinion is Opinion.FAVOURABLE for opinion in self.votes.values())
        return Opinion.FAVOURABLE if 2 * in_favour > len(self.votes) else Opinion.UNFAVOURABLE


def _not_involved(facts: Facts, person: Person) -> Refusal | None:
    return None if facts.relation(person) is Relation.NONE else Refusal("involved")


def _complete(facts: Facts, _: Person) -> Refusal | None:
    return Refusal("incomplete", {"missing": facts.missing}) if facts.missing else None


def _lawful(facts: Facts, _: Person) -> Refusal | None:
    return next((refusal for answer in facts.declarations if (refusal := forbidden(answer))), None)


def _answered(facts: Facts, _: Person) -> Refusal | None:
    return Refusal("points", {"count": facts.points_open}) if facts.points_open else None


def _met(facts: Facts, _: Person) -> Refusal | None:
    return Refusal("conditions", {"count": facts.conditions_open}) if facts.conditions_open else None


def _not_voted(facts: Facts, person: Person) -> Refusal | None:
    return Refusal("voted") if person.login in facts.votes else None


def _no_visa(facts: Facts, person: Person) -> Refusal | None:
    if person.login in facts.votes:
        return Refusal("voter-visa")
    return Refusal("visa-given") if facts.visa else None


def _reviewed(facts: Facts, person: Person) -> Refusal | None:
    """Vote, visa and decision: distinct people."""
    if facts.outcome is None:
        return Refusal("votes", {"votes": len(facts.votes), "quorum": facts.quorum})
    if facts.visa is None:
        return Refusal("no-visa")
    return Refusal("reviewed-already") if person.login in {*facts.votes, facts.visa[0]} else None


def _favoured(facts: Facts, _: Person) -> Refusal | None:
    if facts.outcome is not Opinion.FAVOURABLE:
        return Refusal("vote-against")
    return None if facts.visa and facts.visa[1] is Opinion.FAVOURABLE else Refusal("visa-against")


def _not_agreed(facts: Facts, person: Person) -> Refusal | None:
    return Refusal("agreed") if person.roles & facts.agreed else None


S, A, R = State, Action, Role
_REVIEWERS = (R.COMMITTEE, R.DPO, R.CONTROLLER)
_BEFORE_DECISION = (S.DRAFT, S.SUBMITTED, S.TRIAGED, S.UNDER_REVIEW, S.RETURNED)
_DECISION = (_not_involved, _reviewed)
TRANSITIONS: tuple[Transition[Facts, Action, State], ...] = (
    Transition(A.EDIT, (S.DRAFT, S.RETURNED), None, owner=True),
    Transition(A.SUBMIT, (S.DRAFT, S.RETURNED), S.SUBMITTED, owner=True, rules=(_complete, _lawful, _answered)),
    Transition(A.TRIAGE, (S.SUBMITTED,), S.TRIAGED, (R.DATA_MANAGER,), rules=(_not_involved,)),
    Transition(A.OPEN_REVIEW, (S.TRIAGED,), S.UNDER_REVIEW, (R.COMMITTEE,), rules=(_not_involved,)),
    Transition(A.RETURN, (S.SUBMITTED, S.TRIAGED), S.RETURNED, (R.DATA_MANAGER,), rules=(_not_involved,), reason=True),
    Transition(A.RETURN, (S.UNDER_REVIEW,), S.RETURNED, _REVIEWERS, rules=(_not_involved,), reason=True),
    Transition(A.ANSWER, (S.RETURNED,), None, owner=True),
    Transition(A.WITHDRAW, _BEFORE_DECISION, S.WITHDRAWN, owner=True),
    Transition(A.VOTE, (S.UNDER_REVIEW,), None, (R.COMMITTEE,), rules=(_not_involved, _not_voted), reason=True),
    Transition(A.VISA, (S.UNDER_REVIEW,), None, (R.DPO,), rules=(_not_involved, _no_visa), reason=True),
    Transition(A.APPROVE, (S.UNDER_REVIEW,), S.APPROVED, (R.CONTROLLER,), rules=(*_DECISION, _favoured), reason=True),
    Transition(
        A.APPROVE_CONDITIONALLY,
        (S.UNDER_REVIEW,),
        S.CONDITIONAL,
        (R.CONTROLLER,),
        rules=(*_DECISION, _favoured),
        reason=True,
    ),
    Transition(A.REJECT, (S.UNDER_REVIEW,), S.REJECTED, (R.CONTROLLER,), rules=_DECISION, reason=True),
    Transition(A.MEET_CONDITION, (S.CONDITIONAL,), None, (R.DPO,), rules=(_not_involved,)),
    Transition(A.ACTIVATE, (S.APPROVED, S.CONDITIONAL), S.ACTIVE, (R.DPO,), rules=(_not_involved, _met)),
    Transition(A.SUSPEND, (S.ACTIVE,), S.SUSPENDED, (R.DPO, R.CONTROLLER), rules=(_not_involved,), reason=True),
    Transition(
        A.AGREE_TO_RESUME,
        (S.SUSPENDED,),
        S.ACTIVE,
        (R.DPO, R.CONTROLLER),
        rules=(_not_involved, _not_agreed),
        reason=True,
    ),
    Transition(A.EXPIRE, (S.ACTIVE, S.SUSPENDED), S.EXPIRED, system=True),
    Transition(A.CLOSE, (S.ACTIVE, S.EXPIRED), S.CLOSED, (R.DPO,), owner=True),
    Transition(A.ARCHIVE, (S.CLOSED,), S.ARCHIVED, (R.DATA_MANAGER,), rules=(_not_involved,)),
    Transition(A.REPLACE, (S.ACTIVE,), S.REPLACED, system=True),
)
"""Every action in every state that allows it; ``target`` None stays where it is."""


WORKFLOW = Workflow("proposer", TRANSITIONS)
transition, refusal, check, possible = WORKFLOW.row, WORKFLOW.refusal, WORKFLOW.check, WORKFLOW.possible


def target(facts: Facts, row: Transition[Facts, Action, State], person: Person) -> State:
    """Where the proposal stands afterwards: a suspended one is resumed once both have agreed."""
    if row.action is Action.AGREE_TO_RESUME and not {Role.DPO, Role.CONTROLLER} <= facts.agreed | person.roles:
        return facts.state
    return row.target or facts.state


def next_actors(state: State) -> tuple[str, ...]:
    """Whom the proposal waits for: those who can move it on, or add what a decision needs."""
    return WORKFLOW.actors(state, _WAITS_FOR.get(state, ()))


_WAITS_FOR: Mapping[State, tuple[Action, ...]] = {
    S.DRAFT: (A.SUBMIT,),
    S.RETURNED: (A.SUBMIT,),
    S.SUBMITTED: (A.TRIAGE,),
    S.TRIAGED: (A.OPEN_REVIEW,),
    S.UNDER_REVIEW: (A.VOTE, A.VISA, A.APPROVE),
    S.APPROVED: (A.ACTIVATE,),
    S.CONDITIONAL: (A.ACTIVATE,),
    S.SUSPENDED: (A.AGREE_TO_RESUME,),
    S.EXPIRED: (A.CLOSE,),
    S.CLOSED: (A.ARCHIVE,),
}
