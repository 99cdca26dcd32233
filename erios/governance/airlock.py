"""The life of a request to let files out of a study: asked by its team, voted on by two checkers, released, or not.

Owns the table of transitions, the rules of voting and what follows from the votes (mechanism: ``workflow``). Two
checkers who are neither author nor team vote on every file that would leave, and neither reads the other's vote before
all votes of the request are in. The strictest vote on a file decides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from erios.governance.roles import Person, Role
from erios.governance.words import Refusal
from erios.governance.workflow import Transition, Workflow

CHECKERS = 2
"""Votes that a file needs, each of another person."""


class State(StrEnum):
    """Where a request stands."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    RETURNED = "returned"
    APPROVED = "approved"
    RELEASED = "released"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    VOIDED = "voided"
    RETRACTED = "retracted"


class Action(StrEnum):
    """What somebody does to a request."""

    EDIT = "edit"
    ASK_EXCEPTION = "ask for an exception"
    GRANT_EXCEPTION = "grant the exception"
    SUBMIT = "submit"
    VOTE = "vote"
    APPROVE = "approve"
    RETURN = "return"
    REJECT = "reject"
    ANSWER = "answer"
    RELEASE = "release"
    WITHDRAW = "withdraw"
    EXPIRE = "expire"
    VOID = "void"
    RETRACT = "retract"


class Verdict(StrEnum):
    """A checker's vote on a file, from the mildest on: the strictest of a file decides."""

    APPROVE = "approve"
    CHANGE = "ask for changes"
    REFUSE = "refuse"


class Ground(StrEnum):
    """Why a file is not let out, in one of few words that the public page may count; the reason itself is written."""

    SMALL = "ground-small"
    IDENTIFIABLE = "ground-identifiable"
    DIFFERENCING = "ground-differencing"
    RECORDS = "ground-records"
    MODEL = "ground-model"
    CONTEXT = "ground-context"
    OTHER = "ground-other"


class Kind(StrEnum):
    """What a file is to its request. What supports the others is read by the checkers and never leaves."""

    OUTPUT = "output"
    SUPPORTING = "supporting"
    CODE = "source code"


LEAVING = (Kind.OUTPUT, Kind.CODE)
"""Kinds that leave, so that each such file is voted on."""


class Destination(StrEnum):
    """For whom the files are: the study's team, outside of the workbench; or everybody."""

    TEAM = "for the team"
    PUBLIC = "for the public"


@dataclass(frozen=True)
class Facts:
    """What the rules must know of a request; logins, never people's names.

    ``team``: everybody who is or was on a version of the study; ``current``: who is now. ``files``: names of those that
    leave; ``incomplete`` and ``held``: which lack their context or controls, and which the checks hold. ``votes``: name
    of a leaving file → checkers whose vote counts; ``file``: the one that it is about, empty for any.
    """

    state: State
    author: str
    team: frozenset[str] = frozenset()
    current: frozenset[str] = frozenset()
    destination: Destination = Destination.TEAM
    files: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    votes: Mapping[str, Collection[str]] = field(default_factory=dict)
    file: str = ""
    asked: bool = False
    points_open: int = 0
    study_active: bool = True

    @property
    def owner(self) -> str:
        """See ``workflow.Facts``."""
        return self.author

    @property
    def open_files(self) -> tuple[str, ...]:
        """Those, or the one, that still need a vote."""
        wanted = [self.file] if self.file else self.files
        return tuple(name for name in wanted if len(self.votes.get(name, ())) < CHECKERS)


def _independent(facts: Facts, person: Person) -> Refusal | None:
    return Refusal("involved") if person.login in {facts.author, *facts.team} else None


def _on_team(facts: Facts, person: Person) -> Refusal | None:
    return None if person.login in facts.current else Refusal("not-on-team")


def _study_is_active(facts: Facts, _: Person) -> Refusal | None:
    return None if facts.study_active else Refusal("airlock-study-not-active")


def _complete(facts: Facts, _: Person) -> Refusal | None:
    if not facts.files:
        return Refusal("airlock-empty")
    return Refusal("airlock-incomplete", {"files": facts.incomplete}) if facts.incomplete else None


def _not_held(facts: Facts, _: Person) -> Refusal | None:
    return Refusal("airlock-held", {"files": facts.held}) if facts.held else None


def _answered(facts: Facts, _: Person) -> Refusal | None:
    return Refusal("points", {"count": facts.points_open}) if facts.points_open else None


def _may_vote(facts: Facts, person: Person) -> Refusal | None:
    if not facts.open_files:
        return Refusal("airlock-two-voted")
    voted = all(person.login in facts.votes.get(name, ()) for name in facts.open_files)
    return Refusal("airlock-voted") if voted else None


