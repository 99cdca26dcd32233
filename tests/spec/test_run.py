"""The rules of runs: who may stop one, and when its model may be promoted."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from erios.governance.roles import Person, Role
from erios.governance.run import LIVE, STOPPERS, Evidence, State, promoting, stopping
from erios.governance.words import REFUSALS, word
from erios.translation import using

TEAM = frozenset({"ada", "bob"})
WHOLE = Evidence(
    state=State.DONE,
    starter="bob",
    judged=True,
    baseline=True,
    groups=True,
    energy=True,
    intended_use=True,
    licence=True,
    reproduced=True,
    untouched=True,
)
NEEDED = ("judged", "baseline", "groups", "energy", "intended_use", "licence", "reproduced", "untouched")


def person(login: str, *roles: Role) -> Person:
    return Person(login, frozenset(roles))


def test_a_run_is_live_until_it_ends() -> None:
    assert [state for state in State if state.is_live] == list(LIVE) == [State.QUEUED, State.RUNNING]


def test_those_who_may_stop_any_run() -> None:
    assert {role.value for role in STOPPERS} == {"dpo", "controller", "data-manager"}


@pytest.mark.parametrize(("login", "role"), list(product(("ada", "eve"), Role)))
def test_the_team_and_those_who_guard_the_data_stop_a_run(login: str, role: Role) -> None:
    refusal = stopping(person(login, role), TEAM)

    assert (refusal is None) == (login in TEAM or role in STOPPERS)


@pytest.mark.parametrize(("login", "role", "state"), list(product(("ada", "bob", "eve"), Role, State)))
def test_a_model_is_promoted_by_somebody_else_once_its_run_is_done(login: str, role: Role, state: State) -> None:
    refusal = promoting(person(login, role), TEAM, replace(WHOLE, state=state))

    may = login != "bob" and (login in TEAM or role is Role.DATA_MANAGER) and state is State.DONE
    assert (refusal is None) == may
    assert refusal is None or refusal.code in ("not-on-team", "own-model", "run-not-done")


@pytest.mark.parametrize("lacking", NEEDED)
def test_no_model_is_promoted_while_a_piece_of_evidence_is_missing(lacking: str) -> None:
    changes: Any = {lacking: False}
    refusal = promoting(person("ada"), TEAM, replace(WHOLE, **changes))

    assert refusal is not None
    assert refusal.values == {"missing": (f"evidence-{lacking}",)}
    for language in ("fr", "en"):
        with using(language):
            assert word(f"evidence-{lacking}") in str(refusal)


def test_every_refusal_has_its_sentence() -> None:
    assert {"not-on-team", "own-model", "run-not-done", "evidence-missing"} <= set(REFUSALS)
