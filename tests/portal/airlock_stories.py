"""How a request comes to a state in the airlock, through the actions that people take."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from erios.audit import read_events
from erios.governance.airlock import Action, Destination, State, Verdict
from erios.governance.study import State as StudyState
from tests.portal.stories import at, who

TABLE = b"sexe,patients\nfemmes,120\nhommes,140\n"
SMALL = b"sexe,patients\nfemmes,120\nhommes,3\n"
SAID: dict[str, Any] = {"context": "Patients par sexe.", "controls": "Effectifs d'au moins 11."}
CHECKERS = ("chk1", "chk2")


def request_of(study: Any, destination: Destination = Destination.TEAM, login: str = "ada") -> Any:
    from erios.studies.airlock_actions import start_request

    return start_request(study=study, by=who(login), destination=destination)


def add(request: Any, name: str = "table.csv", content: bytes = TABLE, **said: Any) -> Any:
    from erios.studies.airlock_actions import add_file

    return add_file(request=request, by=request.author, name=name, content=content, **{**SAID, **said})


def vote(request: Any, login: str, verdict: Verdict = Verdict.APPROVE, name: str = "table.csv", **said: Any) -> Any:
    from erios.studies.airlock_actions import find_file
    from erios.studies.airlock_actions import vote as cast

    if verdict is not Verdict.APPROVE:
        said = {"ground": "ground-small", "reason": "trois patients dans une case", **said}
    digest = said.pop("digest", "") or find_file(request, name).digest
    return cast(request=fresh(request), by=who(login), file=name, digest=digest, verdict=verdict, **said)


def fresh(request: Any) -> Any:
    from erios.studies.airlock_models import AirlockRequest

    return AirlockRequest.objects.get(pk=request.pk)


def asked(*names: str, destination: Destination = Destination.TEAM, study: Any = None) -> Any:
    """A submitted request of ada's with a table (or one of each name), bob on its team."""
    from erios.studies.airlock_actions import submit_request

    request = request_of(study or at(StudyState.ACTIVE).study, destination)
    for number, name in enumerate(names or ("table.csv",)):
        add(request, name, TABLE + f"total,{260 + 40 * number}\n".encode() if number else TABLE)
    return submit_request(request=request, by=who("ada"))


def voted(request: Any, *verdicts: Verdict, name: str = "table.csv") -> Any:
    """The request after a vote of each checker."""
    for login, verdict in zip(CHECKERS, verdicts or (Verdict.APPROVE,) * 2, strict=True):
        vote(request, login, verdict, name)
    return fresh(request)


def released(request: Any) -> Any:
    from erios.workflows.airlock_release import release_request

    by = "dpo" if request.destination == Destination.PUBLIC else "chk1"
    return release_request(fresh(request), who(by))


def in_state(state: State, study: Any = None) -> Any:
    """A request of ada's, with a table and a held one that an exception is asked for where it is open."""
    from django.utils import timezone

    from erios.studies import airlock_actions as acts

    if state in (State.DRAFT, State.RETURNED):
        request = asked(study=study) if state is State.RETURNED else request_of(study or at(StudyState.ACTIVE).study)
        if state is State.RETURNED:
            acts.return_request(request=request, by=who("chk1"), points=["Qui est compté ?"])
        request = fresh(request)
        add(request)
        add(request, "held.csv", SMALL)
        acts.ask_exception(request=request, by=who("ada"), file="held.csv", reason="ce sont des années")
        return fresh(request)
    request = asked(study=study)
    if state is State.APPROVED:
        voted(request)
    elif state is State.RELEASED:
        released(voted(request))
    elif state is State.REJECTED:
        voted(request, Verdict.REFUSE, Verdict.APPROVE)
    elif state is State.WITHDRAWN:
        acts.close_request(request=request, by=who("ada"), action=Action.WITHDRAW)
    elif state is State.RETRACTED:
        acts.close_request(request=released(voted(request)), by=who("dpo"), action=Action.RETRACT, reason="faux")
    elif state is State.EXPIRED:
        acts.expire_requests(now=timezone.now() + timedelta(days=31))
    elif state is State.VOIDED:
        spoil(request)
    assert fresh(request).state == state
    return fresh(request)


def spoil(request: Any, name: str = "table.csv") -> None:
    """A byte of a stored file changes, and somebody looks."""
    from erios.governance.words import RuleBroken
    from erios.studies.airlock_actions import check_bytes, find_file
    from erios.studies.airlock_store import path_of

    path = path_of(request.study.number, find_file(request, name).digest, name)
    path.write_bytes(path.read_bytes().replace(b"120", b"121"))
    try:
        check_bytes(fresh(request))
    except RuleBroken:
        return
    raise AssertionError("a changed byte was not seen")


def calls() -> dict[Action, Any]:
    """Each action that a person takes, as a function of request and person."""
    from erios.studies import airlock_actions as acts
    from erios.workflows.airlock_release import release_request

    def digest(r: Any, name: str) -> str:
        return next((file.digest for file in r.files.filter(name=name, round=r.round)), "")

    return {
        Action.EDIT: lambda r, by: acts.add_file(request=r, by=by, name="new.csv", content=TABLE, **SAID),
        Action.ASK_EXCEPTION: lambda r, by: acts.ask_exception(request=r, by=by, file="held.csv", reason="r"),
        Action.GRANT_EXCEPTION: lambda r, by: acts.grant_exception(
            request=r, by=by, file="held.csv", digest=digest(r, "held.csv"), reason="r"
        ),
        Action.SUBMIT: lambda r, by: acts.submit_request(request=r, by=by),
        Action.VOTE: lambda r, by: acts.vote(
            request=r, by=by, file="table.csv", digest=digest(r, "table.csv"), verdict=Verdict.APPROVE
        ),
        Action.RETURN: lambda r, by: acts.return_request(request=r, by=by, points=["a point"]),
        Action.ANSWER: lambda r, by: acts.answer_airlock_point(point=_point(r), by=by, answer="because"),
        Action.RELEASE: release_request,
        Action.WITHDRAW: lambda r, by: acts.close_request(request=r, by=by, action=Action.WITHDRAW),
        Action.RETRACT: lambda r, by: acts.close_request(request=r, by=by, action=Action.RETRACT, reason="r"),
    }


def _point(request: Any) -> Any:
    from erios.studies.airlock_models import AirlockPoint

    return request.points.first() or AirlockPoint(request=request, round=1, text="x")


def did(settings: Any) -> list[str]:
    """The events of the airlock."""
    return [event.action for event in read_events(settings) if event.action.startswith("airlock.")]


def approved(publication: Any) -> Any:
    """A results text whose request both checkers have approved; where the checks hold it, by the DPO's exception."""
    from erios.studies import airlock_actions as acts
    from erios.studies.models import Publication

    request, file = publication.request, publication.request.files.get()
    if request.state == State.DRAFT:
        acts.ask_exception(request=request, by=request.author, file=file.name, reason="un texte de test")
        acts.grant_exception(request=request, by=who("dpo2"), file=file.name, digest=file.digest, reason="soit")
        acts.submit_request(request=request, by=request.author)
    voted(fresh(request), name=file.name)
    return Publication.objects.get(pk=publication.pk)
