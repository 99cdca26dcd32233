"""Plain SQL against the governance database: whatever a row says that no event of the chain told, is found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, transaction

from erios.accounts.actions import make_account
from erios.accounts.audit_events import record
from erios.accounts.sealed_rows import DERIVED, EMPTY, SEALED, sealed_fields, verify_rows
from erios.audit import Draft
from erios.errors import StorageError
from erios.governance.airlock import State as AirlockState
from erios.governance.roles import Role
from erios.governance.run import Evidence
from erios.governance.run import State as RunState
from erios.governance.study import State
from erios.settings import Settings, load_settings
from erios.studies import actions, run_actions, workspace_actions
from erios.studies.airlock_actions import comment_on_request
from erios.studies.models import LedgerAnswer, LedgerGroup, LedgerPatients, LedgerReading, Study
from erios.studies.publication_actions import propose_results
from erios.workflows.record import verify_record
from tests.portal.airlock_stories import asked, in_state, released, vote, voted
from tests.portal.conftest import Template, close_database, point_to
from tests.portal.sql_attacks import ATTACKS
from tests.portal.stories import at, who
from tests.portal.test_extracts import study
from tests.portal.test_record import EVIDENCE, _cleared, _released

EXEMPT = {
    "auth.Permission": "written by Django's migrations; roles give rights, permissions give none",
    "contenttypes.ContentType": "written by Django's migrations; names the program's own models",
    "sessions.Session": "signed by the portal's key; who is logged in has the rights of a sealed account only",
    "django_tasks_database.DBTaskResult": "work to do: an action refuses what its sealed record does not allow",
}
"""Tables without a seal → why."""


@pytest.fixture(scope="module")
def lived(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A hospital with everything that a right rests on: reviewed studies, counts, a released extract, a used model."""
    home = tmp_path_factory.mktemp("attacked") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ERIOS_HOME", str(home))
        patch.setenv("ERIOS_DATABASE", template.copy(home, f"attacked_{home.parent.name}".replace("-", "_")))
        settings = load_settings()
        point_to(settings)
        _live()
        close_database()
    return settings


