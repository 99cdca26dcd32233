"""The life of a results text as a table, held against every combination of state, action, role and relation."""

from __future__ import annotations

from itertools import product

import pytest

from erios.governance.publication import WORKFLOW, Action, Facts, State, next_actors, proposing
from erios.governance.roles import Person, Role
from erios.governance.words import Refusal
from erios.governance.workflow import SYSTEM

TABLE = """
publish results  | results waiting                    | results published | dpo
refuse results   | results waiting                    | results refused   | dpo
withdraw results | results waiting                    | results withdrawn | proposer
withdraw results | results published                  | results withdrawn | proposer, dpo
replace results  | results waiting, results published | results replaced  | system
"""
REASONS = {("refuse results", "results waiting"), ("withdraw results", "results published")}
PROPOSER, TEAM, STRANGER = "proposer", "team", "stranger"
ROLES: list[Role | None] = [None, *Role]


def allowed() -> dict[tuple[str, str, str], str]:
    """(action, state, who) → state afterwards."""
    table = {}
    for line in TABLE.strip().splitlines():
        action, states, then, people = (cell.strip() for cell in line.split("|"))
        for state, who in product(states.split(", "), people.split(", ")):
            table[action, state, who] = then
    return table


def facts(state: State) -> Facts:
    return Facts(state, PROPOSER, frozenset({PROPOSER, TEAM}), checked=True)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("action", Action)
def test_who_may_do_what_is_as_the_table_says(state: State, action: Action) -> None:
    table = allowed()
    for role, login in product(ROLES, (PROPOSER, TEAM, STRANGER)):
        person = Person(login, frozenset({role} if role else ()))
        judges = login == STRANGER or action is Action.WITHDRAW  # taking a text down needs no distance
        then = table.get((action, state, role or "")) if judges else None
        then = then or (table.get((action, state, PROPOSER)) if login == PROPOSER else None)
        refusal = WORKFLOW.refusal(facts(state), action, person)
        assert (refusal is None) == (then is not None), (action, state, role, login, str(refusal))
        if then:
            row = WORKFLOW.check(facts(state), action, person)
            assert (row.target, row.reason) == (then, (action, state) in REASONS)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("action", Action)
def test_what_happens_by_itself_is_as_the_table_says(state: State, action: Action) -> None:
    refusal = WORKFLOW.refusal(facts(state), action, SYSTEM)

    assert (refusal is None) == ((action, state, "system") in allowed())


def test_no_way_leads_to_the_public_past_the_dpo() -> None:
    ways = [row for row in WORKFLOW.transitions if row.target is State.PUBLISHED]

    assert [(row.roles, row.owner, row.system, row.sources) for row in ways] == [
        ((Role.DPO,), False, False, (State.WAITING,))
    ]


def test_nothing_is_published_that_two_checkers_have_not_approved() -> None:
    unchecked = Facts(State.WAITING, PROPOSER, request="E2031-007-S01")
    refusal = WORKFLOW.refusal(unchecked, Action.PUBLISH, Person(STRANGER, frozenset({Role.DPO})))

    assert refusal == Refusal("results-unchecked", {"request": "E2031-007-S01"})


def test_what_was_refused_withdrawn_or_replaced_is_over() -> None:
    for state in (State.REFUSED, State.WITHDRAWN, State.REPLACED):
        assert [row.action for row in WORKFLOW.transitions if state in row.sources] == []
        assert next_actors(state) == ()
    assert next_actors(State.WAITING) == ("dpo",)


def test_the_proposer_alone_proposes() -> None:
    assert proposing(Person(PROPOSER, frozenset()), PROPOSER) is None
    for login, role in product((TEAM, STRANGER), Role):
        assert str(proposing(Person(login, frozenset({role})), PROPOSER)) == "'propose results' is for: proposer"
