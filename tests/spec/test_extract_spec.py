"""Who may do what to an extract, when: the table of docs/design.md §4 as a specification.

A line: action | while it is | then | by whom. ``=`` stays where it is; the requester acts on the own extract only, the
roles on extracts of studies whose team they are not on.
"""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erios.governance.extract import BUILT_STATES, WORKFLOW, Action, Facts, State, next_actors, opening
from erios.governance.roles import Person, Role
from erios.governance.words import WORDS
from erios.governance.workflow import SYSTEM

TABLE = """
specify | requested | = | requester
abandon | requested, specification approved | abandoned | requester
approve the specification | requested | specification approved | dpo
build | specification approved | built | data-manager
assess | built | assessed | system
ask for changes | requested, specification approved, assessed | requested | dpo
apply a proposal | assessed | requested | requester
clear | assessed | cleared | dpo
ask for an exception | assessed | = | dpo
grant the exception | assessed | cleared by exception | controller
refuse | requested, specification approved, assessed | refused | dpo
release | cleared, cleared by exception | released | data-manager
revoke | cleared, cleared by exception, released | revoked | dpo, controller
expire | cleared, cleared by exception, released | expired | system
quarantine | built, assessed, cleared, cleared by exception, released | quarantined | data-manager, dpo, system
turn stale | built, assessed, cleared, cleared by exception, released | stale | system
destroy | refused, revoked, expired, quarantined, stale | destroyed | data-manager
"""
REQUESTER, MEMBER, STRANGER = "requester", "member", "stranger"
NOT_FOR_THE_TEAM = {
    Action.APPROVE_SPECIFICATION,
    Action.BUILD,
    Action.ASK_CHANGES,
    Action.CLEAR,
    Action.ASK_EXCEPTION,
    Action.GRANT_EXCEPTION,
    Action.REFUSE,
    Action.RELEASE,
    Action.DESTROY,
}
TODAY = date(2031, 5, 5)


def allowed() -> dict[tuple[str, str, str], str]:
    """(action, state, who) → state afterwards, as the table says."""
    found = {}
    for line in TABLE.strip().splitlines():
        action, states, then, people = (cell.strip() for cell in line.split("|"))
        for state, who in product(states.split(", "), people.split(", ")):
            found[action, state, who] = state if then == "=" else then
    return found


