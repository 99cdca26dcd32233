"""A results text is public once two checkers have approved that very text in the airlock and the DPO has agreed."""

from __future__ import annotations

import json
import threading
from hashlib import sha256
from typing import Any

import pytest

from erios.audit import read_events
from erios.errors import InputError
from erios.governance.publication import Action, State
from erios.governance.study import State as StudyState
from erios.governance.words import RuleBroken
from tests.portal.airlock_stories import approved, vote
from tests.portal.stories import at, who
from tests.portal.test_pages import client

SMALL = "Of 3 patients, one man of 97 from a village died."
GOOD = "Fewer than one in ten patients came back within 30 days."


def study() -> Any:
    return at(StudyState.ACTIVE).study


def propose(study: Any, text: str = SMALL) -> Any:
    from erios.studies.publication_actions import propose_results

    return propose_results(study=study, by=who("ada"), text=text)


def act(publication: Any, action: Action, login: str = "dpo", reason: str = "because") -> Any:
    """What the portal does; a text to be published is approved in the airlock first."""
    from erios.studies.publication_actions import act_on_results
    from erios.workflows.airlock_release import publish_results

    if action is Action.PUBLISH and login == "dpo":
        return publish_results(approved(publication), who(login))
    return act_on_results(publication=publication, by=who(login), action=action, reason=reason)


def public(study: Any) -> str:
    """All that somebody without an account is shown of a study: page and open format."""
    browser = client(None)
    pages = (f"/registre/{study.number}/", "/registre.json", "/")
    return "\n".join(browser.get(page, secure=True).content.decode() for page in pages)


def results(study: Any) -> str:
    """The text in the open format."""
    feed = json.loads(client(None).get("/registre.json", secure=True).content)
    (entry,) = (entry for entry in feed["studies"] if entry["number"] == study.number)
    return str(entry["results"])


def test_what_a_proposer_writes_is_not_public_at_once(database: Any) -> None:
    """The attack: a text about three patients, by the form of the page."""
    of = study()

    answer = client("ada").post(f"/etudes/{of.number}/resultats/", {"text": SMALL}, secure=True)

    assert answer.status_code == 302
    assert "one man of 97" not in public(of)
    assert results(of) == ""
    assert SMALL in client("dpo").get(f"/etudes/{of.number}/", secure=True).content.decode()
    client("dpo").post(f"/etudes/{of.number}/resultats/v1/publish results/", secure=True)
    assert results(of) == ""
    approved(of.publications.get())
    assert of.number in client("dpo").get("/accueil/", secure=True).content.decode()


def test_the_text_that_was_agreed_to_is_shown_word_for_word(database: Any) -> None:
    of = study()
    text = "Fewer than <b>11</b> — « peu » &amp; rare.\n\nTwo lines.  Two spaces."
    approved(propose(of, f"  {text}\n"))

    client("dpo").post(f"/etudes/{of.number}/resultats/v1/publish results/", secure=True)

    assert results(of) == text
    assert "&lt;b&gt;11&lt;/b&gt; — « peu » &amp;amp; rare." in public(of)


def test_each_version_is_decided_alone_and_an_edit_waits_again(database: Any) -> None:
    of = study()
    act(propose(of, GOOD), Action.PUBLISH)
    edited = propose(of, SMALL)

    assert results(of) == GOOD
    act(edited, Action.REFUSE, reason="three patients")
    assert results(of) == GOOD
    again = propose(of, GOOD + " Again.")
    assert results(of) == GOOD
    act(again, Action.PUBLISH)

    assert results(of) == GOOD + " Again."
    states = list(of.publications.order_by("version").values_list("state", "reason"))
    assert states[1] == (State.REFUSED, "three patients")
    assert [state for state, _reason in states] == [State.REPLACED, State.REFUSED, State.PUBLISHED]


def act_as_read(publication: Any) -> Any:
    from erios.workflows.airlock_release import publish_results

    publication.refresh_from_db()
    return publish_results(publication, who("dpo"))


def test_an_agreement_to_a_version_that_was_replaced_meanwhile_publishes_nothing(database: Any) -> None:
    """The proposer revises while the DPO reads."""
    of = study()
    read = approved(propose(of, GOOD))
    propose(of, SMALL)

    with pytest.raises(RuleBroken, match="not possible"):
        act_as_read(read)

    assert results(of) == ""


def test_the_dpo_alone_publishes_nothing_and_two_checkers_alone_publish_nothing(database: Any) -> None:
    from erios.studies.publication_actions import act_on_results

    of = study()
    publication = propose(of, GOOD)
    with pytest.raises(RuleBroken, match="two checkers"):
        act_as_read(publication)
    if publication.request.state == "submitted":
        vote(publication.request, "chk1", name="resultats-v1.txt")
        with pytest.raises(RuleBroken, match="two checkers"):
            act_as_read(publication)
    else:
        publication = approved(publication)
    with pytest.raises(RuleBroken, match="two checkers"):
        act_on_results(publication=publication, by=who("dpo"), action=Action.PUBLISH)
    assert results(of) == ""


