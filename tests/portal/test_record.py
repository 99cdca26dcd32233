"""Nothing happens unseen: every action that changes something leaves its event, and every reading of patients' tables.

The actions are found by looking into the packages, so that a new one without an event, or that no story here takes,
fails.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

import erios
from erios.audit import Event, last_event, read_events
from erios.governance.airlock import Action as AirlockAction
from erios.governance.airlock import State as AirlockState
from erios.governance.extract import Action as ExtractAction
from erios.governance.publication import PROPOSE
from erios.governance.publication import Action as PublicationAction
from erios.governance.roles import Role
from erios.governance.run import Evidence
from erios.governance.run import State as RunState
from erios.governance.study import Action as StudyAction
from erios.governance.study import State
from erios.settings import Settings
from erios.studies.models import Extract, Publication, Study
from tests.portal.airlock_stories import approved, fresh, in_state
from tests.portal.conftest import seal_everything
from tests.portal.stories import at, review, who
from tests.portal.test_extracts import SPECIFICATION, UNTIL, home, requested, study  # noqa: F401 - home is a fixture

WITHOUT_EVENT = {
    "end_sessions": "part of what closes an account, which tells",
    "check_release": "changes nothing",
    "find_file": "changes nothing",
    "held_by": "changes nothing",
    "check_bytes": "changes nothing but where a byte has changed: that voids the request, and tells",
    "note_progress": "how far a build is, overwritten every second; its start and its end tell",
}
ROOT = Path(erios.__file__).parent


def action_modules() -> Iterator[Any]:
    """Every module of the roof that holds actions, by its name."""
    for found in pkgutil.walk_packages([str(ROOT)], "erios."):
        if found.name.endswith("actions"):
            yield importlib.import_module(found.name)


def actions_of(module: Any) -> dict[str, Callable[..., Any]]:
    found = inspect.getmembers(module, inspect.isfunction)
    return {name: one for name, one in found if one.__module__ == module.__name__ and not name.startswith("_")}


@pytest.fixture
def taken(home: Settings, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:  # noqa: F811
    """Action → how many events each of its calls left."""
    left: dict[str, list[int]] = {}

    def watched(name: str, action: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(action)
        def call(*given: Any, **named: Any) -> Any:
            before = _events(home)
            answer = action(*given, **named)
            left.setdefault(name, []).append(_events(home) - before)
            return answer

        return call

    for module in action_modules():
        for name, action in actions_of(module).items():
            monkeypatch.setattr(module, name, watched(name, action))
    return left


def _events(settings: Settings) -> int:
    last: Event | None = last_event(settings, "")
    return last.number if last else 0


def test_every_action_leaves_its_event(home: Settings, taken: dict[str, list[int]]) -> None:  # noqa: F811
    _accounts()
    _studies()
    _extracts()
    _runs()
    _workspaces()
    _airlock()
    known = {name for module in action_modules() for name in actions_of(module)}
    assert sorted(known - set(taken)) == []
    silent = {name for name, left in taken.items() if not all(left)}
    assert silent == set(WITHOUT_EVENT)
    said = {event.action for event in read_events(home)}
    wanted = {f"study.{_slug(action)}" for action in StudyAction}
    wanted |= {f"study.{_slug(action)}" for action in [PROPOSE, *PublicationAction]}
    wanted |= {f"extract.{_slug(action)}" for action in ExtractAction}
    wanted |= {"run.start", "run.stop", "run.resume", f"run.{RunState.DONE}", f"run.{RunState.FAILED}"}
    wanted |= {f"airlock.{_slug(action)}" for action in set(AirlockAction) - {AirlockAction.EDIT}}
    wanted |= {f"airlock.{step}" for step in ("request", "add", "remove", "comment", "download")}
    wanted |= {f"workspace.{step}" for step in ("ask", "enter", "open", "traffic", "close")}
    assert sorted(wanted - said) == []


def _slug(action: str) -> str:
    return action.replace(" ", "-")


def _accounts() -> None:
    from erios.accounts import actions

    admin = who("admin")
    eve = actions.make_account(by=admin, login="eve", name="Eve Test", email="", title="", roles=[Role.CLINICIAN])
    actions.set_roles(by=admin, user=eve, roles=[Role.DATA_SCIENTIST])
    actions.follow_directory(user=eve, roles=[Role.CLINICIAN])
    actions.review_access(by=admin)
    actions.close_account(by=admin, user=eve, reason="left")
    admin.is_active = False
    admin.save()
    seal_everything()
    actions.make_first_administrator(login="root", password="a long enough password")


def _studies() -> None:
    """Every action of the rules, and those beside them."""
    from erios.studies import actions

    ada, dpo, chief = who("ada"), who("dpo"), who("chief")
    active = at(State.ARCHIVED).study
    actions.comment(study=active, by=who("com1"), text="a word")
    _results(active)
    _back_and_again()
    at(State.WITHDRAWN)
    at(State.REJECTED)
    conditional = at(State.CONDITIONAL)
    actions.meet_condition(condition=conditional.conditions.get(), by=dpo)
    actions.move(proposal=conditional, by=dpo, action=StudyAction.ACTIVATE)
    actions.move(proposal=conditional, by=dpo, action=StudyAction.SUSPEND, reason="r")
    actions.agree_to_resume(proposal=conditional, by=dpo, reason="r")
    actions.agree_to_resume(proposal=conditional, by=chief, reason="r")
    actions.ask_count(study=conditional.study, by=ada, criteria={"sex": "female"})
    second = actions.amend(study=conditional.study, by=ada)
    actions.submit(proposal=second, by=ada)
    actions.move(proposal=second, by=who("dan"), action=StudyAction.TRIAGE)
    actions.move(proposal=second, by=who("com1"), action=StudyAction.OPEN_REVIEW)
    review(second)
    actions.decide(proposal=second, by=chief, action=StudyAction.APPROVE, reason="r")
    actions.move(proposal=second, by=dpo, action=StudyAction.ACTIVATE)
    actions.expire_studies(today=date(2099, 1, 1))


def _results(study: Study) -> None:
    """A text that is replaced, one refused, one published, a successor that is withdrawn; then the public one is."""
    from erios.studies.publication_actions import act_on_results, propose_results
    from erios.workflows.airlock_release import publish_results

    ada, dpo = who("ada"), who("dpo")
    propose_results(study=study, by=ada, text="of 3 patients, one died")
    again = propose_results(study=study, by=ada, text="few died")
    act_on_results(publication=again, by=dpo, action=PublicationAction.REFUSE, reason="how many?")
    public = propose_results(study=study, by=ada, text="fewer than one in ten died")
    publish_results(approved(public), dpo)
    later = propose_results(study=study, by=ada, text="fewer than one in ten died in a year")
    act_on_results(publication=later, by=ada, action=PublicationAction.WITHDRAW)
    act_on_results(publication=fresh_text(public), by=dpo, action=PublicationAction.WITHDRAW, reason="an error")


def fresh_text(publication: Publication) -> Publication:
    return Publication.objects.get(pk=publication.pk)


def _airlock() -> None:
    """A request in each state, and what is done to one besides."""
    from erios.studies import airlock_actions as acts

    study, ada = at(State.ACTIVE).study, who("ada")
    for state in AirlockState:
        in_state(state, study)
    returned = in_state(AirlockState.RETURNED, study)
    acts.answer_airlock_point(point=returned.points.get(), by=ada, answer="so")
    acts.comment_on_request(request=returned, by=ada, text="a word")
    held = acts.find_file(returned, "held.csv")
    acts.grant_exception(request=returned, by=who("dpo"), file=held.name, digest=held.digest, reason="r")
    acts.remove_file(request=fresh(returned), by=ada, name="held.csv")
    acts.note_download(request=in_state(AirlockState.RELEASED, study), by=who("bob"))
    signed: dict[str, Any] = {"root": "0" * 64, "manifest": "0" * 64, "key_id": "k1", "files": {"table.csv": "0" * 64}}
    acts.note_release(request=in_state(AirlockState.APPROVED, study), by=who("chk1"), **signed)
    acts.hold_approved(request=in_state(AirlockState.APPROVED, study), findings={"table.csv": ["a small cell"]})


def _back_and_again() -> None:
    from erios.studies import actions

    ada = who("ada")
    proposal = at(State.RETURNED)
    actions.answer_point(point=proposal.points.get(), by=ada, answer="so")
    actions.remove_member(proposal=proposal, by=ada, member=who("bob"))


def _extracts() -> None:
    """Every action on extracts; no file is made, what is kept of files is made up."""
    from erios.studies import extract_actions as acts

    dpo, dan, dora = who("dpo"), who("dan"), who("dora")
    of = study()
    first = requested(of)
    acts.specify(extract=first, by=who("ada"), content=SPECIFICATION)
    acts.apply_proposal(extract=_assessed(of, k=20), by=who("ada"), number=1)
    acts.ask_changes(extract=first, by=dpo, reason="r")
    acts.move_extract(extract=first, by=who("ada"), action=ExtractAction.ABANDON)
    acts.move_extract(extract=requested(of), by=dpo, action=ExtractAction.REFUSE, reason="r")
    released = _released(_cleared(of))
    acts.record_opening(extract=released, login="bob")
    acts.move_extract(extract=released, by=dpo, action=ExtractAction.REVOKE, reason="r")
    acts.destroy(extract=released, by=dan, proof={"files": 3})
    acts.turn_stale(extract=_cleared(of), reason="r")
    acts.quarantine_damaged(extract=_cleared(of), problem="a byte")
    risky = _assessed(of, k=2)
    acts.ask_exception(extract=risky, by=dpo, root="0" * 64, expires=UNTIL, reason="r")
    excepted = acts.grant_exception(extract=risky, by=who("chief"), root="0" * 64, reason="r")
    acts.check_release(extract=excepted, by=dora)
    acts.expire_extracts(today=UNTIL + timedelta(days=1))


SAFE: dict[str, Any] = {
    "trajectory": {"share": 0.05},
    "limit": 0.09,
    "remedies": [{"technique": "codes", "specification": SPECIFICATION}],
}
"""Of a report: no attacker finds many, and there is a proposal."""


def _assessed(of: Any, k: int) -> Extract:
    from erios.studies import extract_actions as acts

    extract, dan, root = requested(of), who("dan"), "0" * 64
    acts.move_extract(extract=extract, by=who("dpo"), action=ExtractAction.APPROVE_SPECIFICATION)
    acts.start_build(extract=extract, by=dan)
    acts.fail_build(extract=extract, by=dan, problem="the disk was full")
    acts.start_build(extract=extract, by=dan)
    acts.note_progress(extract=extract, progress="tables 1/4")
    acts.finish_build(
        extract=extract, by=dan, release="r000001", key_id="k", root=root, public_key="p", patients=99, rows={}
    )
    return acts.assess(extract=extract, report={"risk": {"k": k}, **SAFE}, overlaps=[], linkage={})


def _cleared(of: Any) -> Extract:
    from erios.studies import extract_actions as acts

    return acts.clear(extract=_assessed(of, k=20), by=who("dpo"), root="0" * 64, expires=UNTIL)


def _released(extract: Extract) -> Extract:
    from erios.studies import extract_actions as acts

    return acts.release(extract=extract, by=who("dora"), root="0" * 64)


def _runs() -> None:
    from erios.studies import run_actions as acts

    bob = who("bob")
    extract = _released(_cleared(study()))
    known: dict[str, Any] = {"bundle": "b", "digest": "0" * 64, "cluster": "local", "order": {}}
    run = acts.start_run(extract=extract, by=bob, **known)
    acts.note_job(run=run, job="1")
    acts.note_running(run=run, tracked="t")
    acts.stop_run(run=run, by=bob, reason="r")
    acts.note_closed(run=run, tracked="t")
    acts.resume_run(run=run, by=bob)
    acts.end_run(run=run, state=RunState.FAILED, reason="r")
    done = acts.end_run(run=acts.start_run(extract=extract, by=bob, **known), state=RunState.DONE, reason="")
    whole = Evidence(RunState.DONE, "bob", **dict.fromkeys(EVIDENCE, True))
    acts.promote_run(run=done, by=who("dan"), evidence=whole)


def _workspaces() -> None:
    from erios.studies import workspace_actions as acts

    bob = who("bob")
    extract = _released(_cleared(study()))
    opened = acts.ask_workspace(extract=extract, by=bob, label="0" * 32, token="1" * 64, most=1)
    acts.enter_workspace(label="0" * 32, token="1" * 64)
    acts.begin_workspace(workspace=opened)
    acts.note_traffic(workspace=opened, out=1, refused=0)
    acts.close_workspace(workspace=opened, by=bob, reason="r")


EVIDENCE = ("judged", "baseline", "groups", "energy", "intended_use", "licence", "reproduced", "untouched")
WRITES = {"save", "create", "bulk_create", "get_or_create", "update_or_create", "bulk_update", "delete"}
MODELS = ("erios.accounts.models", "erios.studies.models")


def test_only_actions_write_what_governance_knows() -> None:
    """No page, workflow or command changes a record itself, but for a reader's own notifications being read."""
    faces = [path for name in ("portal", "workflows", "cli", "extracts") for path in (ROOT / name).rglob("*.py")]
    found = [
        (path.relative_to(ROOT).as_posix(), node.func.attr)
        for path in faces
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_write(node)
    ]
    assert found == [("portal/views/studies.py", "update")]