@pytest.fixture
def attacked(lived: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The database of ``lived``; each attack on it is undone."""
    monkeypatch.setenv("ERIOS_HOME", str(lived.home))
    monkeypatch.setenv("ERIOS_DATABASE", lived.database)
    point_to(lived)
    yield lived
    close_database()


def _live() -> None:
    make_account(by=who("admin"), login="dora", name="", email="", title="", roles=[Role.DATA_MANAGER])
    proposal = at(State.CONDITIONAL)
    actions.meet_condition(condition=proposal.conditions.get(), by=who("dpo"))
    actions.comment(study=proposal.study, by=who("com1"), text="a word")
    returned = at(State.RETURNED)
    actions.answer_point(point=returned.points.get(), by=who("ada"), answer="so")
    suspended = at(State.SUSPENDED)
    actions.agree_to_resume(proposal=suspended, by=who("dpo"), reason="r")
    _count(proposal.study)
    extract = _released(_cleared(study()))
    known: dict[str, Any] = {"bundle": "b", "digest": "0" * 64, "cluster": "local", "order": {}}
    run = run_actions.start_run(extract=extract, by=who("bob"), **known)
    run = run_actions.end_run(run=run, state=RunState.DONE, reason="", weights="1" * 64)
    evidence = Evidence(RunState.DONE, "bob", **dict.fromkeys(EVIDENCE, True))
    run_actions.promote_run(run=run, by=who("dan"), evidence=evidence)
    run_actions.start_run(extract=extract, by=who("bob"), **known)
    workspace_actions.ask_workspace(extract=extract, by=who("bob"), label="0" * 32, token="1" * 64, most=1)
    _let_out(extract.study)


def _let_out(study: Study) -> None:
    """Requests that were returned, released, are under review with a vote, and a results text's."""
    returned = in_state(AirlockState.RETURNED, study)
    comment_on_request(request=returned, by=who("chk1"), text="a word")
    released(voted(asked(study=study)))
    vote(asked(study=study), "chk1")
    propose_results(study=study, by=study.proposer, text="Un patient sur cinq revient.")


def _count(study: Study) -> None:
    """A count of a group, shown to ada, as ``ask_count`` keeps it."""
    with transaction.atomic():
        patients = LedgerPatients.objects.create(digests=b"12345678")
        record([Draft("ledger.enrol")], by=None, rows=[patients])
        group = LedgerGroup.objects.create(bits=b"1")
        told: dict[str, Any] = {"release": "r000001", "digest": "0" * 64, "canonical": "[]", "value": 40, "fresh": True}
        answer = LedgerAnswer.objects.create(group=group, **told)
        reading = LedgerReading.objects.create(answer=answer, person=who("ada"), study=study, draft=False)
        record([Draft("study.count", study.number)], by=who("ada"), rows=[group, answer, reading])


OTHER_TABLES = {
    "user": "accounts_user",
    "heldrole": "accounts_heldrole",
    "roleexclusion": "accounts_roleexclusion",
    "authenticator": "mfa_authenticator",
    "emailaddress": "account_emailaddress",
    "socialaccount": "socialaccount_socialaccount",
    "socialapp": "socialaccount_socialapp",
    "group": "auth_group",
}


def attack(sql: str) -> None:
    true, no_bytes = ("true", "'\\x'::bytea") if connection.vendor == "postgresql" else ("1", "x''")
    with connection.cursor() as cursor:
        cursor.execute(sql.replace("{true}", true).replace("NULL_BYTES", no_bytes))
        assert cursor.rowcount > 0, "the attack changes nothing"


@pytest.mark.parametrize("what", ATTACKS)
def test_a_change_with_plain_sql_is_found_with_its_table_row_and_field(what: str, attacked: Settings) -> None:
    sql, table, field = ATTACKS[what]
    place = OTHER_TABLES.get(table, f"studies_{table}")
    with transaction.atomic():
        attack(sql)
        found = verify_rows()
        transaction.set_rollback(True)
    assert (place, field) in {(fault.table, fault.field) for fault in found}
    assert {fault.table for fault in found} == {place}
    assert all(fault.row in fault.sentence and fault.table in fault.sentence for fault in found)


def test_every_table_is_sealed_or_says_why_not() -> None:
    declared = [*SEALED, *EMPTY, *DERIVED, *EXEMPT]
    assert sorted(declared) == sorted(model._meta.label for model in apps.get_models(include_auto_created=True))
    assert all(DERIVED.values())
    assert all(EXEMPT.values())


@pytest.mark.parametrize("label", SEALED)
def test_every_field_of_a_sealed_table_is_sealed_or_says_why_not(label: str) -> None:
    fields = apps.get_model(label)._meta.concrete_fields
    exempt = SEALED[label].exempt
    assert set(exempt) <= {field.name for field in fields}
    assert all(exempt.values())
    assert set(sealed_fields(label)) == {field.column for field in fields if field.name not in exempt}


def test_a_whole_record_has_no_fault(attacked: Settings) -> None:
    assert verify_record(attacked).faults == ()


def test_the_command_names_table_row_and_field(database: Settings) -> None:
    from typer.testing import CliRunner

    from erios.cli import app

    proposal = at(State.ACTIVE)
    row = proposal.parts.filter(kind="vote").order_by("pk")[0].pk
    attack(f"UPDATE studies_part SET opinion = 'unfavourable' WHERE id = {row}")
    done = CliRunner().invoke(app, ["audit", "verify", "--json"])
    assert isinstance(done.exception, StorageError)
    assert f"table studies_part, row {row}, field opinion was changed" in str(done.exception)
    assert [(one["table"], one["row"], one["field"]) for one in json.loads(done.stdout)["rows"]] == [
        ("studies_part", str(row), "opinion")
    ]


@pytest.mark.parametrize(
    "forged", ["root = 'f', public_key = 'mine'", "expires = '2099-12-31'", "report = '{}'", "state = 'cleared'"]
)
def test_an_extract_whose_row_was_forged_does_not_open(forged: str, attacked: Settings) -> None:
    from erios.studies.models import Extract
    from erios.workflows.extract import open_extract

    number = Extract.objects.get(state="released").number
    with transaction.atomic():
        attack(f"UPDATE studies_extract SET {forged}")
        with pytest.raises(StorageError, match=r"table studies_extract, row \d+, field \w+ was changed"):
            open_extract(number, "bob")
        transaction.set_rollback(True)
