"""Whatever way a study goes, nothing is approved without its three people."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erios.governance.diagram import PAGES, page
from erios.governance.roles import Person, Role
from erios.governance.study import (
    TRANSITIONS,
    Action,
    Facts,
    Opinion,
    State,
    check,
    next_actors,
    possible,
    refusal,
    target,
)
from erios.governance.words import WORDS, Refusal
from erios.translation import using

ROOT = Path(__file__).resolve().parents[4]
PEOPLE = [
    Person("proposer", frozenset({Role.CLINICIAN})),
    Person("member", frozenset({Role.COMMITTEE, Role.CLINICIAN})),
    *(Person(f"voter {n}", frozenset({Role.COMMITTEE})) for n in range(3)),
    *(Person(f"dpo {n}", frozenset({Role.DPO})) for n in range(2)),
    *(Person(f"delegate {n}", frozenset({Role.CONTROLLER})) for n in range(2)),
    Person("keeper", frozenset({Role.DATA_MANAGER})),
]


def step(facts: Facts, action: Action, person: Person, opinion: Opinion) -> Facts:
    """The facts after an action, as whoever keeps them would note it."""
    row = check(facts, action, person)
    after = replace(facts, state=target(facts, row, person))
    if action is Action.VOTE:
        after = replace(after, votes={**facts.votes, person.login: opinion})
    if action is Action.VISA:
        after = replace(after, visa=(person.login, opinion))
    if action is Action.SUBMIT:
        after = replace(after, votes={}, visa=None)
    if action is Action.AGREE_TO_RESUME:
        after = replace(after, agreed=facts.agreed | person.roles)
    return after


@given(seed=st.integers(0, 2**32))
def test_no_way_leads_to_approval_past_the_three(seed: int) -> None:
    chance = random.Random(seed)
    facts = Facts(State.DRAFT, "proposer", frozenset({"member"}))
    for _ in range(40):
        choices = [(action, person) for person in PEOPLE for action in possible(facts, person)]
        if not choices:
            break
        action, person = chance.choice(choices)
        before, facts = facts, step(facts, action, person, chance.choice(list(Opinion)))
        if facts.state in (State.APPROVED, State.CONDITIONAL) and before.state is State.UNDER_REVIEW:
            in_favour = sum(opinion is Opinion.FAVOURABLE for opinion in facts.votes.values())
            assert facts.visa is not None
            assert facts.visa[1] is Opinion.FAVOURABLE
            assert len(facts.votes) >= 3
            assert in_favour > len(facts.votes) - in_favour
            assert len({*facts.votes, facts.visa[0], person.login}) == len(facts.votes) + 2
            assert not {"proposer", "member"} & {*facts.votes, facts.visa[0], person.login}


def test_every_state_but_the_last_ones_waits_for_somebody() -> None:
    last = {State.ACTIVE, State.WITHDRAWN, State.REJECTED, State.ARCHIVED, State.REPLACED}
    assert {state for state in State if not next_actors(state)} == last


def test_every_state_can_be_reached() -> None:
    reached = {State.DRAFT} | {row.target for row in TRANSITIONS if row.target}
    assert reached == set(State)


def test_an_action_in_a_state_has_one_row() -> None:
    pairs = [(row.action, source) for row in TRANSITIONS for source in row.sources]
    assert len(pairs) == len(set(pairs))


def test_every_name_has_a_text() -> None:
    assert {*State, *Action, *Role, *Opinion} <= WORDS.keys()


def test_a_refusal_and_the_names_in_it_are_in_the_current_language() -> None:
    found = refusal(Facts(State.ACTIVE, "proposer"), Action.VOTE, PEOPLE[2])
    assert found == Refusal("not-now", {"action": Action.VOTE, "state": State.ACTIVE})
    with using("fr"):
        assert str(found) == "« voter » n'est pas possible à l'état « en cours »"
    assert str(found) == "'vote' is not possible while it is active"


@pytest.mark.parametrize("name", PAGES)
def test_the_diagram_in_the_docs_is_that_of_the_rules(name: str) -> None:
    written = (ROOT / "docs" / "reference" / f"{name}-states.md").read_text(encoding="utf-8")
    assert written == page(name), "run `make docs`"
