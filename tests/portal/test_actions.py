"""Every write of the portal: what the rules refuse is refused, what they allow is done and on the record."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from erios.audit import read_events, verify
from erios.errors import InputError
from erios.governance.roles import Role
from erios.governance.study import TRANSITIONS, Action, Opinion, State, refusal
from erios.governance.words import RuleBroken
from tests.portal.conftest import CAST, CONTENT, seal_everything


def did(settings: Any) -> list[str]:
    return [event.action for event in read_events(settings) if event.action.startswith("study.")]


CALLS = {
    Action.EDIT: lambda a, p, by: a.save_content(proposal=p, by=by, changes={"title": "x"}),
    Action.SUBMIT: lambda a, p, by: a.submit(proposal=p, by=by),
    Action.RETURN: lambda a, p, by: a.return_with_points(proposal=p, by=by, points=["a point"]),
    Action.VOTE: lambda a, p, by: a.vote(proposal=p, by=by, opinion=Opinion.FAVOURABLE, reason="r"),
    Action.VISA: lambda a, p, by: a.give_visa(proposal=p, by=by, opinion=Opinion.FAVOURABLE, reason="r"),
    Action.APPROVE: lambda a, p, by: a.decide(proposal=p, by=by, action=Action.APPROVE, reason="r"),
    Action.APPROVE_CONDITIONALLY: lambda a, p, by: a.decide(
        proposal=p, by=by, action=Action.APPROVE_CONDITIONALLY, reason="r", conditions=["c"]
    ),
    Action.REJECT: lambda a, p, by: a.decide(proposal=p, by=by, action=Action.REJECT, reason="r"),
    Action.ANSWER: lambda a, p, by: a.answer_point(point=_point(p), by=by, answer="because"),
    Action.MEET_CONDITION: lambda a, p, by: a.meet_condition(condition=_condition(p), by=by),
    Action.AGREE_TO_RESUME: lambda a, p, by: a.agree_to_resume(proposal=p, by=by, reason="r"),
}


def _point(proposal: Any) -> Any:
    from erios.studies.models import Point

    if not proposal.points.exists():
        Point.objects.create(proposal=proposal, author=proposal.study.proposer, text="x")
        seal_everything()
    return proposal.points.first()


def _condition(proposal: Any) -> Any:
    from erios.studies.models import Condition

    if not proposal.conditions.exists():
        Condition.objects.create(proposal=proposal, text="x")
        seal_everything()
    return proposal.conditions.first()


def call(action: Action, proposal: Any, by: Any) -> None:
    from erios.studies import actions

    if action in CALLS:
        CALLS[action](actions, proposal, by)
    else:
        actions.move(proposal=proposal, by=by, action=action, reason="because")


BUSIEST = (State.UNDER_REVIEW, State.ACTIVE)
ENGINES = [
    *(("sqlite", state) for state in State),
    *(("postgresql", state) for state in BUSIEST),
    *(pytest.param("postgresql", state, marks=pytest.mark.long) for state in State if state not in BUSIEST),
]
"""The rules know no database: `make test` takes the states in which most is allowed on PostgreSQL too."""


@pytest.mark.parametrize(("template", "state"), ENGINES, indirect=["template"], scope="session")
def test_what_the_rules_refuse_is_refused_and_what_they_allow_is_on_record(state: State, database, person) -> None:
    """Every action by the cast, on a study that ada proposes with bob on the team; of those who voted, one member."""
    from erios.studies.models import Proposal
    from erios.studies.selectors import facts_of
    from tests.portal.stories import at

    proposal = at(state)
    by_hand = {row.action for row in TRANSITIONS if not row.system}
    _point(proposal), _condition(proposal)
    before = did(database)
    for login in [login for login in CAST if login not in ("com2", "com3", "chk2")]:
        by = person(login)
        for action in sorted(by_hand):
            fresh = Proposal.objects.get(pk=proposal.pk)
            expected = refusal(facts_of(fresh), action, by.person)
            assert _tried(action, fresh, by) == expected, (action, login)
        assert did(database) == before


def _tried(action: Action, proposal: Any, by: Any) -> Any:
    """The refusal of an action that is undone in any case."""
    from django.db import transaction

    try:
        with transaction.atomic():
            call(action, proposal, by)
            raise _Undo
    except _Undo:
        return None
    except RuleBroken as error:
        return error.refusal


class _Undo(Exception):  # noqa: N818
    """Undoes what was done."""


def test_the_thousandth_study_of_a_year_has_a_number_of_its_own(database, person) -> None:
    from django.utils import timezone

    from erios.studies import actions
    from erios.studies.models import Study

    year = timezone.now().year
    Study.objects.create(number=f"E{year}-999", proposer=person("ada"))
    seal_everything()
    numbers = [actions.start_study(by=person("ada")).study.number for _ in range(3)]
    assert numbers == [f"E{year}-{last}" for last in (1000, 1001, 1002)]


def test_a_study_goes_its_way_and_every_step_is_on_record(database) -> None:
    from tests.portal.stories import at

    at(State.ARCHIVED)
    steps = ["start", "edit", "team.add", "submit", "triage", "open-review", "vote", "vote", "vote", "visa"]
    steps += ["approve", "activate", "close", "archive"]
    assert did(database) == [f"study.{step}" for step in steps]
    assert verify(database).faults == ()


def test_a_member_of_the_team_may_not_be_a_reviewer_even_in_the_database(database, person) -> None:
    from django.db import IntegrityError

    from erios.studies.models import Part
    from tests.portal.stories import at

    proposal = at(State.UNDER_REVIEW)
    for login in ("ada", "bob"):
        with pytest.raises(IntegrityError):
            Part.objects.create(proposal=proposal, person=person(login), kind="vote", opinion="favourable")


def test_nobody_is_two_reviewers_of_a_proposal_even_in_the_database(database, person) -> None:
    from django.db import IntegrityError

    from erios.studies.models import Part
    from tests.portal.stories import at, review

    proposal = at(State.UNDER_REVIEW)
    review(proposal)
    for login in ("com1", "dpo"):
        with pytest.raises(IntegrityError):
            Part.objects.create(proposal=proposal, person=person(login), kind="decision", opinion="approved")


def test_roles_that_exclude_each_other_are_refused_by_the_database(database, person) -> None:
    from django.db import IntegrityError

    from erios.accounts.models import HeldRole

    member = person("com1").held_roles.get()
    with pytest.raises(IntegrityError):
        HeldRole.objects.create(user=person("dpo"), role=Role.COMMITTEE)
    with pytest.raises(IntegrityError):
        HeldRole.objects.filter(pk=member.pk).update(user=person("dpo"))
    both = person("com1")
    both.set_roles({Role.COMMITTEE, Role.CLINICIAN})
    both.save()
    assert set(both.held_roles.values_list("role", flat=True)) == {"committee", "clinician"}
    assert set(person("dpo").held_roles.values_list("role", flat=True)) == {"dpo"}


def test_of_two_who_give_roles_that_exclude_each_other_at_once_one_is_refused(database, person) -> None:
    from django.db import IntegrityError, connection

    from erios.accounts.models import HeldRole, User

    user = User.objects.create(username="new")
    start, outcomes = threading.Barrier(2), []

    def give(role: Role) -> None:
        start.wait()
        try:
            HeldRole.objects.create(user=user, role=role)
            outcomes.append("held")
        except IntegrityError:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=give, args=(role,)) for role in (Role.DPO, Role.CLINICIAN)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["held", "refused"]


def test_two_who_decide_at_the_same_instant_one_wins_and_the_other_is_told(database, person) -> None:
    from django.db import connection

    from erios.accounts.models import User
    from erios.studies import actions
    from erios.studies.models import Part
    from tests.portal.stories import at, review

    second = User(username="chief2")
    second.set_roles({next(iter(person("chief").roles))})
    second.save()
    seal_everything()
    proposal = at(State.UNDER_REVIEW)
    review(proposal)
    proposal.refresh_from_db()
    start, outcomes = threading.Barrier(2), {}

    def decide(login: str, action: Action) -> None:
        try:
            by = person(login)
            start.wait(10)
            actions.decide(proposal=proposal, by=by, action=action, reason="r", revision=proposal.revision)
            outcomes[login] = "done"
        except RuleBroken as error:
            outcomes[login] = error.refusal.code
        finally:
            connection.close()

    sides = [("chief", Action.APPROVE), ("chief2", Action.REJECT)]
    threads = [threading.Thread(target=decide, args=side) for side in sides]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes.values()) == ["done", "moved-on"]
    assert Part.objects.filter(proposal=proposal, kind="decision").count() == 1
    assert verify(database).faults == ()


def test_all_who_review_at_the_same_instant_are_heard_and_a_double_click_counts_once(database, person) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from django.db import connection

    from erios.studies import actions
    from erios.studies.models import Part
    from tests.portal.stories import at

    proposal = at(State.UNDER_REVIEW)
    sides = [("com1", "vote"), ("com1", "vote"), ("com2", "vote"), ("com3", "vote"), ("dpo", "visa"), ("dpo2", "visa")]
    start = threading.Barrier(len(sides))

    def review(side: tuple[str, str]) -> str:
        act = actions.vote if side[1] == "vote" else actions.give_visa
        try:
            by = person(side[0])
            start.wait(10)
            act(proposal=proposal, by=by, opinion=Opinion.FAVOURABLE, reason="r")
            return "done"
        except RuleBroken:
            return "refused"
        finally:
            connection.close()

    with ThreadPoolExecutor(len(sides)) as crowd:
        outcomes = list(crowd.map(review, sides))
    assert (outcomes.count("done"), outcomes.count("refused")) == (4, 2)
    kinds = Part.objects.filter(proposal=proposal, kind__in=["vote", "visa"]).values_list("person__username", "kind")
    voters = {login for login, kind in kinds if kind == "vote"}
    assert (len(kinds), voters) == (4, {"com1", "com2", "com3"})
    assert [did(database).count(f"study.{kind}") for kind in ("vote", "visa")] == [3, 1]
    assert verify(database).faults == ()


def test_a_page_that_was_read_before_somebody_acted_does_nothing(database, person) -> None:
    from erios.studies import actions
    from tests.portal.stories import at

    proposal = at(State.SUBMITTED)
    with pytest.raises(RuleBroken, match="somebody else has just acted"):
        actions.move(proposal=proposal, by=person("dan"), action=Action.TRIAGE, revision=proposal.revision - 1)


def test_votes_of_an_earlier_round_are_kept_beside_the_new_ones(database, person) -> None:
    from erios.studies import actions
    from tests.portal.stories import at

    proposal = at(State.UNDER_REVIEW)
    actions.vote(proposal=proposal, by=person("com1"), opinion=Opinion.UNFAVOURABLE, reason="unclear")
    actions.return_with_points(proposal=proposal, by=person("com2"), points=["clarify", ""])
    with pytest.raises(RuleBroken, match="without an answer: 1"):
        actions.submit(proposal=proposal, by=person("ada"))
    actions.answer_point(point=proposal.points.get(), by=person("ada"), answer="clarified")
    again = actions.submit(proposal=proposal, by=person("ada"))
    assert again.parts.filter(kind="vote").count() == 0
    assert [(said["who"], said["opinion"]) for said in again.earlier_reviews] == [("com1", "unfavourable")]


def test_an_amendment_replaces_the_active_version_when_it_is_activated(database, person) -> None:
    from erios.studies import actions
    from erios.studies.models import Proposal
    from tests.portal.stories import at, review

    first = at(State.ACTIVE)
    second = actions.amend(study=first.study, by=person("ada"))
    actions.save_content(proposal=second, by=person("ada"), changes={"retention_years": 1})
    actions.submit(proposal=second, by=person("ada"))
    actions.move(proposal=second, by=person("dan"), action=Action.TRIAGE)
    actions.move(proposal=second, by=person("com1"), action=Action.OPEN_REVIEW)
    review(second)
    actions.decide(proposal=second, by=person("chief"), action=Action.APPROVE, reason="r")
    assert Proposal.objects.get(pk=first.pk).state == State.ACTIVE
    actions.move(proposal=second, by=person("dpo"), action=Action.ACTIVATE)
    states = list(Proposal.objects.filter(study=first.study).values_list("version", "state"))
    assert states == [(1, "replaced"), (2, "active")]


@pytest.mark.parametrize("code", ["biometric-identification", "insurance-selection"])
def test_a_forbidden_purpose_stops_the_submission_with_its_law(code: str, database, person) -> None:
    from erios.studies import actions
    from tests.portal.stories import at

    proposal = at(State.DRAFT)
    actions.save_content(proposal=proposal, by=person("ada"), changes={"purposes": {code: {"declared": True}}})
    with pytest.raises(RuleBroken, match=r"forbidden purpose.*(AI Act|CSP)"):
        actions.submit(proposal=proposal, by=person("ada"))


def test_an_expired_study_is_closed_by_the_night(database) -> None:
    from datetime import date

    from erios.studies import actions
    from tests.portal.stories import at

    proposal = at(State.ACTIVE)
    assert actions.expire_studies(today=date.fromisoformat(str(CONTENT["ends"]))) == []
    assert [p.state for p in actions.expire_studies(today=date(2033, 1, 1))] == [State.EXPIRED]
    proposal.refresh_from_db()
    assert proposal.state == State.EXPIRED


def test_a_letter_goes_out_once_the_change_has_lasted(database, person) -> None:
    from django.core import mail

    from erios.studies.emails import send_letters
    from erios.studies.models import Notification
    from tests.portal.stories import at

    at(State.SUBMITTED)
    waiting = Notification.objects.filter(action="submit")
    assert sorted(note.person.username for note in waiting) == ["bob", "dan"]
    mail.outbox = []
    assert send_letters.func([note.pk for note in waiting]) == 2
    assert {letter.to[0] for letter in mail.outbox} == {"bob@example.org", "dan@example.org"}
    assert "soumis" in mail.outbox[0].subject


def test_nobody_changes_their_own_roles_or_closes_their_own_account(database, person) -> None:
    from erios.accounts import actions

    admin = person("admin")
    with pytest.raises(InputError, match="their own roles"):
        actions.set_roles(by=admin, user=admin, roles=[])
    with pytest.raises(InputError, match="their own account"):
        actions.close_account(by=admin, user=admin, reason="x")
