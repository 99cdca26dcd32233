"""The life of a study as a table that a committee can read, held against every combination of the rules.

Written from docs/design.md §4 alone. A line: action | while the proposal is | then | by whom. ``=`` stays where it is;
the proposer acts on the own study only, every other role on others' studies only.
"""

from __future__ import annotations

from itertools import product

import pytest

from erios.governance.roles import Person, Role
from erios.governance.study import Action, Facts, Opinion, State, check, possible, refusal, target
from erios.governance.words import Refusal
from erios.governance.workflow import SYSTEM

TABLE = """
edit                    | draft, returned                                   | =                        | proposer
submit                  | draft, returned                                   | submitted                | proposer
triage                  | submitted                                         | triaged                  | data-manager
open review             | triaged                                           | under review             | committee
return                  | submitted, triaged                                | returned                 | data-manager
return                  | under review                                      | returned                 | committee
return                  | under review                                      | returned                 | dpo, controller
answer                  | returned                                          | =                        | proposer
withdraw                | draft, submitted, triaged, under review, returned | withdrawn                | proposer
vote                    | under review                                      | =                        | committee
visa                    | under review                                      | =                        | dpo
approve                 | under review                                      | approved                 | controller
approve with conditions | under review                                      | approved with conditions | controller
reject                  | under review                                      | rejected                 | controller
confirm a condition     | approved with conditions                          | =                        | dpo
activate                | approved, approved with conditions                | active                   | dpo
suspend                 | active                                            | suspended                | dpo, controller
agree to resume         | suspended                                         | =                        | dpo, controller
expire                  | active, suspended                                 | expired                  | system
close                   | active, expired                                   | closed                   | proposer, dpo
archive                 | closed                                            | archived                 | data-manager
replace                 | active                                            | replaced                 | system
"""
PROPOSER, TEAM, STRANGER = "proposer", "team", "stranger"
ROLES: list[Role | None] = [None, *Role]


def allowed() -> dict[tuple[str, str, str], str]:
    """(action, state, who) → state afterwards, as the table says."""
    found = {}
    for line in TABLE.strip().splitlines():
        action, states, then, people = (cell.strip() for cell in line.split("|"))
        for state, who in product(states.split(", "), people.split(", ")):
            found[action, state, who] = state if then == "=" else then
    return found


def facts(state: State, **changes: object) -> Facts:
    """A proposal for which nothing is wanting: votes, visa, answers, conditions."""
    in_favour = dict.fromkeys(("voter 1", "voter 2", "voter 3"), Opinion.FAVOURABLE)
    all_there: dict[str, object] = {"votes": in_favour, "visa": ("visa giver", Opinion.FAVOURABLE)}
    return Facts(state=state, proposer=PROPOSER, team=frozenset({TEAM}), **{**all_there, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("action", Action)
def test_who_may_do_what_is_as_the_table_says(state: State, action: Action) -> None:
    """Every state, action, role and relation to the study."""
    table = allowed()
    for role, login in product(ROLES, (PROPOSER, TEAM, STRANGER)):
        person = Person(login, frozenset({role} if role else ()))
        dossier = facts(state, **({"visa": None} if action is Action.VISA else {}))
        is_outside = login == STRANGER or (action is Action.CLOSE)  # the DPO may close, whatever the study
        then = table.get((action, state, role or "")) if is_outside else None
        then = then or (table.get((action, state, PROPOSER)) if login == PROPOSER else None)
        found = refusal(dossier, action, person)
        assert (found is None) == (then is not None), (action, state, role, login, str(found))
        if then:
            assert target(dossier, check(dossier, action, person), person) == then
            assert action in possible(dossier, person)


@pytest.mark.parametrize(("action", "state"), list(product(Action, State)))
def test_the_portal_itself_acts_where_the_table_says_so_alone(action: Action, state: State) -> None:
    wanted = (action, state, "system") in allowed()
    assert (refusal(facts(state), action, SYSTEM) is None) == wanted


DPO, CONTROLLER = Person("visa giver", frozenset({Role.DPO})), Person("chief", frozenset({Role.CONTROLLER}))
VOTER = Person("voter 1", frozenset({Role.COMMITTEE}))
IN_FAVOUR, AGAINST = Opinion.FAVOURABLE, Opinion.UNFAVOURABLE


def votes(*opinions: Opinion) -> dict[str, Opinion]:
    return {f"voter {number}": opinion for number, opinion in enumerate(opinions, 1)}


@pytest.mark.parametrize(
    ("changes", "action", "person", "wanted"),
    [
        ({"votes": votes(IN_FAVOUR, IN_FAVOUR)}, Action.APPROVE, CONTROLLER, "votes"),
        ({"visa": None}, Action.APPROVE, CONTROLLER, "no-visa"),
        ({"visa": None}, Action.REJECT, CONTROLLER, "no-visa"),
        ({"votes": votes(IN_FAVOUR, AGAINST, AGAINST)}, Action.APPROVE, CONTROLLER, "vote-against"),
        ({"votes": votes(IN_FAVOUR, IN_FAVOUR, AGAINST, AGAINST)}, Action.APPROVE, CONTROLLER, "vote-against"),
        ({"votes": votes(IN_FAVOUR, IN_FAVOUR, AGAINST)}, Action.APPROVE, CONTROLLER, None),
        ({"visa": ("visa giver", AGAINST)}, Action.APPROVE_CONDITIONALLY, CONTROLLER, "visa-against"),
        ({"visa": ("visa giver", AGAINST)}, Action.REJECT, CONTROLLER, None),
        ({"visa": ("chief", IN_FAVOUR)}, Action.APPROVE, CONTROLLER, "reviewed-already"),
        (
            {"votes": {"chief": IN_FAVOUR, "b": IN_FAVOUR, "c": IN_FAVOUR}},
            Action.REJECT,
            CONTROLLER,
            "reviewed-already",
        ),
        ({}, Action.VOTE, VOTER, "voted"),
        ({"visa": None}, Action.VISA, Person("voter 1", frozenset({Role.DPO})), "voter-visa"),
        ({}, Action.VISA, DPO, "visa-given"),
    ],
)
def test_a_decision_needs_votes_visa_and_three_people(
    changes: dict[str, object], action: Action, person: Person, wanted: str | None
) -> None:
    found = refusal(facts(State.UNDER_REVIEW, **changes), action, person)
    assert (found.code if found else None) == wanted


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"missing": ("title",)}, "incomplete"),
        ({"points_open": 2}, "points"),
        ({}, None),
    ],
)
def test_a_proposal_is_submitted_whole_and_answered(changes: dict[str, object], wanted: str | None) -> None:
    found = refusal(facts(State.RETURNED, **changes), Action.SUBMIT, Person(PROPOSER, frozenset()))
    assert (found.code if found else None) == wanted


def test_conditions_are_met_before_a_study_starts() -> None:
    found = refusal(facts(State.CONDITIONAL, conditions_open=1), Action.ACTIVATE, DPO)
    assert found == Refusal("conditions", {"count": 1})


def test_a_suspended_study_is_resumed_by_both_only() -> None:
    alone = facts(State.SUSPENDED)
    assert target(alone, check(alone, Action.AGREE_TO_RESUME, DPO), DPO) is State.SUSPENDED
    agreed = facts(State.SUSPENDED, agreed=frozenset({Role.DPO}))
    assert refusal(agreed, Action.AGREE_TO_RESUME, DPO) == Refusal("agreed")
    assert target(agreed, check(agreed, Action.AGREE_TO_RESUME, CONTROLLER), CONTROLLER) is State.ACTIVE
