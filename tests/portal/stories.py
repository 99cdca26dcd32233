"""How a study comes to a state, through the actions that people take."""

from __future__ import annotations

from typing import Any

from erios.accounts.models import User
from erios.governance.study import Action, Opinion, State
from erios.studies import actions
from erios.studies.models import Proposal
from tests.portal.conftest import CONTENT, seal_everything

VOTERS = ("com1", "com2", "com3")


def who(login: str) -> User:
    return User.objects.get(username=login)


def at(state: State, **content: Any) -> Proposal:
    """A proposal of ada's, bob on its team, in the state; ``content``: fields that differ from the usual."""
    proposal = actions.start_study(by=who("ada"))
    actions.save_content(proposal=proposal, by=who("ada"), changes={**CONTENT, **content})
    actions.add_member(proposal=proposal, by=who("ada"), member=who("bob"))
    for here, step in _WAY:
        if state is here:
            break
        step(proposal)
    else:
        _BRANCHES[state](proposal)
    proposal.refresh_from_db()
    assert proposal.state == state, proposal.state
    return proposal


def _move(action: Action, login: str, reason: str = "because") -> Any:
    return lambda proposal: actions.move(proposal=proposal, by=who(login), action=action, reason=reason)


def review(proposal: Proposal, opinion: Opinion = Opinion.FAVOURABLE) -> None:
    """Votes and visa."""
    for login in VOTERS:
        actions.vote(proposal=proposal, by=who(login), opinion=opinion, reason="read")
    actions.give_visa(proposal=proposal, by=who("dpo"), opinion=opinion, reason="read")


def _decide(action: Action, *conditions: str) -> Any:
    def step(proposal: Proposal) -> None:
        review(proposal)
        actions.decide(proposal=proposal, by=who("chief"), action=action, reason="useful", conditions=conditions)

    return step


_WAY = [
    (State.DRAFT, lambda proposal: actions.submit(proposal=proposal, by=who("ada"))),
    (State.SUBMITTED, _move(Action.TRIAGE, "dan")),
    (State.TRIAGED, _move(Action.OPEN_REVIEW, "com1")),
    (State.UNDER_REVIEW, _decide(Action.APPROVE)),
    (State.APPROVED, _move(Action.ACTIVATE, "dpo")),
    (State.ACTIVE, _move(Action.CLOSE, "ada")),
    (State.CLOSED, _move(Action.ARCHIVE, "dan")),
    (State.ARCHIVED, lambda proposal: None),
]


def _from(state: State, *steps: Any) -> Any:
    """The branch leaves the way at ``state``: a proposal of its own goes there."""

    def go(proposal: Proposal) -> None:
        Proposal.objects.filter(pk=proposal.pk).update(state=state)
        proposal.parts.exclude(kind__in=["proposer", "team"]).delete()
        seal_everything()
        for step in steps:
            step(proposal)

    return go


_BRANCHES = {
    State.RETURNED: _from(
        State.SUBMITTED,
        lambda p: actions.return_with_points(proposal=p, by=who("dan"), points=["Why exact dates?"]),
    ),
    State.WITHDRAWN: _from(State.SUBMITTED, _move(Action.WITHDRAW, "ada")),
    State.CONDITIONAL: _from(State.UNDER_REVIEW, _decide(Action.APPROVE_CONDITIONALLY, "months, not days")),
    State.REJECTED: _from(State.UNDER_REVIEW, _decide(Action.REJECT)),
    State.SUSPENDED: _from(State.ACTIVE, _move(Action.SUSPEND, "dpo")),
    State.EXPIRED: _from(State.EXPIRED),
    State.REPLACED: _from(State.REPLACED),
}
