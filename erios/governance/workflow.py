"""A workflow as a table: from where to where, by whom, on what terms; and the one answer to "why not?".

Owns the mechanism only. What the states and the rules are, each table says (``study``, ``extract``); the portal's
buttons, the actions, the diagrams and the tests are all read from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from erios.governance.roles import Person, Role
from erios.governance.words import Refusal, RuleBroken

SYSTEM = Person("system", frozenset())
"""Who acts where a date or another action does."""


class Facts(Protocol):
    """What every table must know of its object."""

    @property
    def state(self) -> StrEnum: ...

    @property
    def owner(self) -> str:
        """Login of who asks for something: a study's proposer, an extract's requester."""


F = TypeVar("F", bound=Facts)
A = TypeVar("A", bound=StrEnum)
S = TypeVar("S", bound=StrEnum)
Rule = Callable[[F, Person], Refusal | None]
"""Why not, or None."""


@dataclass(frozen=True)
class Transition(Generic[F, A, S]):
    """One row of the table.

    ``roles`` act from outside; ``owner`` and ``system`` say that they may, too. ``target`` None stays where it is.
    ``reason``: it takes a written reason.
    """

    action: A
    sources: tuple[S, ...]
    target: S | None
    roles: tuple[Role, ...] = ()
    owner: bool = False
    system: bool = False
    rules: tuple[Rule[F], ...] = ()
    reason: bool = False


@dataclass(frozen=True)
class Workflow(Generic[F, A, S]):
    """A table of transitions; ``owner``: the word for who asks."""

    owner: str
    transitions: tuple[Transition[F, A, S], ...]

    def row(self, state: str, action: str) -> Transition[F, A, S] | None:
        """The row for an action in a state."""
        return next((row for row in self.transitions if row.action == action and state in row.sources), None)

    def refusal(self, facts: F, action: A, person: Person) -> Refusal | None:
        """Why this person may not do this now; None if they may."""
        row = self.row(facts.state, action)
        if row is None:
            return Refusal("not-now", {"action": action, "state": facts.state})
        if not _is_entitled(row, facts, person):
            return Refusal("not-yours", {"action": action, "who": self.names(row)})
        return next((refusal for rule in row.rules if (refusal := rule(facts, person))), None)

    def check(self, facts: F, action: A, person: Person) -> Transition[F, A, S]:
        """The row to apply; RuleBroken with the refusal."""
        if refusal := self.refusal(facts, action, person):
            raise RuleBroken(refusal)
        row = self.row(facts.state, action)
        assert row is not None
        return row

    def possible(self, facts: F, person: Person) -> list[A]:
        """What this person may do now, in the table's order."""
        actions = [row.action for row in self.transitions if facts.state in row.sources]
        return [action for action in actions if self.refusal(facts, action, person) is None]

    def actors(self, state: str, actions: Iterable[str]) -> tuple[str, ...]:
        """Who may take one of these actions in a state."""
        rows = [row for action in actions if (row := self.row(state, action))]
        return tuple(dict.fromkeys(name for row in rows for name in self.names(row)))

    def names(self, row: Transition[F, A, S]) -> list[str]:
        """Words for whoever may take a row."""
        return [*([self.owner] if row.owner else []), *row.roles, *(["system"] if row.system else [])]


def _is_entitled(row: Transition[F, A, S], facts: F, person: Person) -> bool:
    if person is SYSTEM:
        return row.system
    return (row.owner and person.login == facts.owner) or bool(person.roles.intersection(row.roles))