def facts(state: State, **changes: object) -> Facts:
    """An extract for which nothing is wanting."""
    low = {"k": 11, "reidentified": 0.09, "reidentified_limit": 0.09}
    known: dict[str, object] = {**low, "builder": "builder", "team": frozenset({REQUESTER, MEMBER})}
    return Facts(state=state, requester=REQUESTER, **{**known, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("action", Action)
def test_who_may_do_what_is_as_the_table_says(state: State, action: Action) -> None:
    """Every state, action, role and relation to the extract."""
    table = allowed()
    for role, login in product([None, *Role], (REQUESTER, MEMBER, STRANGER)):
        person = Person(login, frozenset({role} if role else ()))
        extract = facts(state, exception_asked=action is Action.GRANT_EXCEPTION)
        then = table.get((action, state, role or "")) if login == STRANGER or action not in NOT_FOR_THE_TEAM else None
        then = then or (table.get((action, state, "requester")) if login == REQUESTER else None)
        found = WORKFLOW.refusal(extract, action, person)
        assert (found is None) == (then is not None), (action, state, role, login, str(found))
        if then:
            assert (WORKFLOW.check(extract, action, person).target or state) == then


@pytest.mark.parametrize(("action", "state"), list(product(Action, State)))
def test_the_portal_itself_acts_where_the_table_says_so_alone(action: Action, state: State) -> None:
    wanted = (action, state, "system") in allowed()
    assert (WORKFLOW.refusal(facts(state), action, SYSTEM) is None) == wanted


DPO, CHIEF = Person("dpo", frozenset({Role.DPO})), Person("chief", frozenset({Role.CONTROLLER}))
KEEPER = Person("keeper", frozenset({Role.DATA_MANAGER}))


@pytest.mark.parametrize(
    ("state", "changes", "action", "person", "wanted"),
    [
        (State.REQUESTED, {"beyond": ("patient.race",)}, Action.APPROVE_SPECIFICATION, DPO, "beyond-approval"),
        (State.REQUESTED, {"study_active": False}, Action.APPROVE_SPECIFICATION, DPO, "study-not-active"),
        (State.REQUESTED, {"team": frozenset()}, Action.SPECIFY, Person(REQUESTER, frozenset()), "not-on-team"),
        (State.SPECIFIED, {"study_active": False}, Action.BUILD, KEEPER, "study-not-active"),
        (State.ASSESSED, {"k": 10}, Action.CLEAR, DPO, "risk-too-high"),
        (State.ASSESSED, {"k": None}, Action.CLEAR, DPO, "risk-too-high"),
        (State.ASSESSED, {"reidentified": 0.091}, Action.CLEAR, DPO, "reidentified"),
        (State.ASSESSED, {"reidentified": None}, Action.CLEAR, DPO, "not-attacked"),
        (State.ASSESSED, {"reidentified": 1.0}, Action.ASK_EXCEPTION, DPO, None),
        (State.ASSESSED, {"isolating": 1}, Action.CLEAR, DPO, "isolating"),
        (State.ASSESSED, {"builder": "dpo"}, Action.CLEAR, DPO, "extract-hands"),
        (State.ASSESSED, {"study_active": False}, Action.CLEAR, DPO, "study-not-active"),
        (State.ASSESSED, {"k": 2}, Action.ASK_EXCEPTION, DPO, None),
        (State.ASSESSED, {"exception_asked": True}, Action.ASK_EXCEPTION, DPO, "exception-asked"),
        (State.ASSESSED, {"k": 2}, Action.GRANT_EXCEPTION, CHIEF, "exception-not-asked"),
        (State.ASSESSED, {"k": 2, "exception_asked": True}, Action.GRANT_EXCEPTION, CHIEF, None),
        (State.CLEARED, {"builder": "keeper"}, Action.RELEASE, KEEPER, "extract-hands"),
        (State.CLEARED, {"clearer": "keeper"}, Action.RELEASE, KEEPER, "extract-hands"),
        (State.CLEARED, {"study_active": False}, Action.RELEASE, KEEPER, "study-not-active"),
    ],
)
def test_what_an_action_needs_first(
    state: State, changes: dict[str, object], action: Action, person: Person, wanted: str | None
) -> None:
    found = WORKFLOW.refusal(facts(state, **changes), action, person)
    assert (found.code if found else None) == wanted


@pytest.mark.parametrize(
    ("state", "changes", "login", "wanted"),
    [
        (State.RELEASED, {}, MEMBER, None),
        (State.RELEASED, {"expires": TODAY - timedelta(1)}, MEMBER, "extract-expired"),
        (State.RELEASED, {"expires": None}, MEMBER, "extract-expired"),
        (State.RELEASED, {"study_active": False}, MEMBER, "study-not-active"),
        (State.RELEASED, {}, STRANGER, "not-on-team"),
        (State.CLEARED, {}, MEMBER, "not-released"),
        (State.REVOKED, {}, MEMBER, "extract-revoked"),
        (State.EXPIRED, {}, MEMBER, "extract-expired"),
        (State.STALE, {}, MEMBER, "extract-stale"),
        (State.QUARANTINED, {}, MEMBER, "extract-quarantined"),
        (State.DESTROYED, {}, MEMBER, "not-released"),
    ],
)
def test_who_may_open_what(state: State, changes: dict[str, object], login: str, wanted: str | None) -> None:
    found = opening(facts(state, **{"expires": TODAY, **changes}), Person(login, frozenset()), TODAY)
    assert (found.code if found else None) == wanted


@given(seed=st.integers(0, 2**32))
def test_no_way_leads_to_a_release_past_the_four(seed: int) -> None:
    chance = random.Random(seed)
    people = [
        Person(REQUESTER, frozenset({Role.DATA_SCIENTIST, Role.DATA_MANAGER})),
        Person(MEMBER, frozenset({Role.DATA_MANAGER})),
        *(Person(f"keeper {n}", frozenset({Role.DATA_MANAGER})) for n in range(2)),
        *(Person(f"dpo {n}", frozenset({Role.DPO})) for n in range(2)),
        CHIEF,
        SYSTEM,
    ]
    extract = facts(State.REQUESTED, builder="", k=chance.choice([3, 11]))
    officer = ""
    for _ in range(30):
        choices = [(a, p) for p in people for a in WORKFLOW.possible(extract, p) if a is not Action.QUARANTINE]
        if not choices:
            break
        action, person = chance.choice(choices)
        row = WORKFLOW.check(extract, action, person)
        extract = replace(extract, state=row.target or extract.state)
        if action is Action.BUILD:
            extract = replace(extract, builder=person.login, clearer="", exception_asked=False)
        if action in (Action.CLEAR, Action.ASK_EXCEPTION):
            extract, officer = replace(extract, clearer=person.login), person.login
        if action is Action.ASK_EXCEPTION:
            extract = replace(extract, exception_asked=True)
        if action is Action.RELEASE:
            assert officer.startswith("dpo")
            assert len({REQUESTER, extract.builder, officer, person.login}) == 4
            assert MEMBER not in {extract.builder, person.login}


def test_every_state_can_be_reached_and_said() -> None:
    reached = {State.REQUESTED} | {row.target for row in WORKFLOW.transitions if row.target}
    assert reached == set(State)
    assert {*State, *Action} <= WORDS.keys()


def test_a_pair_of_action_and_state_has_one_row() -> None:
    pairs = [(row.action, source) for row in WORKFLOW.transitions for source in row.sources]
    assert len(pairs) == len(set(pairs))


def test_every_state_but_the_last_ones_waits_for_somebody() -> None:
    assert {state for state in State if not next_actors(state)} == {State.ABANDONED, State.RELEASED, State.DESTROYED}


def test_whatever_holds_data_can_be_stopped() -> None:
    for state in BUILT_STATES:
        assert WORKFLOW.refusal(facts(state), Action.QUARANTINE, DPO) is None
