"""The life of an extract: from what a team asks for to a dataset that was cleared, released, and destroyed at last.

Owns the table of transitions and its rules (mechanism: ``workflow``), and ``opening``: may this person read this
extract today? Requester, builder, clearing officer and releaser are four people; none of the last three is on the team.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from erios.governance.roles import Person, Role
from erios.governance.words import Refusal
from erios.governance.workflow import Transition, Workflow


class State(StrEnum):
    """Where an extract stands (docs/design.md §4)."""

    REQUESTED = "requested"
    SPECIFIED = "specification approved"
    BUILT = "built"
    ASSESSED = "assessed"
    CLEARED = "cleared"
    EXCEPTION = "cleared by exception"
    REFUSED = "refused"
    ABANDONED = "abandoned"
    RELEASED = "released"
    REVOKED = "revoked"
    EXPIRED = "expired"
    QUARANTINED = "quarantined"
    STALE = "stale"
    DESTROYED = "destroyed"


class Action(StrEnum):
    """What somebody does to an extract."""

    SPECIFY = "specify"
    ABANDON = "abandon"
    APPROVE_SPECIFICATION = "approve the specification"
    BUILD = "build"
    ASSESS = "assess"
    ASK_CHANGES = "ask for changes"
    APPLY_PROPOSAL = "apply a proposal"
    CLEAR = "clear"
    ASK_EXCEPTION = "ask for an exception"
    GRANT_EXCEPTION = "grant the exception"
    REFUSE = "refuse"
    RELEASE = "release"
    REVOKE = "revoke"
    EXPIRE = "expire"
    QUARANTINE = "quarantine"
    TURN_STALE = "turn stale"
    DESTROY = "destroy"


@dataclass(frozen=True)
class Facts:
    """What the rules must know of an extract; logins, never people's names.

    ``team`` holds the proposer too. ``beyond``: tables or columns wanted that the approved proposal does not name.
    ``k``: patients in the smallest class of the risk report, ``threshold`` the least that is wanted; ``isolating``:
    overlaps with earlier releases that single out fewer. ``reidentified``: the greatest share of patients that an
    attacker of the report found (None: not measured), and its limit. ``expires``: the last day on which it may be read.
    """

    state: State
    requester: str
    team: frozenset[str] = frozenset()
    builder: str = ""
    clearer: str = ""
    study_active: bool = True
    beyond: tuple[str, ...] = ()
    k: int | None = None
    threshold: int = 11
    isolating: int = 0
    reidentified: float | None = None
    reidentified_limit: float = 0.0
    exception_asked: bool = False
    expires: date | None = None

    @property
    def owner(self) -> str:
        """See ``workflow.Facts``."""
        return self.requester


def _study_is_active(facts: Facts, _: Person) -> Refusal | None:
    return None if facts.study_active else Refusal("study-not-active")


def _on_team(facts: Facts, person: Person) -> Refusal | None:
    return None if person.login in facts.team else Refusal("not-on-team")


def _not_involved(facts: Facts, person: Person) -> Refusal | None:
    involved = {facts.requester, *facts.team}
    return Refusal("extract-involved") if person.login in involved else None


def _within_approval(facts: Facts, _: Person) -> Refusal | None:
    return Refusal("beyond-approval", {"columns": facts.beyond}) if facts.beyond else None


def _other_hands(facts: Facts, person: Person) -> Refusal | None:
    """Builder, clearing officer and releaser: distinct people."""
    return Refusal("extract-hands") if person.login in {facts.builder, facts.clearer} else None


def _low_risk(facts: Facts, _: Person) -> Refusal | None:
    if facts.k is None or facts.k < facts.threshold:
        return Refusal("risk-too-high", {"k": facts.k or 0, "threshold": facts.threshold})
    if facts.reidentified is None:
        return Refusal("not-attacked")
    if facts.reidentified > facts.reidentified_limit:
        shares = {"share": facts.reidentified, "limit": facts.reidentified_limit}
        return Refusal("reidentified", {name: f"{100 * share:.1f}" for name, share in shares.items()})
    return Refusal("isolating", {"count": facts.isolating}) if facts.isolating else None


def _asked(facts: Facts, _: Person) -> Refusal | None:
    return None if facts.exception_asked else Refusal("exception-not-asked")


def _not_asked(facts: Facts, _: Person) -> Refusal | None:
    return Refusal("exception-asked") if facts.exception_asked else None


S, A, R = State, Action, Role
BUILT_STATES = (S.BUILT, S.ASSESSED, S.CLEARED, S.EXCEPTION, S.RELEASED)
"""States in which there are data that somebody may come to read."""
_DEAD = (S.REFUSED, S.REVOKED, S.EXPIRED, S.QUARANTINED, S.STALE)
_CLEAR = (S.CLEARED, S.EXCEPTION)
_OFFICER = (_not_involved, _other_hands, _study_is_active)
TRANSITIONS: tuple[Transition[Facts, Action, State], ...] = (
    Transition(A.SPECIFY, (S.REQUESTED,), None, owner=True, rules=(_on_team,)),
    Transition(A.ABANDON, (S.REQUESTED, S.SPECIFIED), S.ABANDONED, owner=True),
    Transition(
        A.APPROVE_SPECIFICATION,
        (S.REQUESTED,),
        S.SPECIFIED,
        (R.DPO,),
        rules=(_not_involved, _study_is_active, _within_approval),
    ),
    Transition(A.BUILD, (S.SPECIFIED,), S.BUILT, (R.DATA_MANAGER,), rules=(_not_involved, _study_is_active)),
    Transition(A.ASSESS, (S.BUILT,), S.ASSESSED, system=True),
    Transition(
        A.ASK_CHANGES,
        (S.REQUESTED, S.SPECIFIED, S.ASSESSED),
        S.REQUESTED,
        (R.DPO,),
        rules=(_not_involved,),
        reason=True,
    ),
    Transition(A.APPLY_PROPOSAL, (S.ASSESSED,), S.REQUESTED, owner=True, rules=(_on_team,)),
    Transition(A.CLEAR, (S.ASSESSED,), S.CLEARED, (R.DPO,), rules=(*_OFFICER, _low_risk)),
    Transition(A.ASK_EXCEPTION, (S.ASSESSED,), None, (R.DPO,), rules=(*_OFFICER, _not_asked), reason=True),
    Transition(A.GRANT_EXCEPTION, (S.ASSESSED,), S.EXCEPTION, (R.CONTROLLER,), rules=(*_OFFICER, _asked), reason=True),
    Transition(
        A.REFUSE, (S.REQUESTED, S.SPECIFIED, S.ASSESSED), S.REFUSED, (R.DPO,), rules=(_not_involved,), reason=True
    ),
    Transition(A.RELEASE, _CLEAR, S.RELEASED, (R.DATA_MANAGER,), rules=_OFFICER),
    Transition(A.REVOKE, (*_CLEAR, S.RELEASED), S.REVOKED, (R.DPO, R.CONTROLLER), reason=True),
    Transition(A.EXPIRE, (*_CLEAR, S.RELEASED), S.EXPIRED, system=True),
    Transition(A.QUARANTINE, BUILT_STATES, S.QUARANTINED, (R.DATA_MANAGER, R.DPO), system=True, reason=True),
    Transition(A.TURN_STALE, BUILT_STATES, S.STALE, system=True),
    Transition(A.DESTROY, _DEAD, S.DESTROYED, (R.DATA_MANAGER,), rules=(_not_involved,)),
)
WORKFLOW = Workflow("requester", TRANSITIONS)
"""Every action in every state that allows it; ``target`` None stays where it is."""
_WAITS_FOR: Mapping[State, tuple[Action, ...]] = {
    S.REQUESTED: (A.APPROVE_SPECIFICATION,),
    S.SPECIFIED: (A.BUILD,),
    S.BUILT: (A.ASSESS,),
    S.ASSESSED: (A.CLEAR,),
    S.CLEARED: (A.RELEASE,),
    S.EXCEPTION: (A.RELEASE,),
    **dict.fromkeys(_DEAD, (A.DESTROY,)),
}


def next_actors(state: State) -> tuple[str, ...]:
    """Whom an extract waits for."""
    return WORKFLOW.actors(state, _WAITS_FOR.get(state, ()))


def opening(facts: Facts, person: Person, today: date) -> Refusal | None:
    """Why this person may not read the extract on this day; None if they may."""
    if facts.state is not S.RELEASED:
        return Refusal(f"extract-{facts.state}" if facts.state in _DEAD else "not-released", {"state": facts.state})
    if facts.expires is None or today > facts.expires:
        return Refusal("extract-expired")
    return _study_is_active(facts, person) or _on_team(facts, person)


_READS_FIGURES = (R.DPO, R.CONTROLLER, R.DATA_MANAGER)


def reads_figures(facts: Facts, person: Person) -> bool:
    """May this person read the exact figures of a built extract: patients, rows, classes, shares?

    Who judges, builds or agrees may; the team and everybody else only once its files are theirs to read: two extracts
    whose cohorts differ by one patient would tell them what is known of that patient.
    """
    if facts.state is S.RELEASED:
        return True
    return person.login not in facts.team and bool(person.roles & frozenset(_READS_FIGURES))


def reads_overlaps(person: Person) -> bool:
    """May this person read how many patients an extract has more or less than what was told before? The DPO alone."""
    return R.DPO in person.roles