def _is_write(call: ast.Call) -> bool:
    """A call that writes through a model; ``update`` is one where it follows a query."""
    function = call.func
    assert isinstance(function, ast.Attribute)
    follows_query = isinstance(function.value, ast.Call) or "objects" in ast.dump(function.value)
    return function.attr in WRITES or (function.attr == "update" and follows_query)


# --- readings ---

READERS = {
    "workflows/warehouse.py": "the door: a reading of a table is recorded before its files are named",
    "workflows/load.py": "loads and validations, each with its event",
    "workflows/extract_build.py": "builds and assessments, each with its event",
    "workflows/extract_objections.py": "whom an objection touches",
    "compliance/warehouse.py": "reads the release's own file only",
    "workflows/doctor.py": "looks whether the release's files are there, and opens none",
    "workflows/codes.py": "counts the patients of local codes: the list and each adoption have their event",
    "workflows/maintenance.py": "looks whether there is a release whose patients the ledger of counts forgets",
    "workflows/backup.py": "looks whether the release's files are there, and opens none; backup.create is an event",
    "extracts/counts.py": "study.count is appended in the transaction that keeps the answer",
    "cli/warehouse.py": "lists releases: their own files only",
    "portal/views/warehouse.py": "lists releases: their own files only; tables through the door",
}
"""Modules that open releases by themselves, and why their readings are on record all the same."""


