"""The life of a request to let files out as a table, held against every combination of state, action and person."""

from __future__ import annotations

from itertools import product

import pytest

from erios.governance.airlock import (
    WORKFLOW,
    Action,
    Destination,
    Facts,
    State,
    Verdict,
    following,
    next_actors,
    outcome,
    reads_votes,
    voting,
)
from erios.governance.roles import Person, Role
from erios.governance.words import Refusal
from erios.governance.workflow import SYSTEM

OPEN = "draft, returned"
LIVE = "draft, returned, submitted, approved"
TABLE = f"""
edit                 | {OPEN}              |           | author
ask for an exception | {OPEN}              |           | author
grant the exception  | {OPEN}              |           | dpo
submit               | {OPEN}              | submitted | author
vote                 | submitted           |           | checker
approve              | submitted           | approved  | system
return               | submitted, approved | returned  | checker, system
reject               | submitted           | rejected  | system
answer               | returned            |           | author
release              | approved            | released  | checker
withdraw             | {LIVE}              | withdrawn | author, system
expire               | {LIVE}              | expired   | system
void                 | {LIVE}, released    | voided    | system
retract              | released            | retracted | author, dpo
"""
REASONS = {"ask for an exception", "grant the exception", "return", "retract"}
AUTHOR, TEAM, STRANGER = "author", "team", "stranger"
NEARBY = {"release", "vote", "grant the exception", "return"}
"""What takes somebody who is not on the team."""
TWO = frozenset({"chk1", "chk2"})


def allowed() -> dict[tuple[str, str, str], str]:
    """(action, state, who) → state afterwards."""
    table = {}
    for line in TABLE.strip().splitlines():
        action, states, then, people = (cell.strip() for cell in line.split("|"))
        for state, who in product(states.split(", "), people.split(", ")):
            table[action, state, who] = then or state
    return table


def facts(state: State, action: str, destination: Destination = Destination.TEAM) -> Facts:
    """A request whose one file awaits what the action needs."""
    votes = {"a.csv": TWO} if action != "vote" else {"a.csv": frozenset({"chk1"})}
    team = frozenset({AUTHOR, TEAM})
    return Facts(state, AUTHOR, team, team, destination, ("a.csv",), votes=votes, asked=True)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("action", Action)
def test_who_may_do_what_is_as_the_table_says(state: State, action: Action) -> None:
    table = allowed()
    for role, login in product([None, *Role], (AUTHOR, TEAM, STRANGER)):
        person = Person(login, frozenset({role} if role else ()))
        by_role = login == STRANGER or action not in NEARBY
        then = table.get((action, state, role or "")) if by_role else None
        then = then or (table.get((action, state, AUTHOR)) if login == AUTHOR else None)
        refusal = WORKFLOW.refusal(facts(state, action), action, person)
        assert (refusal is None) == (then is not None), (action, state, role, login, str(refusal))
        if then:
            row = WORKFLOW.check(facts(state, action), action, person)
            assert (row.target or state, row.reason) == (then, action in REASONS)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("action", Action)
def test_what_happens_by_itself_is_as_the_table_says(state: State, action: Action) -> None:
    refusal = WORKFLOW.refusal(facts(state, action), action, SYSTEM)

    assert (refusal is None) == ((action, state, "system") in allowed())


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"files": ()}, "airlock-empty"),
        ({"incomplete": ("a.csv",)}, "airlock-incomplete"),
        ({"held": ("a.csv",)}, "airlock-held"),
        ({"points_open": 1}, "points"),
        ({"study_active": False}, "airlock-study-not-active"),
        ({"current": frozenset()}, "not-on-team"),
    ],
)
def test_what_stops_a_submission(changes: dict[str, object], code: str) -> None:
    from dataclasses import replace

    asked = replace(facts(State.DRAFT, "submit"), **changes)  # type: ignore[arg-type]
    refusal = WORKFLOW.refusal(asked, Action.SUBMIT, Person(AUTHOR, frozenset()))
    assert refusal is not None
    assert refusal.code == code


@pytest.mark.parametrize("voters", [frozenset(), frozenset({"chk1"})])
def test_nothing_is_approved_or_released_with_fewer_than_two_votes(voters: frozenset[str]) -> None:
    from dataclasses import replace

    for action, state, person in (
        (Action.APPROVE, State.SUBMITTED, SYSTEM),
        (Action.REJECT, State.SUBMITTED, SYSTEM),
        (Action.RELEASE, State.APPROVED, Person("c", frozenset({Role.CHECKER}))),
    ):
        asked = replace(facts(state, action), votes={"a.csv": voters})
        assert WORKFLOW.refusal(asked, action, person) == Refusal("airlock-unchecked", {"files": ("a.csv",)})


def test_a_third_checker_and_a_second_vote_are_refused() -> None:
    from dataclasses import replace

    asked = facts(State.SUBMITTED, "vote")
    first, third = (Person(login, frozenset({Role.CHECKER})) for login in ("chk1", "chk3"))
    assert WORKFLOW.refusal(asked, Action.VOTE, first) == Refusal("airlock-voted")
    assert WORKFLOW.refusal(asked, Action.VOTE, third) is None
    full = replace(asked, votes={"a.csv": TWO})
    assert WORKFLOW.refusal(full, Action.VOTE, third) == Refusal("airlock-two-voted")


def test_what_is_for_the_public_is_released_by_the_dpo_alone() -> None:
    asked = facts(State.APPROVED, "release", Destination.PUBLIC)
    for role in Role:
        refusal = WORKFLOW.refusal(asked, Action.RELEASE, Person(STRANGER, frozenset({role})))
        assert (refusal is None) == (role is Role.DPO)
    assert next_actors(State.APPROVED, Destination.PUBLIC) == (Role.DPO,)
    assert next_actors(State.APPROVED) == (Role.CHECKER,)
    assert next_actors(State.SUBMITTED) == (Role.CHECKER,)


V = Verdict


@pytest.mark.parametrize(
    ("votes", "decides", "moves"),
    [
        ((V.APPROVE, V.APPROVE), V.APPROVE, Action.APPROVE),
        ((V.APPROVE, V.CHANGE), V.CHANGE, Action.RETURN),
        ((V.CHANGE, V.REFUSE), V.REFUSE, Action.REJECT),
        ((V.REFUSE, V.APPROVE), V.REFUSE, Action.REJECT),
    ],
)
def test_the_strictest_vote_decides(votes: tuple[Verdict, ...], decides: Verdict, moves: Action) -> None:
    assert outcome(votes) is decides
    assert following([decides]) is moves


def test_a_change_asked_for_sends_all_back_and_one_refusal_stops_its_file_alone() -> None:
    assert following([V.APPROVE, V.REFUSE]) is Action.APPROVE
    assert following([V.APPROVE, V.REFUSE, V.CHANGE]) is Action.RETURN


def test_what_is_not_approved_says_why() -> None:
    assert voting(V.APPROVE, "", "") is None
    assert voting(V.REFUSE, "ground-small", "r") is None
    assert voting(V.REFUSE, "ground-small", " ") == Refusal("reason")
    assert voting(V.CHANGE, "", "r") == Refusal("airlock-ground")


def test_the_dpo_alone_reads_sealed_votes_and_never_of_an_own_study() -> None:
    asked = facts(State.SUBMITTED, "vote")
    for role, login in product(Role, (STRANGER, TEAM)):
        may = role is Role.DPO and login == STRANGER
        assert reads_votes(asked, Person(login, frozenset({role}))) == may
