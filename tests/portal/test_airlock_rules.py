"""The rules of the airlock, held by every action: each state, action and role; and two checkers at one instant."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from erios.audit import verify
from erios.governance.airlock import WORKFLOW, Action, State
from erios.governance.words import RuleBroken
from tests.portal.airlock_stories import CHECKERS, asked, calls, did, fresh, in_state, vote
from tests.portal.conftest import CAST
from tests.portal.stories import who

PEOPLE = [login for login in CAST if login not in ("com2", "com3", "com4", "chk2", "dpo2")]
BUSIEST = (State.SUBMITTED,)
ENGINES = [
    *(("sqlite", state) for state in State),
    *(("postgresql", state) for state in BUSIEST),
    *(pytest.param("postgresql", state, marks=pytest.mark.long) for state in State if state not in BUSIEST),
]


@pytest.mark.parametrize(("template", "state"), ENGINES, indirect=["template"], scope="session")
def test_what_the_rules_refuse_is_refused_and_what_they_allow_is_done(state: State, database: Any) -> None:
    """Every action by the cast on a request of ada's, bob on the team."""
    from erios.studies.airlock_selectors import airlock_facts

    functions, about = calls(), {Action.VOTE: "table.csv", **dict.fromkeys(_FILES, "held.csv")}
    request = in_state(state)
    before = did(database)
    allowed = set()
    for login in PEOPLE if MAY[state] else ("ada", "chk1", "dpo"):
        by = who(login)
        for action in sorted({row.action for row in WORKFLOW.transitions} - _BY_THE_PORTAL):
            expected = WORKFLOW.refusal(airlock_facts(fresh(request), about.get(action, "")), action, by.person)
            assert _tried(functions[action], fresh(request), by) == expected, (action, login)
            allowed |= set() if expected else {action}
    assert did(database) == before
    assert allowed == MAY[state]


_BY_THE_PORTAL = {Action.APPROVE, Action.REJECT, Action.EXPIRE, Action.VOID}
_FILES = (Action.ASK_EXCEPTION, Action.GRANT_EXCEPTION)
A = Action
MAY = {
    State.DRAFT: {A.EDIT, A.ASK_EXCEPTION, A.GRANT_EXCEPTION, A.WITHDRAW},
    State.RETURNED: {A.EDIT, A.ASK_EXCEPTION, A.GRANT_EXCEPTION, A.ANSWER, A.WITHDRAW},
    State.SUBMITTED: {A.VOTE, A.RETURN, A.WITHDRAW},
    State.APPROVED: {A.RETURN, A.RELEASE, A.WITHDRAW},
    State.RELEASED: {A.RETRACT},
    **{over: set() for over in (State.REJECTED, State.WITHDRAWN, State.EXPIRED, State.VOIDED, State.RETRACTED)},
}
"""What somebody of the cast may do; to submit, the held file must have its exception first."""


def _tried(call: Any, request: Any, by: Any) -> Any:
    """The refusal of an action that is undone in any case."""
    from django.db import transaction

    try:
        with transaction.atomic():
            call(request, by)
            raise _Undo
    except _Undo:
        return None
    except RuleBroken as error:
        return error.refusal


class _Undo(Exception):  # noqa: N818
    """Undoes what was done."""


def test_of_two_checkers_at_the_same_instant_both_are_heard_and_the_request_moves_once(database: Any) -> None:
    from django.db import connections

    request = asked()
    start, faults = threading.Barrier(2), []

    def cast(login: str) -> None:
        try:
            start.wait(10)
            vote(request, login)
        except Exception as fault:
            faults.append(fault)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=cast, args=(login,)) for login in CHECKERS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert faults == []
    assert fresh(request).state == State.APPROVED
    assert did(database).count("airlock.approve") == 1
    assert verify(database).faults == ()