def test_only_known_modules_open_releases_past_the_door() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "etl.warehouse.release"
        if {"open_release", "latest"} & {name.name for name in node.names}
    }
    assert found == set(READERS)


@pytest.fixture
def readings(counted: Settings) -> Callable[[], list[tuple[str, str, str]]]:
    """What was read of tables: by whom, which table, which release."""
    return lambda: [
        (event.actor, event.object, event.parsed_details()["release"])
        for event in read_events(counted, actions="warehouse.read")
    ]


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
@pytest.mark.parametrize("way", ["duckdb", "polars", "files"])
def test_a_table_that_is_read_is_on_record_once(way: str, readings: Any) -> None:
    from erios.workflows.warehouse import open_release

    release = open_release(reader="dan")
    assert readings() == []  # to open it and to see what there is reads nothing
    getattr(release, way)("patient")
    getattr(release, way)("patient")
    release.duckdb("encounter")
    assert readings() == [("dan", "patient", "r000001"), ("dan", "encounter", "r000001")]


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
def test_nothing_is_read_when_the_record_takes_no_event(
    counted: Settings, readings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from erios.errors import StorageError
    from erios.workflows.warehouse import open_release

    (counted.identity / "audit-head.sealed").unlink()
    with pytest.raises(StorageError):
        open_release(reader="dan").duckdb("patient")


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
def test_the_command_that_shows_a_table_is_on_record(readings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from erios.cli import app

    monkeypatch.setattr("erios.workflows.warehouse.current_operator", lambda: "dan")
    for command in (["tables"], ["releases"], ["show", "patient"]):
        assert CliRunner().invoke(app, ["warehouse", *command]).exit_code == 0
    assert readings() == [("dan", "patient", "r000001")]


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
def test_the_catalogues_page_is_on_record_for_who_asked(counted: Settings, readings: Any) -> None:
    import shutil

    from tests.portal.test_pages import client

    shutil.rmtree(counted.warehouse / "catalogue", ignore_errors=True)  # a profile that was made before reads nothing
    browser = client("dan")
    assert browser.get("/catalogue/", secure=True).status_code == 200
    assert readings() == []
    assert browser.get("/catalogue/patient/", secure=True).status_code == 200
    assert readings() == [("dan", "patient", "r000001")]


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
def test_a_count_is_on_record_with_its_question_and_not_its_answer(counted: Settings) -> None:
    from erios.extracts.criteria import digest, parse
    from erios.studies.actions import ask_count

    question = {"sex": "female"}
    study = at(State.DRAFT).study
    answer = ask_count(study=study, by=who("ada"), criteria=question)
    (event,) = read_events(counted, actions="study.count")
    assert event.actor == "ada"
    told = event.parsed_details()
    sealed = {row[0] for row in told.pop("rows")}
    assert sealed == {f"studies_ledger{name}" for name in ("answer", "group", "reading")}
    assert told == {
        "digest": digest(parse({"and": [question]})),
        "release": "r000001",
        "cost": answer.cost,
    }


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
def test_a_load_that_validation_refuses_is_on_record(counted: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from erios.workflows import load

    report = SimpleNamespace(
        blocked=True,
        results=(),
        docs_index="",
        to_dict=lambda: {"failed": {"block": 2, "warn": 1}},
        sentences=lambda _severity: [],
    )
    monkeypatch.setattr(load, "validate_files", lambda *_: report)
    assert load.gate(counted)({}, {}, "20310101-batch").blocked
    (event,) = read_events(counted, actions="warehouse.refuse")
    assert (event.object, event.parsed_details()) == ("20310101-batch", {"expectations": 0, "block": 2, "warn": 1})


def test_an_extract_that_turns_stale_names_the_runs_that_have_read_it(home: Settings) -> None:  # noqa: F811
    from erios.studies import extract_actions, run_actions
    from erios.studies.models import Run
    from erios.workflows.stale_extracts import describe_stale

    extract = _released(_cleared(study()))
    known: dict[str, Any] = {"bundle": "b", "digest": "0" * 64, "cluster": "local", "order": {}}
    run = run_actions.start_run(extract=extract, by=who("bob"), **known)
    run_actions.end_run(run=run, state=RunState.DONE, reason="")
    Run.objects.filter(pk=run.pk).update(promoted=timezone.now(), promoted_by=who("dan"))
    seal_everything()

    extract_actions.turn_stale(extract=extract, reason="a patient in it has objected or was erased")

    last = last_event(home, "")
    assert last is not None
    assert json.loads(last.details)["runs"] == [run.number]
    said = describe_stale([extract.number])
    assert f"Trained on them: {run.number}." in said
    assert f"In use by others: {run.number}; the DPO decides" in said
