"""The mechanism of workflows, on a table of three rows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pytest

from erios.governance.roles import Person, Role
from erios.governance.words import Refusal, RuleBroken
from erios.governance.workflow import SYSTEM, Transition, Workflow


class State(StrEnum):
    OPEN = "open"
    SHUT = "shut"
    GONE = "gone"


class Action(StrEnum):
    CLOSE = "close"
    EDIT = "edit"
    EXPIRE = "expire"


@dataclass(frozen=True)
class Facts:
    state: State
    owner: str = "ada"
    heavy: bool = False


def _light(facts: Facts, _: Person) -> Refusal | None:
    return Refusal("heavy") if facts.heavy else None


def _lighter(facts: Facts, _: Person) -> Refusal | None:
    return Refusal("heavier") if facts.heavy else None


CLOSE = Transition[Facts, Action, State](
    Action.CLOSE, (State.OPEN,), State.SHUT, (Role.DPO, Role.COMMITTEE), rules=(_light, _lighter)
)
EDIT = Transition[Facts, Action, State](Action.EDIT, (State.OPEN, State.SHUT), None, (Role.DPO,), owner=True)
EXPIRE = Transition[Facts, Action, State](Action.EXPIRE, (State.SHUT,), State.GONE, owner=True, system=True)
WORKFLOW = Workflow("author", (CLOSE, EDIT, EXPIRE))
OWNER, DPO, STRANGER = Person("ada", frozenset()), Person("dan", frozenset({Role.DPO})), Person("eve", frozenset())


def test_the_row_is_that_of_action_and_state() -> None:
    assert WORKFLOW.row(State.OPEN, Action.CLOSE) is CLOSE
    assert WORKFLOW.row(State.SHUT, Action.EDIT) is EDIT
    assert WORKFLOW.row(State.SHUT, Action.CLOSE) is None


def test_an_action_without_a_row_is_not_possible_now() -> None:
    refusal = WORKFLOW.refusal(Facts(State.GONE), Action.CLOSE, DPO)

    assert refusal == Refusal("not-now", {"action": Action.CLOSE, "state": State.GONE})


@pytest.mark.parametrize(
    ("person", "action", "state", "may"),
    [
        (OWNER, Action.EDIT, State.OPEN, True),
        (DPO, Action.EDIT, State.OPEN, True),
        (STRANGER, Action.EDIT, State.OPEN, False),
        (SYSTEM, Action.EDIT, State.OPEN, False),
        (OWNER, Action.CLOSE, State.OPEN, False),
        (DPO, Action.CLOSE, State.OPEN, True),
        (OWNER, Action.EXPIRE, State.SHUT, True),
        (DPO, Action.EXPIRE, State.SHUT, False),
        (SYSTEM, Action.EXPIRE, State.SHUT, True),
    ],
)
def test_who_is_entitled(person: Person, action: Action, state: State, may: bool) -> None:
    refusal = WORKFLOW.refusal(Facts(state), action, person)

    row = WORKFLOW.row(state, action)
    assert row is not None
    assert refusal == (None if may else Refusal("not-yours", {"action": action, "who": WORKFLOW.names(row)}))


def test_the_first_rule_that_refuses_answers() -> None:
    assert WORKFLOW.refusal(Facts(State.OPEN, heavy=True), Action.CLOSE, DPO) == Refusal("heavy")


def test_check_gives_the_row_or_raises_with_the_refusal() -> None:
    assert WORKFLOW.check(Facts(State.OPEN), Action.CLOSE, DPO) is CLOSE
    with pytest.raises(RuleBroken) as broken:
        WORKFLOW.check(Facts(State.OPEN), Action.CLOSE, STRANGER)
    assert broken.value.refusal.code == "not-yours"


def test_possible_actions_are_those_of_the_state_that_nothing_refuses() -> None:
    assert WORKFLOW.possible(Facts(State.OPEN), DPO) == [Action.CLOSE, Action.EDIT]
    assert WORKFLOW.possible(Facts(State.OPEN, heavy=True), DPO) == [Action.EDIT]
    assert WORKFLOW.possible(Facts(State.SHUT), OWNER) == [Action.EDIT, Action.EXPIRE]


def test_actors_are_named_once_in_the_order_of_the_actions() -> None:
    assert WORKFLOW.actors(State.OPEN, (Action.EDIT, Action.CLOSE, Action.EXPIRE)) == ("author", "dpo", "committee")
    assert WORKFLOW.actors(State.SHUT, (Action.EXPIRE,)) == ("author", "system")


def test_a_row_is_closed_to_everybody_unless_it_says_otherwise() -> None:
    bare = Workflow("author", (Transition[Facts, Action, State](Action.EDIT, (State.OPEN,), None),))

    assert bare.names(bare.transitions[0]) == []
    assert not bare.transitions[0].reason
    assert [bare.refusal(Facts(State.OPEN), Action.EDIT, person) is None for person in (OWNER, DPO, SYSTEM)] == [
        False,
        False,
        False,
    ]
