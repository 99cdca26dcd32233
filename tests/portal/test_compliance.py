"""The compliance page: each check answers, and each can fail; the file names only checks that exist."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from erios.checkout import PROJECT
from erios.compliance import CHECKS, accounts, run_check
from erios.errors import UsageError
from erios.governance.compliance import Status, read_frameworks
from erios.governance.extract import State as ExtractState
from erios.governance.study import State
from erios.settings import Settings, load_settings
from tests.portal.airlock_stories import SMALL, asked, released, voted
from tests.portal.conftest import seal_everything
from tests.portal.stories import at, who
from tests.portal.test_pages import client

FILE = PROJECT / "conf" / "compliance.toml"
DAY = timedelta(days=1)


def changed(settings: Settings, section: str = "", **values: Any) -> Settings:
    """Settings with other values, in a section if one is named."""
    if section:
        values = {section: getattr(settings, section).model_copy(update=values)}
    return settings.model_copy(update=values)


def extract_at(state: ExtractState, *, data: Mapping[str, Any] | None = None, **values: Any) -> Any:
    """An extract that says of itself that it is at a state; ``data``: its tables, if others than the study's."""
    from erios.extracts.specification import from_proposal
    from erios.studies.models import Extract, ExtractVersion

    proposal = at(State.ACTIVE)
    content = {**from_proposal(proposal.content), **({"tables": data} if data else {})}
    known = {"number": f"{proposal.study.number}-X01", "root": "0" * 64, "expires": datetime.now(UTC).date() + DAY}
    extract = Extract.objects.create(study=proposal.study, proposal=proposal, state=state, **{**known, **values})
    ExtractVersion.objects.create(extract=extract, number=1, content=content, by=who("ada"))
    seal_everything()
    return extract


