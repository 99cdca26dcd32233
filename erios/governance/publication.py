"""The life of a study's results text: nothing that a team wrote is public before two checkers have approved that
very text in the airlock, and the DPO has agreed to publish it.

Owns the table of transitions and its rules (mechanism: ``workflow``). A text never changes: a revision is a version of
its own, decided alone; what is public stays so until a later version is agreed to.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from erios.governance.roles import Person, Role
from erios.governance.words import Refusal
from erios.governance.workflow import Transition, Workflow


class State(StrEnum):
    """Where a version of the text stands."""

    WAITING = "results waiting"
    PUBLISHED = "results published"
    REFUSED = "results refused"
    WITHDRAWN = "results withdrawn"
    REPLACED = "results replaced"


class Action(StrEnum):
    """What somebody does to a version of the text, once it is proposed."""

    PUBLISH = "publish results"
    REFUSE = "refuse results"
    WITHDRAW = "withdraw results"
    REPLACE = "replace results"


PROPOSE = "propose results"
"""What makes a version; the study's proposer alone does it."""


@dataclass(frozen=True)
class Facts:
    """What the rules must know of a version; ``team`` holds logins, the proposer's too.

    ``checked``: two checkers have approved this text in the airlock, in the request of this number.
    """

    state: State
    proposer: str
    team: frozenset[str] = frozenset()
    checked: bool = False
    request: str = ""

    @property
    def owner(self) -> str:
        """See ``workflow.Facts``."""
        return self.proposer


def _not_involved(facts: Facts, person: Person) -> Refusal | None:
    return Refusal("involved") if person.login in {facts.proposer, *facts.team} else None


def _checked(facts: Facts, _: Person) -> Refusal | None:
    return None if facts.checked else Refusal("results-unchecked", {"request": facts.request})


S, A, R = State, Action, Role
TRANSITIONS: tuple[Transition[Facts, Action, State], ...] = (
    Transition(A.PUBLISH, (S.WAITING,), S.PUBLISHED, (R.DPO,), rules=(_not_involved, _checked)),
    Transition(A.REFUSE, (S.WAITING,), S.REFUSED, (R.DPO,), rules=(_not_involved,), reason=True),
    Transition(A.WITHDRAW, (S.WAITING,), S.WITHDRAWN, owner=True),
    Transition(A.WITHDRAW, (S.PUBLISHED,), S.WITHDRAWN, (R.DPO,), owner=True, reason=True),
    Transition(A.REPLACE, (S.WAITING, S.PUBLISHED), S.REPLACED, system=True),
)
"""Every action in every state that allows it."""

WORKFLOW = Workflow("proposer", TRANSITIONS)


def proposing(person: Person, proposer: str) -> Refusal | None:
    """Why this person may not propose a text for the study; None if they may."""
    return None if person.login == proposer else Refusal("not-yours", {"action": PROPOSE, "who": ("proposer",)})


def next_actors(state: State) -> tuple[str, ...]:
    """Whom a version waits for, once the checkers have approved it."""
    return WORKFLOW.actors(state, (A.PUBLISH,))
