"""Nothing leaves a study but what two independent checkers approved, blind to each other, byte for byte."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from erios.audit import read_events, verify
from erios.errors import InputError, StorageError
from erios.governance.airlock import Action, Destination, Kind, State, Verdict
from erios.governance.study import Action as StudyAction
from erios.governance.study import State as StudyState
from erios.governance.words import RuleBroken
from tests.portal.airlock_stories import (
    SMALL,
    TABLE,
    add,
    asked,
    did,
    fresh,
    in_state,
    released,
    request_of,
    spoil,
    vote,
    voted,
)
from tests.portal.airlock_stories import calls as _calls
from tests.portal.conftest import seal_everything
from tests.portal.stories import at, who
from tests.portal.test_pages import client

pytestmark = pytest.mark.parametrize(
    "template", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True, scope="session"
)
"""The rules know no database: `make test` takes the matrix and the race on PostgreSQL too (``test_airlock_rules``)."""

# --- who votes ---


@pytest.mark.parametrize("login", ["ada", "bob"])
def test_author_and_team_never_vote_even_with_the_role(login: str, database: Any) -> None:
    from erios.accounts.actions import set_roles
    from erios.governance.roles import Role

    request = asked()
    user = who(login)
    set_roles(by=who("admin"), user=user, roles=[*user.roles, Role.CHECKER])

    with pytest.raises(RuleBroken, match="you propose this study or are on its team"):
        vote(request, login)
    client(login).post(f"/sorties/{request.number}/action/vote/", _posted(request, "approve"), secure=True)

    assert request.votes.count() == 0


def test_a_checker_who_joins_the_team_later_counts_no_more(database: Any) -> None:
    """An amendment puts them on the team after the vote, and after the approval."""
    from erios.studies import actions
    from erios.workflows.airlock_release import release_request

    request = voted(asked())
    assert request.state == State.APPROVED
    amendment = actions.amend(study=request.study, by=who("ada"))
    actions.add_member(proposal=amendment, by=who("ada"), member=who("chk2"))

    with pytest.raises(RuleBroken, match="independent checkers"):
        release_request(fresh(request), who("chk1"))
    with pytest.raises(RuleBroken):
        release_request(fresh(request), who("chk2"))
    assert fresh(request).state == State.APPROVED


def test_one_vote_a_checker_and_file_even_in_the_database(database: Any) -> None:
    from django.db import IntegrityError

    from erios.studies.airlock_models import AirlockVote

    request = asked()
    vote(request, "chk1")
    with pytest.raises(RuleBroken, match="already voted"):
        vote(request, "chk1", Verdict.REFUSE)
    first = request.votes.get()
    with pytest.raises(IntegrityError):
        AirlockVote.objects.create(request=request, file=first.file, checker=who("chk1"), sealed="x")


@pytest.mark.parametrize(
    ("verdicts", "state"),
    [
        ((Verdict.APPROVE, Verdict.APPROVE), State.APPROVED),
        ((Verdict.APPROVE, Verdict.REFUSE), State.REJECTED),
        ((Verdict.REFUSE, Verdict.APPROVE), State.REJECTED),
        ((Verdict.CHANGE, Verdict.APPROVE), State.RETURNED),
        ((Verdict.CHANGE, Verdict.REFUSE), State.REJECTED),
    ],
)
def test_the_strictest_vote_decides(verdicts: Any, state: State, database: Any) -> None:
    assert voted(asked(), *verdicts).state == state


def test_only_what_both_approved_leaves(database: Any) -> None:
    from erios.workflows.airlock_release import verify_release

    request = asked("table.csv", "second.csv")
    voted(request)
    assert fresh(request).state == State.SUBMITTED
    assert voted(request, Verdict.APPROVE, Verdict.REFUSE, name="second.csv").state == State.APPROVED
    assert sorted(verify_release(released(request))["files"]) == ["table.csv"]


@pytest.mark.parametrize("verdict", [Verdict.REFUSE, Verdict.CHANGE])
def test_what_is_not_approved_has_a_ground_and_a_reason(verdict: Verdict, database: Any) -> None:
    request = asked()
    with pytest.raises(RuleBroken, match="reason"):
        vote(request, "chk1", verdict, reason=" ")
    with pytest.raises(RuleBroken, match="choose the ground"):
        vote(request, "chk1", verdict, ground="because")


class _Undo(Exception):  # noqa: N818
    """Undoes what was done."""


# --- blindness ---

SECRET = "Reconnaissable par son age"


def _posted(request: Any, verdict: str) -> dict[str, str]:
    from erios.studies.airlock_actions import find_file

    digest = find_file(request, "table.csv").digest
    said = {"file": "table.csv", "digest": digest, "verdict": verdict}
    return {**said, "ground": "ground-identifiable", "reason": SECRET} if verdict != "approve" else said


def _all_that(login: str, request: Any) -> str:
    """Every page, letter and command by which somebody could read a vote, without what changes by itself."""
    from typer.testing import CliRunner

    import erios.cli.airlock_requests as commands
    from erios.cli import app

    browser, here = client(login), f"/sorties/{request.number}/"
    addresses = (here, f"{here}fichiers/table.csv/", "/sorties/", "/accueil/", "/notifications/", "/registre.json", "/")
    pages = [browser.get(address, secure=True).content.decode() for address in addresses]
    pages.append(browser.get(f"/etudes/{request.study.number}/", secure=True).content.decode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands, "operator", lambda: who(login))
        pages += [CliRunner().invoke(app, ["airlock", *words]).stdout for words in _commands(request.number)]
    return _without_tokens("\n".join(pages))


def _commands(number: str) -> list[list[str]]:
    return [["show", number], ["show", number, "--json"], ["list", "--json"]]


def _without_tokens(page: str) -> str:
    import re

    return re.sub(r'name="(csrfmiddlewaretoken|revision)" value="[^"]*"', "", page)


@pytest.mark.parametrize("reader", ["chk2", "ada"])
def test_nobody_reads_a_vote_before_both_are_in(reader: str, database: Any) -> None:
    """What the reader is shown is letter for letter the same whether the first checker approves or refuses."""
    from django.db import transaction

    request, shown = asked(), {}
    for verdict in ("approve", "refuse"):
        try:
            with transaction.atomic():
                client("chk1").post(f"/sorties/{request.number}/action/vote/", _posted(request, verdict), secure=True)
                assert request.votes.count() == 1
                shown[verdict] = _all_that(reader, request)
                raise _Undo
        except _Undo:
            pass
    assert shown["approve"] == shown["refuse"]
    assert SECRET not in shown["refuse"]


def test_row_and_record_hold_a_vote_sealed_and_at_one_length(database: Any) -> None:
    request = asked("table.csv", "second.csv")
    vote(request, "chk1", Verdict.REFUSE, reason=SECRET)
    vote(request, "chk1", Verdict.APPROVE, "second.csv")

    events = [event for event in read_events(database) if event.action == "airlock.vote"]
    sealed = [json.loads(event.details)["sealed"] for event in events]
    assert [event.reason for event in events] == ["", ""]
    assert len({len(text) for text in sealed}) == 1
    assert len({len(event.details) for event in events}) <= 2
    rows = list(request.votes.values_list("verdict", "ground", "reason"))
    assert rows == [("", "", "")] * 2
    assert not any(SECRET in event.details or "refuse" in event.details for event in events)


def test_a_vote_tells_nobody_by_letter(database: Any) -> None:
    from erios.studies.models import Notification

    request = asked()
    before = Notification.objects.count()
    vote(request, "chk1", Verdict.REFUSE)
    assert Notification.objects.count() == before


def test_the_dpo_reads_sealed_votes_and_everybody_concerned_opened_ones(database: Any) -> None:
    request = asked()
    vote(request, "chk1", Verdict.REFUSE, reason=SECRET)
    assert SECRET in _all_that("dpo", request)
    assert SECRET in _all_that("chk1", request)
    vote(request, "chk2")
    for login in ("chk2", "ada", "bob"):
        assert SECRET in _all_that(login, request)
    assert "chk1" not in client("ada").get(f"/sorties/{request.number}/", secure=True).content.decode()


def test_a_checkers_word_is_held_back_until_the_votes_are_in(database: Any) -> None:
    request = asked()
    client("chk1").post(f"/sorties/{request.number}/commentaire/", {"text": SECRET}, secure=True)
    assert SECRET in _all_that("chk1", request)
    for login in ("chk2", "ada"):
        assert SECRET not in _all_that(login, request)
    voted(request)
    assert SECRET in _all_that("chk2", request)


def test_votes_of_a_returned_round_are_never_opened_to_the_other(database: Any) -> None:
    """To send it back is no way to read what the other said."""
    from erios.studies.airlock_actions import return_request

    request = asked()
    vote(request, "chk1", Verdict.REFUSE, reason=SECRET)
    return_request(request=fresh(request), by=who("chk2"), points=["which patients?"])
    for login in ("chk2", "ada"):
        assert SECRET not in _all_that(login, request)


def test_file_contents_are_for_checkers_and_for_the_team_once_released(database: Any) -> None:
    """The portal is outside of the walls: an author who reads the file there needs no checker."""
    request = asked()
    page = f"/sorties/{request.number}/fichiers/table.csv/"
    assert "<td>120</td>" in client("chk1").get(page, secure=True).content.decode()
    assert "<td>120</td>" not in client("ada").get(page, secure=True).content.decode()
    assert client("ada").get(f"{page}octets", secure=True).status_code == 404
    assert client("chk1").get(f"{page}octets", secure=True).status_code == 404
    assert client("com1").get(page, secure=True).status_code == 404
    released(voted(request))
    assert "<td>120</td>" in client("ada").get(page, secure=True).content.decode()
    answer = client("bob").get(f"{page}octets", secure=True)
    assert answer.content == TABLE
    assert answer.headers["Content-Disposition"] == 'attachment; filename="table.csv"'
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert did(database)[-1] == "airlock.download"


# --- bytes ---


@pytest.mark.parametrize("state", [State.SUBMITTED, State.APPROVED, State.RELEASED])
def test_a_changed_byte_voids_the_request_when_it_is_shown(state: State, database: Any) -> None:
    request = in_state(state)
    from erios.studies.airlock_actions import find_file
    from erios.studies.airlock_store import path_of

    path = path_of(request.study.number, find_file(request, "table.csv").digest, "table.csv")
    path.write_bytes(TABLE.replace(b"120", b"121"))
    answer = client("chk1").get(f"/sorties/{request.number}/fichiers/table.csv/", secure=True)

    assert answer.status_code == 409
    assert "n'est plus celui" in answer.content.decode().replace("&#x27;", "'")
    assert fresh(request).state == State.VOIDED
    (event,) = [event for event in read_events(database) if event.action == "airlock.void"]
    assert (event.actor, event.object) == ("system", request.number)


def test_a_changed_byte_voids_at_the_vote_and_at_the_release(database: Any) -> None:
    from erios.studies.airlock_actions import find_file
    from erios.studies.airlock_store import path_of
    from erios.workflows.airlock_release import release_request

    study = at(StudyState.ACTIVE).study
    to_vote, to_release = asked(study=study), voted(asked(study=study))
    path = path_of(study.number, find_file(to_vote, "table.csv").digest, "table.csv")
    path.write_bytes(b"")
    with pytest.raises(RuleBroken, match=r"table\.csv is no longer"):
        vote(to_vote, "chk1")
    with pytest.raises(RuleBroken, match=r"table\.csv is no longer"):
        release_request(to_release, who("chk1"))
    assert [fresh(one).state for one in (to_vote, to_release)] == [State.VOIDED] * 2
    assert to_vote.votes.count() == 0


def test_a_vote_is_on_the_bytes_that_were_read(database: Any) -> None:
    with pytest.raises(RuleBroken, match="somebody else has just acted"):
        vote(asked(), "chk1", digest="0" * 64)


def test_bytes_under_review_are_neither_replaced_nor_taken_out(database: Any) -> None:
    from erios.studies.airlock_actions import remove_file

    request = asked()
    with pytest.raises(RuleBroken, match="not possible"):
        add(request, content=SMALL)
    with pytest.raises(RuleBroken, match="not possible"):
        remove_file(request=request, by=who("ada"), name="table.csv")


@pytest.mark.parametrize("name", ["manifest.json", "../table.csv", ".hidden", "a/b.csv", "", "x" * 101, "a\n.csv"])
def test_a_name_that_would_lead_elsewhere_is_refused(name: str, database: Any) -> None:
    with pytest.raises(InputError, match="rename it"):
        add(request_of(at(StudyState.ACTIVE).study), name)


# --- held files and exceptions ---


def test_a_held_file_is_not_submitted_without_the_dpos_exception_for_these_bytes(database: Any) -> None:
    from erios.studies.airlock_actions import ask_exception, find_file, grant_exception, submit_request

    request = request_of(at(StudyState.ACTIVE).study)
    add(request, content=SMALL)
    with pytest.raises(RuleBroken, match=r"hold: table\.csv"):
        submit_request(request=request, by=who("ada"))
    digest = find_file(request, "table.csv").digest
    with pytest.raises(RuleBroken, match="no exception"):
        grant_exception(request=request, by=who("dpo"), file="table.csv", digest=digest, reason="r")
    ask_exception(request=request, by=who("ada"), file="table.csv", reason="ce sont des lits")
    grant_exception(request=request, by=who("dpo"), file="table.csv", digest=digest, reason="des lits, en effet")
    assert submit_request(request=request, by=who("ada")).state == State.SUBMITTED
    assert "des lits, en effet" in client("chk1").get(f"/sorties/{request.number}/", secure=True).content.decode()
    assert voted(request).state == State.APPROVED


def test_an_exception_is_for_the_bytes_that_the_dpo_read(database: Any) -> None:
    from erios.studies.airlock_actions import ask_exception, find_file, grant_exception, submit_request

    request = request_of(at(StudyState.ACTIVE).study)
    add(request, content=SMALL)
    ask_exception(request=request, by=who("ada"), file="table.csv", reason="des lits")
    digest = find_file(request, "table.csv").digest
    grant_exception(request=request, by=who("dpo"), file="table.csv", digest=digest, reason="oui")
    add(request, content=SMALL.replace(b",3", b",2"))
    with pytest.raises(RuleBroken, match="hold"):
        submit_request(request=request, by=who("ada"))


def test_an_exception_ends_when_the_checks_find_more(database: Any, monkeypatch: Any) -> None:
    """Granted for one small cell; since then another file has left, with which a difference can be reckoned."""
    from dataclasses import replace

    from erios.airlock.check import check_file
    from erios.airlock.findings import Finding
    from erios.studies import airlock_actions as acts

    request = request_of(at(StudyState.ACTIVE).study)
    add(request, content=SMALL)
    acts.ask_exception(request=request, by=who("ada"), file="table.csv", reason="des lits")
    digest = acts.find_file(request, "table.csv").digest
    acts.grant_exception(request=request, by=who("dpo"), file="table.csv", digest=digest, reason="oui")
    more = Finding("small-cell", place="cell", values={**_PLACE, "row": 9})

    def find_more(path: Any, context: Any) -> Any:
        report = check_file(path, context)
        return replace(report, findings=(*report.findings, more))

    monkeypatch.setattr(acts, "check_file", find_more)
    with pytest.raises(RuleBroken, match="hold"):
        acts.submit_request(request=request, by=who("ada"))


def test_the_same_bytes_asked_for_again_bear_their_history(database: Any) -> None:
    """Another request, another pair of checkers: what was refused is told."""
    first = voted(asked(), Verdict.REFUSE, Verdict.APPROVE)
    again = asked(study=first.study)
    page = client("chk2").get(f"/sorties/{again.number}/fichiers/table.csv/", secure=True).content.decode()
    assert f"pas été approuvés dans {first.number}" in page.replace("&#x27;", "'")


def test_a_team_members_exception_is_no_exception(database: Any) -> None:
    """A DPO who is on the team asks another DPO."""
    from erios.studies.models import Part, PartKind

    request = in_state(State.DRAFT)
    Part.objects.create(proposal=request.study.proposals.get(), person=who("dpo2"), kind=PartKind.TEAM)
    seal_everything()
    with pytest.raises(RuleBroken, match="team"):
        _calls()[Action.GRANT_EXCEPTION](request, who("dpo2"))


def test_context_and_controls_are_required(database: Any) -> None:
    request = request_of(at(StudyState.ACTIVE).study)
    for lacking in ("context", "controls"):
        with pytest.raises(InputError, match="needs its context"):
            add(request, "table.csv", TABLE, **{lacking: " "})


# --- rounds, comments, expiry ---


def test_a_returned_request_comes_again_with_answers_and_new_votes(database: Any) -> None:
    from erios.studies.airlock_actions import answer_airlock_point, submit_request

    request = voted(asked(), Verdict.CHANGE, Verdict.APPROVE)
    assert (request.state, request.round) == (State.RETURNED, 2)
    with pytest.raises(RuleBroken, match="without an answer: 1"):
        submit_request(request=request, by=who("ada"))
    answer_airlock_point(point=request.points.get(), by=who("ada"), answer="fondu avec la ligne voisine")
    add(request, content=TABLE.replace(b"120", b"130"))
    again = submit_request(request=fresh(request), by=who("ada"))
    assert again.state == State.SUBMITTED
    assert voted(again).state == State.APPROVED
    page = client("chk1").get(f"/sorties/{request.number}/", secure=True).content.decode()
    assert "trois patients dans une case" in page
    assert verify(database).faults == ()


def test_a_request_that_nobody_moves_expires(database: Any) -> None:
    from django.utils import timezone

    from erios.studies.airlock_actions import expire_requests

    request = asked()
    assert expire_requests(now=timezone.now() + timedelta(days=29)) == []
    assert [one.number for one in expire_requests(now=timezone.now() + timedelta(days=31))] == [request.number]
    assert fresh(request).state == State.EXPIRED


def test_nothing_leaves_a_study_that_is_suspended(database: Any) -> None:
    from erios.studies import actions
    from erios.workflows.airlock_release import release_request

    request = voted(asked())
    actions.move(proposal=request.study.proposals.get(), by=who("dpo"), action=StudyAction.SUSPEND, reason="r")
    with pytest.raises(RuleBroken, match="nothing leaves"):
        release_request(request, who("chk1"))
    with pytest.raises(RuleBroken, match="nothing leaves"):
        request_of(request.study)


# --- releases ---


def test_a_release_is_a_signed_manifest_on_record_and_a_forged_one_is_refused(database: Any, tmp_path: Any) -> None:
    import base64
    import hashlib

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from erios.workflows.airlock_release import export_request, release_folder, verify_release

    request = released(voted(asked()))
    manifest = verify_release(request)
    folder = release_folder(request)
    (event,) = [event for event in read_events(database) if event.action == "airlock.release"]
    digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    assert json.loads(event.details)["manifest"] == request.manifest == digest
    assert manifest["files"]["table.csv"]["sha256"] == hashlib.sha256(TABLE).hexdigest()
    assert export_request(request, who("bob"), tmp_path / "out") == ["table.csv"]
    assert (tmp_path / "out" / "table.csv").read_bytes() == TABLE
    with pytest.raises(RuleBroken, match="team"):
        export_request(request, who("chk1"), tmp_path / "else")

    (folder / "table.csv").write_bytes(SMALL)
    with pytest.raises(InputError, match="not those that were released"):
        verify_release(request)
    forged = json.dumps({**manifest, "files": {"other.csv": {}}}).encode()
    (folder / "manifest.json").write_bytes(forged)
    (folder / "manifest.sig").write_text(base64.b64encode(Ed25519PrivateKey.generate().sign(forged)).decode())
    with pytest.raises(InputError, match="not the one on record"):
        verify_release(request)


def test_a_signature_by_another_key_is_refused(database: Any) -> None:
    import base64

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from erios.workflows.airlock_release import release_folder, verify_release

    request = released(voted(asked()))
    folder = release_folder(request)
    mine = Ed25519PrivateKey.generate().sign((folder / "manifest.json").read_bytes())
    (folder / "manifest.sig").write_text(base64.b64encode(mine).decode())
    with pytest.raises(InputError, match="signature"):
        verify_release(request)


def test_what_left_before_is_compared_with_in_every_study_of_the_team(database: Any) -> None:
    """ada's other study, and one of a stranger's."""
    from erios.studies.airlock_selectors import earlier_releases

    first = released(voted(asked()))
    released(voted(asked()))
    other = request_of(at(StudyState.ACTIVE).study)
    names = [one.name for one in earlier_releases(other)]
    assert f"{first.number}/table.csv" in names
    assert len(names) == 2
    assert all(one.content == TABLE for one in earlier_releases(other))


def test_an_earlier_release_that_is_not_as_it_left_stops_the_checks(database: Any) -> None:
    from erios.studies.airlock_actions import find_file
    from erios.studies.airlock_store import path_of

    first = released(voted(asked()))
    other = request_of(first.study)
    path_of(first.study.number, find_file(first, "table.csv").digest, "table.csv").unlink()
    with pytest.raises(StorageError, match="not stored as it left"):
        add(other, "second.csv", TABLE + b"\n")


def test_approved_files_that_the_checks_hold_by_now_go_back(database: Any, monkeypatch: Any) -> None:
    """Two requests, each safe alone: once one is released, the other gives away a difference."""
    from dataclasses import replace

    from erios.airlock.check import check_file
    from erios.airlock.findings import Finding
    from erios.workflows import airlock_release

    request = voted(asked())

    def hold(path: Any, context: Any) -> Any:
        report = check_file(path, context)
        return replace(report, findings=(Finding("small-cell", place="cell", values=_PLACE),))

    monkeypatch.setattr(airlock_release, "check_file", hold)
    with pytest.raises(RuleBroken, match="hold"):
        released(request)
    assert fresh(request).state == State.RETURNED
    assert fresh(request).points.get().file.name == "table.csv"


_PLACE = {"row": 2, "column": 2, "threshold": 11}


def test_what_is_for_the_public_is_the_dpos_to_release_and_then_on_the_register(database: Any) -> None:
    from erios.workflows.airlock_release import release_request

    request = voted(asked(destination=Destination.PUBLIC))
    here = f"/registre/{request.study.number}/"
    with pytest.raises(RuleBroken, match="data protection officer"):
        release_request(request, who("chk1"))
    assert client(None).get(f"{here}sorties/{request.number}/table.csv", secure=True).status_code == 404
    released(request)
    assert "table.csv" in client(None).get(here, secure=True).content.decode()
    answer = client(None).get(f"{here}sorties/{request.number}/table.csv", secure=True)
    assert (answer.content, answer.headers["X-Content-Type-Options"]) == (TABLE, "nosniff")
    (study,) = json.loads(client(None).get("/registre.json", secure=True).content)["studies"]
    assert [output["name"] for output in study["outputs"]] == ["table.csv"]
    client("dpo").post(f"/sorties/{request.number}/action/retract/", {"reason": "faux"}, secure=True)
    assert "table.csv" not in client(None).get(here, secure=True).content.decode()
    assert client(None).get(f"{here}sorties/{request.number}/table.csv", secure=True).status_code == 404


def test_the_public_page_counts_what_left_and_hides_few(database: Any) -> None:
    from erios.studies.airlock_figures import airlock_figures

    released(voted(asked()))
    voted(asked(), Verdict.REFUSE, Verdict.APPROVE)
    figures = airlock_figures()
    assert {str(count) for row in figures.values() for _word, count in row} == {"fewer than 11"}
    assert "moins de 11" in client(None).get("/", secure=True).content.decode()


def test_supporting_files_are_read_and_never_leave(database: Any) -> None:
    from erios.studies.airlock_actions import submit_request
    from erios.workflows.airlock_release import verify_release

    request = request_of(at(StudyState.ACTIVE).study)
    add(request)
    add(request, "behind.csv", SMALL, kind=Kind.SUPPORTING, behind="table.csv")
    submit_request(request=request, by=who("ada"))
    with pytest.raises(InputError, match="does not leave"):
        vote(request, "chk1", name="behind.csv")
    page = client("chk1").get(f"/sorties/{request.number}/fichiers/behind.csv/", secure=True).content.decode()
    assert "<td>120</td>" in page
    request = released(voted(request))
    assert list(verify_release(request)["files"]) == ["table.csv"]
    here = f"/sorties/{request.number}/fichiers/behind.csv/"
    assert "<td>120</td>" not in client("ada").get(here, secure=True).content.decode()


def test_spoiled_requests_stay_as_they_are(database: Any) -> None:
    request = asked()
    spoil(request)
    for login in ("ada", "chk1", "dpo"):
        for call in _calls().values():
            with pytest.raises((RuleBroken, InputError)):
                call(fresh(request), who(login))


def test_a_file_of_the_shared_folder_is_asked_out_without_leaving_the_walls(database: Any) -> None:
    """By its author alone, and by no name that leads elsewhere; their browser gets none of its bytes."""
    request = request_of(at(StudyState.ACTIVE).study)
    folder = database.studies / request.study.number / "shared" / "files"
    (folder / "tables").mkdir(parents=True)
    (folder / "tables" / "t1.csv").write_bytes(TABLE)
    (folder / "key.csv").symlink_to(database.keyring)
    page = f"/sorties/{request.number}/"

    def ask(login: str, name: str) -> Any:
        said = {"shared": name, "kind": "output", "context": "c", "controls": "d"}
        return client(login).post(f"{page}deposer/", said, secure=True)

    assert "<option>tables/t1.csv</option>" in client("ada").get(page, secure=True).content.decode()
    assert "key.csv" not in client("ada").get(page, secure=True).content.decode()
    for name in ("key.csv", "../../../identity/keyring.json", str(database.keyring), "tables"):
        ask("ada", name)
    ask("chk1", "tables/t1.csv")
    assert not request.files.exists()
    ask("bob", "tables/t1.csv")
    assert not request.files.exists()
    ask("ada", "tables/t1.csv")
    assert [(file.name, file.held) for file in request.files.all()] == [("t1.csv", False)]
    assert b"120" not in client("ada").get(f"{page}fichiers/t1.csv/", secure=True).content