def broken_chain(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (settings.identity / "audit-head.sealed").unlink()
    return settings


def lonely_reidentification(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    from erios.audit import append
    from erios.reidentification import APPROVE, REQUEST

    for action in (REQUEST, APPROVE):
        append(settings, action, reason="r", details={"request": "1"}, actor="ada")
    return settings


def open_zone(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    settings.identity.chmod(0o755)
    return settings


def open_keyring(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    settings.keyring.chmod(0o644)
    return settings


def open_secret(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    secret = settings.home / "smtp"
    secret.write_text("x")
    secret.chmod(0o644)
    mail = settings.portal.mail.model_copy(update={"password_file": secret})
    return changed(settings, "portal", mail=mail)


def telemetry(settings: Settings, patch: pytest.MonkeyPatch) -> Settings:
    patch.delenv("MLFLOW_DISABLE_TELEMETRY")
    return settings


def no_bubblewrap(settings: Settings, patch: pytest.MonkeyPatch) -> Settings:
    patch.setenv("PATH", "/nowhere")
    return settings


def silent_broker(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    return changed(settings, broker=settings.home / "broker")


def any_host(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    return changed(settings, "portal", hosts=["*"])


def old_backup(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    stamp = settings.home / "backup.done"
    stamp.touch()
    before = (datetime.now(UTC) - 9 * DAY).timestamp()
    os.utime(stamp, (before, before))
    return changed(settings, "compliance", backup_stamp=stamp)


def one_factor(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    return changed(settings, "portal", second_factor=False)


def two_roles(settings: Settings, patch: pytest.MonkeyPatch) -> Settings:
    from erios.accounts.models import User
    from erios.governance.roles import Role

    both = frozenset({Role.DPO, Role.COMMITTEE})
    patch.setattr(User, "roles", property(lambda _user: both))  # the database itself would refuse the row
    return settings


def old_review(settings: Settings, patch: pytest.MonkeyPatch) -> Settings:
    from erios.accounts.actions import review_access

    review_access(by=who("admin"))
    patch.setattr(accounts, "days_since", lambda _instant: 366)
    return settings


def sleeper(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    from erios.accounts.models import User

    User.objects.filter(username="bob").update(last_login=datetime.now(UTC) - 200 * DAY)
    return settings


def endless_study(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    proposal = at(State.ACTIVE)
    proposal.content = {**proposal.content, "retention_years": 30}
    proposal.save()
    seal_everything()
    return settings


def undecided_study(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    at(State.ACTIVE).parts.filter(kind="visa").delete()
    seal_everything()
    return settings


def vote_against(_settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    at(State.ACTIVE).parts.filter(kind="vote").update(opinion="unfavourable")
    return _settings


def forbidden_purpose(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    proposal = at(State.ACTIVE)
    proposal.content = {**proposal.content, "purposes": {"promotion": {"declared": True}}}
    proposal.save()
    seal_everything()
    return settings


def wide_extract(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    extract_at(ExtractState.BUILT, data={"patient": {"gender": {"why": "curiosity"}}})
    return settings


def left_files(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    gone = extract_at(ExtractState.DESTROYED)
    (settings.warehouse / "extracts" / gone.number).mkdir(parents=True)
    return settings


def page_of_nobody(settings: Settings, patch: pytest.MonkeyPatch) -> Settings:
    from erios.portal.views import compliance

    patch.delattr(compliance.compliance, "audience")
    return settings


def past_the_directory(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    directory = settings.portal.directory.model_copy(update={"issuer": "https://directory.example"})
    return changed(settings, "portal", second_factor=False, directory=directory)  # and "admin" has a password


def small_count(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    from erios.studies.models import LedgerAnswer, LedgerReading

    study = at(State.ACTIVE).study
    answer = LedgerAnswer.objects.create(release="r000001", digest="0" * 64, canonical="{}", value=10, fresh=True)
    LedgerReading.objects.create(answer=answer, study=study, person=who("ada"), draft=False)
    seal_everything()
    return settings


def bare_column(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    proposal = at(State.ACTIVE)
    proposal.content = {**proposal.content, "data": [{"table": "patient", "columns": [{"name": "gender", "why": " "}]}]}
    proposal.save()
    seal_everything()
    return settings


def late_extract(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    extract_at(ExtractState.RELEASED, expires=datetime.now(UTC).date() - DAY)
    return settings


def extract_without_files(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    extract_at(ExtractState.RELEASED)
    return settings


def forgotten_extract(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    extract_at(ExtractState.EXPIRED, since=datetime.now(UTC) - 31 * DAY)
    return settings


def _views_without(tag: str, settings: Settings) -> Settings:
    folder = settings.home / "views"
    folder.mkdir()
    text = (settings.views_dir / "patient.json").read_text("utf-8")
    (folder / "patient.json").write_text(text.replace(tag, "erios/forgotten"), "utf-8")
    return changed(settings, views_dir=folder)


def ruleless_column(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    return _views_without("erios/privacy", settings)


def nameless_column(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    return _views_without("erios/title", settings)


def release(settings: Settings, **values: Any) -> None:
    """Write a release's file as a load would have."""
    from etl.warehouse.release import Release, write_release

    known = {"id": "r000001", "created": "2031-01-01", "batch": "b", "tables": {}, "warehouse": settings.warehouse}
    write_release(Release(**{**known, **values}))


def failed_release(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    release(settings, validation={"expectations": 9, "failed": {"block": 1}})
    return settings


def unbalanced_release(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    release(settings, totals={"in": 10, "written": 9})
    return settings


def release_without_accounts(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    release(settings)
    return settings


def unheard_objection(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    from erios.keys import list_keys
    from erios.objections import Objection, add

    release(settings, key_id=list_keys(settings.keyring)[0].key_id)
    add(settings, [Objection("Patient/1", "2031-01-01", "")])
    return settings


def low_threshold(settings: Settings, patch: pytest.MonkeyPatch) -> Settings:
    folder = settings.home / "conf"
    folder.mkdir()
    (folder / "disclosure.toml").write_text("threshold = 3\n")
    patch.setattr("erios.extracts.counts.PROJECT", settings.home)
    return settings


def same(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    return settings


def silent_study(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    proposal = at(State.ACTIVE)
    proposal.content = {**proposal.content, "summary": ""}
    proposal.save()
    seal_everything()
    return settings


def altered_release(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    from erios.workflows.airlock_release import release_folder

    request = released(voted(asked()))
    (release_folder(request) / "table.csv").write_bytes(SMALL)
    return settings


def checker_who_joined(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    from erios.studies.models import Part, PartKind

    request = released(voted(asked()))
    Part.objects.create(proposal=request.study.proposals.get(), person=who("chk2"), kind=PartKind.TEAM)
    seal_everything()
    return settings


def lonely_checker(settings: Settings, _patch: pytest.MonkeyPatch) -> Settings:
    checker = who("chk2")
    checker.is_active = False
    checker.save()
    seal_everything()
    return settings


BREAKS: dict[str, tuple[Callable[[Settings, pytest.MonkeyPatch], Settings], ...]] = {
    "audit_chain_verifies": (broken_chain,),
    "reidentifications_by_two": (lonely_reidentification,),
    "zones_are_apart": (open_zone,),
    "keyring_is_private": (open_keyring,),
    "secrets_are_private": (open_secret,),
    "nothing_calls_out": (telemetry,),
    "programs_are_walled": (no_bubblewrap, silent_broker),
    "pages_are_secured": (any_host,),
    "backup_is_recent": (old_backup,),
    "second_factor_is_asked": (one_factor, past_the_directory),
    "roles_are_apart": (two_roles,),
    "pages_say_whom_they_are_for": (page_of_nobody,),
    "access_is_reviewed": (old_review,),
    "accounts_are_used": (sleeper,),
    "studies_have_an_end": (endless_study,),
    "studies_were_decided_by_three": (undecided_study, vote_against),
    "purposes_are_permitted": (forbidden_purpose,),
    "columns_are_justified": (bare_column,),
    "extracts_stay_within_approval": (wide_extract,),
    "extracts_expire": (late_extract,),
    "extracts_are_as_cleared": (extract_without_files,),
    "dead_extracts_are_destroyed": (forgotten_extract, left_files),
    "releases_are_checked_by_two": (altered_release, checker_who_joined, lonely_checker),
    "columns_have_rules": (ruleless_column,),
    "columns_are_described": (nameless_column,),
    "release_is_validated": (failed_release,),
    "loads_balance": (unbalanced_release, release_without_accounts),
    "objections_are_followed": (unheard_objection,),
    "counts_are_masked": (low_threshold, small_count),
    "public_can_write": (same,),  # as the settings come, nobody has set the address
    "register_is_public": (silent_study,),
}
"""Check → states in each of which it must find that the requirement is not met."""


def test_each_check_has_a_state_in_which_it_fails_and_is_named_in_the_file() -> None:
    named = {one.check for framework in read_frameworks(FILE, tuple(CHECKS)) for one in framework.requirements}
    assert set(BREAKS) == set(CHECKS) == named - {""}


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("name", "damage"), [(name, one) for name in sorted(BREAKS) for one in BREAKS[name]])
def test_a_check_finds_what_is_broken(
    name: str,
    damage: Callable[[Settings, pytest.MonkeyPatch], Settings],
    database: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = run_check(name, damage(database, monkeypatch))
    assert found.status is Status.NOT_MET
    assert str(found)
    if name == "pages_are_secured":
        with override_settings(SESSION_COOKIE_SECURE=False):
            assert "cookies" in str(run_check(name, database))


def test_a_system_in_order_meets_each_check(database: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from erios.accounts.actions import review_access

    at(State.ACTIVE)
    review_access(by=who("admin"))
    totals = {"in": 10, "written": 9, "quarantined": 1}
    release(database, totals=totals, validation={"expectations": 9, "failed": {"block": 0, "warn": 1}})
    stamp = database.home / "backup.done"
    stamp.touch()
    settings = changed(changed(database, "compliance", backup_stamp=stamp), "portal", contact="dpo@chu-fictif.fr")
    found = {name: run_check(name, settings) for name in CHECKS}
    assert {name: str(one) for name, one in found.items() if one.status is Status.NOT_MET} == {}
    idle = {name for name, one in found.items() if one.status is Status.NOT_APPLICABLE}
    assert idle == {
        "reidentifications_by_two",
        *("extracts_stay_within_approval", "extracts_expire", "extracts_are_as_cleared", "dead_extracts_are_destroyed"),
    }


def test_a_requirement_of_an_unknown_check_or_theme_is_told(tmp_path: Path) -> None:
    text = FILE.read_text("utf-8")
    for old, new in (('check = "audit_chain_verifies"', 'check = "audit_chain"'), ('theme = "data"', 'theme = "x"')):
        wrong = tmp_path / "compliance.toml"
        wrong.write_text(text.replace(old, new), "utf-8")
        with pytest.raises(UsageError, match=r"unknown (check|theme)"):
            read_frameworks(wrong, tuple(CHECKS))


@pytest.mark.parametrize(("login", "language", "words"), [
    ("dpo", "fr", ("Référentiel de la CNIL", "SEC-JOU-1", "Chaîne vérifiée", "organisation")),
    ("chief", "en", ("The CNIL&#x27;s referential", "SATRE 1.0", "Chain verified", "organisational")),
])  # fmt: skip
def test_the_page_shows_each_requirement_with_its_evidence(
    login: str, language: str, words: tuple[str, ...], database: Settings
) -> None:
    asked = [one for framework in read_frameworks(FILE, tuple(CHECKS)) for one in framework.requirements]
    browser = client(login)
    page = browser.get("/conformite/", secure=True, headers={"accept-language": language}).content.decode()
    assert page.count('class="state proof-') == len(asked)
    assert [word for word in words if word not in page] == []


def test_taking_the_access_review_is_what_dates_it(database: Settings) -> None:
    assert run_check("access_is_reviewed", load_settings()).status is Status.NOT_MET
    assert client("admin").get("/comptes/revue.csv", secure=True).status_code == 200
    assert run_check("access_is_reviewed", load_settings()).status is Status.MET