def test_a_text_that_no_request_carries_is_not_published(database: Any) -> None:
    """One of an older version, or whose row points to another text's request."""
    from erios.studies.models import Publication
    from tests.portal.conftest import seal_everything

    of = study()
    old = Publication.objects.create(study=of, version=1, text=SMALL, by=who("ada"))
    seal_everything()
    good = act(propose(of, GOOD), Action.PUBLISH)
    Publication.objects.filter(pk=good.pk).update(request=None)
    Publication.objects.filter(pk=old.pk).update(request=good.request, state=State.WAITING)
    seal_everything()
    with pytest.raises(RuleBroken, match="two checkers"):
        act_as_read(Publication.objects.get(pk=old.pk))


def test_nobody_but_the_dpo_agrees(database: Any) -> None:
    of = study()
    publication = propose(of)
    others = ("ada", "bob", "com1", "chief", "dan", "admin")

    for login in others:
        for action in (Action.PUBLISH, Action.REFUSE, Action.REPLACE):
            with pytest.raises(RuleBroken):
                act(publication, action, login)
        client(login).post(f"/etudes/{of.number}/resultats/v1/publish results/", secure=True)
    client(None).post(f"/etudes/{of.number}/resultats/v1/publish results/", secure=True)

    publication.refresh_from_db()
    assert (publication.state, results(of)) == (State.WAITING, "")


def test_nobody_but_the_proposer_proposes(database: Any) -> None:
    from erios.studies.publication_actions import propose_results

    of = study()
    for login in ("bob", "dpo", "dan", "admin"):
        with pytest.raises(RuleBroken, match="propose results"):
            propose_results(study=of, by=who(login), text=GOOD)


def test_a_refusal_has_a_reason_and_an_empty_text_is_none(database: Any) -> None:
    of = study()
    publication = propose(of)

    with pytest.raises(RuleBroken, match="a written reason"):
        act(publication, Action.REFUSE, reason="  ")
    with pytest.raises(InputError, match="say nothing"):
        propose(of, " \n")
    assert of.publications.get().state == State.WAITING


def test_a_text_is_taken_down_by_either_with_a_reason(database: Any) -> None:
    of = study()
    for login in ("ada", "dpo"):
        published = act(propose(of, GOOD), Action.PUBLISH)
        with pytest.raises(RuleBroken, match="a written reason"):
            act(published, Action.WITHDRAW, login, reason="")
        act(published, Action.WITHDRAW, login)
        assert results(of) == ""


def test_two_who_act_at_once_leave_one_text_of_each_kind(database: Any) -> None:
    """The DPO agrees to one version while the proposer sends others: the chain says one after another."""
    from django.db import connections

    of = study()
    first = approved(propose(of, GOOD))
    faults: list[Exception] = []

    def attempt(step: Any) -> None:
        try:
            step()
        except RuleBroken:
            pass
        except Exception as fault:
            faults.append(fault)
        finally:
            connections.close_all()

    steps = [lambda: act_as_read(first), *[lambda: propose(of, SMALL)] * 3]
    threads = [threading.Thread(target=attempt, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    states = list(of.publications.values_list("state", flat=True))
    assert faults == []
    assert len(states) == 4
    assert states.count(State.WAITING) == 1
    assert results(of) in ("", GOOD)


def test_the_record_holds_the_digest_of_what_was_agreed_to_and_not_the_text(database: Any) -> None:
    of = study()
    act(propose(of, GOOD), Action.PUBLISH)

    events = [event for event in read_events(database) if event.action.endswith("-results")]
    assert [(event.action, event.actor) for event in events] == [
        ("study.propose-results", "ada"),
        ("study.publish-results", "dpo"),
    ]
    assert {json.loads(event.details)["digest"] for event in events} == {sha256(GOOD.encode()).hexdigest()}
    assert not any("ten patients" in event.details for event in events)


def test_those_concerned_are_told_by_number_and_state_alone(database: Any) -> None:
    from erios.studies.emails import _values

    of = study()
    publication = propose(of)
    note = who("dpo").notifications.latest("pk")
    assert (note.action, note.state) == ("propose results", State.WAITING)
    assert _values(note)["waits_for"] == "data protection officer"
    act(publication, Action.REFUSE, reason="three patients")

    note = who("ada").notifications.filter(request=None).latest("pk")
    assert (note.action, note.state, note.actor) == (Action.REFUSE, State.REFUSED, "dpo")
    assert "three" not in str(_values(note))


def test_the_database_refuses_a_public_text_without_another_persons_agreement(database: Any) -> None:
    from django.db import IntegrityError, transaction

    from erios.studies.models import Publication

    publication = propose(study())
    for changes in ({}, {"decided_by": who("ada")}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Publication.objects.filter(pk=publication.pk).update(state=State.PUBLISHED, **changes)