def _checked_by_two(facts: Facts, _: Person) -> Refusal | None:
    """A vote of somebody who has joined the team since counts no more."""
    waiting = tuple(name for name in facts.files if len(facts.votes.get(name, ())) < CHECKERS)
    return Refusal("airlock-unchecked", {"files": waiting}) if waiting else None


def _releaser(facts: Facts, person: Person) -> Refusal | None:
    """What becomes public is the data protection officer's to agree to, what the team takes away the checkers'."""
    role = Role.DPO if facts.destination is Destination.PUBLIC else Role.CHECKER
    return None if role in person.roles else Refusal("not-yours", {"action": Action.RELEASE, "who": (role,)})


def _asked(facts: Facts, _: Person) -> Refusal | None:
    return None if facts.asked else Refusal("airlock-exception-not-asked")


S, A, R = State, Action, Role
_OPEN = (S.DRAFT, S.RETURNED)
_READY = (_on_team, _study_is_active, _complete, _not_held, _answered)
TRANSITIONS: tuple[Transition[Facts, Action, State], ...] = (
    Transition(A.EDIT, _OPEN, None, owner=True, rules=(_on_team,)),
    Transition(A.ASK_EXCEPTION, _OPEN, None, owner=True, rules=(_on_team,), reason=True),
    Transition(A.GRANT_EXCEPTION, _OPEN, None, (R.DPO,), rules=(_independent, _asked), reason=True),
    Transition(A.SUBMIT, _OPEN, S.SUBMITTED, owner=True, rules=_READY),
    Transition(A.VOTE, (S.SUBMITTED,), None, (R.CHECKER,), rules=(_independent, _may_vote)),
    Transition(A.APPROVE, (S.SUBMITTED,), S.APPROVED, system=True, rules=(_checked_by_two,)),
    Transition(
        A.RETURN,
        (S.SUBMITTED, S.APPROVED),
        S.RETURNED,
        (R.CHECKER,),
        system=True,
        rules=(_independent,),
        reason=True,
    ),
    Transition(A.REJECT, (S.SUBMITTED,), S.REJECTED, system=True, rules=(_checked_by_two,)),
    Transition(A.ANSWER, (S.RETURNED,), None, owner=True),
    Transition(
        A.RELEASE,
        (S.APPROVED,),
        S.RELEASED,
        (R.CHECKER, R.DPO),
        rules=(_independent, _study_is_active, _releaser, _checked_by_two),
    ),
    Transition(A.WITHDRAW, (*_OPEN, S.SUBMITTED, S.APPROVED), S.WITHDRAWN, owner=True, system=True),
    Transition(A.EXPIRE, (*_OPEN, S.SUBMITTED, S.APPROVED), S.EXPIRED, system=True),
    Transition(A.VOID, (*_OPEN, S.SUBMITTED, S.APPROVED, S.RELEASED), S.VOIDED, system=True),
    Transition(A.RETRACT, (S.RELEASED,), S.RETRACTED, (R.DPO,), owner=True, reason=True),
)
"""Every action in every state that allows it; ``target`` None stays where it is."""

WORKFLOW = Workflow("author", TRANSITIONS)
_WAITS_FOR: Mapping[State, tuple[Action, ...]] = {
    S.DRAFT: (A.SUBMIT,),
    S.RETURNED: (A.SUBMIT,),
    S.SUBMITTED: (A.VOTE,),
}


def next_actors(state: State, destination: Destination = Destination.TEAM) -> tuple[str, ...]:
    """Whom a request waits for."""
    if state is S.APPROVED:
        return (R.DPO,) if destination is Destination.PUBLIC else (R.CHECKER,)
    actors = WORKFLOW.actors(state, _WAITS_FOR.get(state, ()))
    return tuple(name for name in actors if name != "system")


def outcome(verdicts: Iterable[Verdict]) -> Verdict:
    """What the votes on a file come to: the strictest."""
    return max(verdicts, key=list(Verdict).index)


def following(outcomes: Collection[Verdict]) -> Action:
    """What becomes of a request once every file has its votes: what is approved leaves, unless a change is asked."""
    if Verdict.CHANGE in outcomes:
        return Action.RETURN
    return Action.APPROVE if Verdict.APPROVE in outcomes else Action.REJECT


def reads_votes(facts: Facts, person: Person) -> bool:
    """May this person read votes that are still sealed? The data protection officer alone, never of an own study."""
    return Role.DPO in person.roles and _independent(facts, person) is None


def voting(verdict: Verdict, ground: str, reason: str) -> Refusal | None:
    """Why such a vote is none; None if it is one: what is not approved has a ground and a written reason."""
    if verdict is Verdict.APPROVE or (ground in list(Ground) and reason.strip()):
        return None
    return Refusal("reason") if ground in list(Ground) else Refusal("airlock-ground")
