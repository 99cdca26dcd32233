"""An extract from request to destruction, on a real release; and everything that must stop it on the way."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from erios.audit import read_events, verify
from erios.clock import ZONE
from erios.errors import BusyError, EriosError, InputError, RefusedError
from erios.governance.extract import Action, State
from erios.governance.study import Action as StudyAction
from erios.governance.study import State as StudyState
from erios.governance.words import RuleBroken
from erios.settings import Settings, load_settings
from erios.studies import actions as studies
from erios.studies import extract_actions as acts
from erios.studies import extract_selectors as selectors
from erios.studies.models import Extract, ExtractPart, ExtractPartKind, LedgerAnswer, LedgerReading
from erios.workflows import extract as work
from erios.workflows import extract_build, extract_files, extract_objections, extract_release, stale_extracts
from tests.inline import InlineRunner
from tests.portal.conftest import close_database, point_to, seal_everything
from tests.portal.stories import at, who

SPECIFICATION: dict[str, Any] = {
    "cohort": {"age": {"min": 18, "at": "2026-01-01"}},
    "dates": "shifted",
    "destination": "grappe de calcul du CHU",
    "tables": {
        "patient": {"gender": "facteur", "birth_date": {"why": "âge", "as": "years:10"}},
        "encounter": {"encounter_key": "relier", "class": "type", "period_start": "retour", "period_end": "durée"},
        "condition": {"encounter_key": "relier", "code_icd10": {"why": "motif", "as": "chapter"}},
        "location": {"location_key": "service"},
    },
}
CONTENT = {
    "data": [
        {"table": name, "columns": [{"name": column, "why": "y"} for column in columns]}
        for name, columns in SPECIFICATION["tables"].items()
    ],
    "cohort": SPECIFICATION["cohort"],
}
UNTIL = timezone.localdate() + timedelta(days=30)


@pytest.fixture
def home(loaded: Path, erios_home: Path) -> Iterator[Settings]:
    """A copy of the loaded home."""
    with _living(loaded, erios_home) as settings:
        yield settings


@pytest.fixture(scope="module")
def after_assessment(loaded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The loaded home with an extract assessed."""
    place = tmp_path_factory.mktemp("assessed") / "home"
    with _living(loaded, place):
        assessed()
    return place


@pytest.fixture(scope="module")
def after_release(after_assessment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with this extract released."""
    place = tmp_path_factory.mktemp("released") / "home"
    with _living(after_assessment, place):
        extract = cleared_exceptionally(Extract.objects.get())
        extract_release.release_extract(extract, who("dora"), extract.root)
    return place


@pytest.fixture
def assessed_home(after_assessment: Path, erios_home: Path) -> Iterator[Settings]:
    """A copy of the home whose only extract is assessed."""
    with _living(after_assessment, erios_home) as settings:
        yield settings


@pytest.fixture
def released_home(after_release: Path, erios_home: Path) -> Iterator[Settings]:
    """A copy of the home whose only extract is released."""
    with _living(after_release, erios_home) as settings:
        yield settings


@contextmanager
def _living(start: Path, home: Path) -> Iterator[Settings]:
    """A copy of a home, in use; builds run in this process instead of Spark's."""
    shutil.copytree(start, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ERIOS_HOME", str(home))
        for module in ("load", "extract_build"):
            patch.setattr(f"erios.workflows.{module}.spark_session", _no_spark)
            patch.setattr(f"erios.workflows.{module}.SparkRunner", lambda _spark: InlineRunner())
        patch.setattr(extract_build, "find_remedies", lambda _trial: ())  # tried in test_remedies.py
        settings = load_settings()
        point_to(settings)
        yield settings
        close_database()


@contextmanager
def _no_spark(_settings: Settings) -> Iterator[None]:
    yield None


def study() -> Any:
    """An active study of ada's, bob on its team, that asks for what the specification holds."""
    return at(StudyState.ACTIVE, **CONTENT).study


def requested(of: Any = None) -> Extract:
    return acts.request_extract(study=of or study(), by=who("ada"), content=SPECIFICATION)


def assessed(of: Any = None) -> Extract:
    extract = requested(of)
    acts.move_extract(extract=extract, by=who("dpo"), action=Action.APPROVE_SPECIFICATION)
    return extract_build.build_extract(extract, who("dan"))


def cleared_exceptionally(extract: Extract) -> Extract:
    """Cleared by exception, since a hospital of 150 has small classes."""
    acts.ask_exception(extract=extract, by=who("dpo"), root=extract.root, expires=UNTIL, reason="a small hospital")
    return acts.grant_exception(extract=extract, by=who("chief"), root=extract.root, reason="a test")


def released(of: Any = None) -> Extract:
    extract = cleared_exceptionally(assessed(of))
    return extract_release.release_extract(extract, who("dora"), extract.root)


def did(settings: Settings) -> list[str]:
    return [event.action for event in read_events(settings) if event.action.startswith("extract.")]


def test_an_extract_goes_its_way_and_every_step_is_on_record(home: Settings) -> None:
    extract = released()

    opened = work.open_extract(extract.number, "bob")

    assert opened.tables == ("condition", "encounter", "location", "patient")
    people = opened.duckdb("patient").fetchall()
    assert len(people) == extract.patients
    assert len(people) > 100
    assert {"male", "female"} == {row[opened.duckdb("patient").columns.index("gender")] for row in people}
    extract_release.verify_extract(Extract.objects.get(pk=extract.pk))
    acts.move_extract(extract=extract, by=who("dpo"), action=Action.REVOKE, reason="the end")
    extract_release.destroy_extract(Extract.objects.get(pk=extract.pk), who("dan"))
    steps = ["request", "approve-the-specification", "build.start", "build", "assess", "ask-for-an-exception"]
    steps += ["grant-the-exception", "release", "open", "revoke", "destroy"]
    assert did(home) == [f"extract.{step}" for step in steps]
    assert verify(home).faults == ()
    assert not list(home.studies.rglob("*.parquet"))
    assert not list((home.warehouse / "extracts").rglob("*.parquet"))


def test_the_report_and_the_pages_lie_with_it(released_home: Settings) -> None:
    extract = Extract.objects.get()
    folder = released_home.studies / extract.study.number / extract.number

    package = json.loads((folder / "datapackage.json").read_text())
    crate = json.loads((folder / "ro-crate-metadata.json").read_text())

    assert {one["name"]: one["rows"] for one in package["resources"]} == extract.rows
    assert {one["@id"] for one in crate["@graph"]} >= {"./", "datapackage.json", "data/patient/part-00000.parquet"}
    assert "tranches de 10" in (folder / "dictionary.html").read_text()
    assert extract.report["risk"]["k"] >= 1
    known = extract.report["risk"]  # who knows less of a patient finds them less often
    assert extract.report["population"] >= extract.patients
    assert 0 < known["population_marketer"] <= known["journalist_mean"] <= known["prosecutor_mean"]
    assert extract.report["patients"] == extract.patients


def _texts(folder: Path, least: int = 0) -> set[str]:
    """Every text of ``least`` characters in every column of every table."""
    columns = (column for path in folder.rglob("*.parquet") for column in pq.ParquetFile(path).read().columns)
    return {value for column in columns for value in _strings(column) if value and len(value) >= least}


def _strings(column: pa.ChunkedArray) -> list[Any]:
    """The distinct texts of a column of texts or of lists of texts."""
    is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    flat = pc.list_flatten(column) if is_list else column
    is_text = pa.types.is_string(flat.type) or pa.types.is_large_string(flat.type)
    return pc.unique(flat).to_pylist() if is_text else []


def test_two_studies_extracts_share_no_key_with_each_other_nor_with_the_warehouse(released_home: Settings) -> None:
    home, first, second = released_home, Extract.objects.get(), released()

    one, two = (_texts(home.studies / x.study.number / x.number) for x in (first, second))
    warehouse = _texts(home.warehouse / "tables", 32)

    keys = {value for value in one if len(value) == 32}
    assert len(keys) > 500
    assert not keys & two
    assert not keys & warehouse
    assert len(warehouse) > 500
    warehoused, linkage = second.linkage["attacks"]
    assert (warehoused["with"], linkage["with"]) == ("warehouse", first.number)
    assert (warehoused["shared_keys"], linkage["shared_keys"]) == ([], [])
    assert linkage["low"] <= linkage["share"] <= linkage["high"]
    assert warehoused["targets"] == linkage["targets"] == second.patients
    assert not list((home.warehouse / "extracts").rglob("*truth*"))


def _stays(folder: Path) -> tuple[list[Any], set[Any]]:
    """Lengths in calendar days, and the day on which each stay starts."""
    import duckdb

    with duckdb.connect() as connection:
        table = f"read_parquet('{folder}/data/encounter/*.parquet')"
        length = "date_diff('day', left(period_start, 10)::DATE, left(period_end, 10)::DATE)"
        lengths = connection.execute(f"SELECT {length} AS s FROM {table} ORDER BY s").fetchall()
        starts = connection.execute(f"SELECT encounter_key, left(period_start, 10) FROM {table}").fetchall()
        return lengths, set(starts)


def test_dates_move_by_a_constant_of_the_patients(released_home: Settings) -> None:
    moved = work.open_extract(Extract.objects.get().number, "bob")
    exact_specification = {**SPECIFICATION, "dates": "exact"}
    extract = acts.request_extract(study=study(), by=who("ada"), content=exact_specification)
    acts.move_extract(extract=extract, by=who("dpo"), action=Action.APPROVE_SPECIFICATION)
    exact = released_home.warehouse / "extracts" / extract_build.build_extract(extract, who("dan")).number

    lengths, starts = zip(*(_stays(folder) for folder in (moved.folder, exact)), strict=True)
    assert lengths[0] == lengths[1]
    assert len(lengths[0]) > 300
    assert len(starts[0] & starts[1]) < len(starts[0]) / 20


def _flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(raw)


def _folder(extract: Extract) -> Path:
    return load_settings().studies / extract.study.number / extract.number


def _change_manifest(extract: Extract) -> None:
    path = _folder(extract) / "manifest.json"
    path.write_text(path.read_text().replace('"study":"', '"study":"x'))


def _sign_anew(extract: Extract) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    folder = _folder(extract)
    signature = Ed25519PrivateKey.generate().sign((folder / "manifest.json").read_bytes())
    (folder / "manifest.sig").write_text(base64.b64encode(signature).decode())


def _forge(extract: Extract) -> None:
    """Whoever writes the folder and the database: files of their own, signed with a key of their own, rows to match."""
    from dataclasses import replace

    from erios.extracts import manifest
    from erios.keys import init_keyring

    folder, own = _folder(extract), load_settings().home / "own-keyring.json"
    init_keyring(own)
    (folder / "dictionary.html").write_text("forged")
    files = manifest.list_files(folder, {})
    told = replace(manifest.read_manifest(folder), files=files, root=manifest.root_of(files), key_id=_key_of(own))
    manifest.write_manifest(folder, told, own)
    public = manifest.public_key(own, told.key_id)
    assert manifest.verify(folder, public, told.root) == told  # by itself it is a whole extract
    Extract.objects.filter(pk=extract.pk).update(root=told.root, public_key=public, key_id=told.key_id)


def _key_of(keyring: Path) -> str:
    from erios.keys import read_key

    return read_key(keyring).key_id


def _expire(extract: Extract) -> None:
    Extract.objects.filter(pk=extract.pk).update(expires=timezone.localdate() - timedelta(days=1))
    seal_everything()


def _revoke(extract: Extract) -> None:
    acts.move_extract(extract=extract, by=who("dpo"), action=Action.REVOKE, reason="no longer needed")


def _suspend(extract: Extract) -> None:
    studies.move(proposal=extract.proposal, by=who("dpo"), action=StudyAction.SUSPEND, reason="a doubt")


def _set_the_clock_back(_extract: Extract) -> None:
    setattr(work, "_now", lambda: datetime(2020, 1, 1, tzinfo=UTC))  # noqa: B010


CASES: dict[str, tuple[Callable[[Extract], Any], str, str]] = {
    "one flipped bit in a table": (
        lambda x: _flip(_folder(x) / "data/patient/part-00000.parquet"),
        "bob",
        "part-00000.parquet was changed",
    ),
    "one flipped bit in the dictionary": (lambda x: _flip(_folder(x) / "dictionary.html"), "bob", "was changed after"),
    "a changed manifest": (_change_manifest, "bob", "signature"),
    "another key": (_sign_anew, "bob", "signed with another key"),
    "files signed with a key of one's own, and rows to match": (_forge, "bob", "field key_id was changed"),
    "no signature": (lambda x: (_folder(x) / "manifest.sig").unlink(), "bob", "is not signed"),
    "a missing file": (lambda x: (_folder(x) / "datapackage.json").unlink(), "bob", "datapackage.json is missing"),
    "a file too many": (lambda x: (_folder(x) / "data/more.parquet").write_text("x"), "bob", "not in the manifest"),
    "an expired clearance": (_expire, "bob", "has expired"),
    "a revoked clearance": (_revoke, "bob", "was revoked"),
    "somebody off the team": (lambda _: None, "com4", "not on this study's team"),
    "an unknown login": (lambda _: None, "nobody", "no open account"),
    "a study that is suspended": (_suspend, "bob", "not active"),
    "a clock set back": (_set_the_clock_back, "bob", "set the clock right"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_does_not_hold_is_refused_with_its_own_sentence_and_on_record(
    name: str, released_home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "_now", work._now)
    extract = Extract.objects.get()
    break_it, login, sentence = CASES[name]
    work.open_extract(extract.number, "bob")
    break_it(extract)

    with pytest.raises(EriosError, match=sentence) as refused:
        work.open_extract(extract.number, login)

    last = [event for event in read_events(released_home) if event.action == "extract.open.refused"][-1]
    assert last.reason == str(refused.value)
    is_damaged = isinstance(refused.value, InputError)
    assert (Extract.objects.get().state == State.QUARANTINED) == is_damaged


def test_a_clearance_ends_at_midnight_in_france(released_home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    extract = Extract.objects.get()
    assert extract.expires is not None
    midnight = datetime.combine(extract.expires + timedelta(days=1), time(), ZONE)

    monkeypatch.setattr(work, "_now", lambda: midnight - timedelta(seconds=1))
    work.open_extract(extract.number, "bob")
    monkeypatch.setattr(work, "_now", lambda: midnight)
    with pytest.raises(EriosError, match="has expired"):
        work.open_extract(extract.number, "bob")


def test_every_refusal_has_a_sentence_of_its_own() -> None:
    sentences = [sentence for _break, _login, sentence in CASES.values()]
    assert len(set(sentences)) == len(sentences)


def _object(settings: Settings, index: int = 0) -> None:
    """A patient of the export objects."""
    from erios.objections import Objection, add

    lines = (settings.home.parent / "export" / "Patient.000.ndjson").read_text().splitlines()
    living = [one for one in map(json.loads, lines) if one["birthDate"] < "1990"]
    add(settings, [Objection(f"Patient/{living[index]['id']}", "does not want it")])


@pytest.fixture
def export(loaded: Path, erios_home: Path) -> None:
    shutil.copytree(loaded.parent / "export", erios_home.parent / "export")


@pytest.mark.usefixtures("export")
def test_an_objection_between_clearance_and_release_turns_it_stale(assessed_home: Settings) -> None:
    extract = cleared_exceptionally(Extract.objects.get())
    _object(assessed_home)

    with pytest.raises(RuleBroken, match="objected"):
        extract_release.release_extract(extract, who("dora"), extract.root)

    assert Extract.objects.get().state == State.STALE
    assert not (assessed_home.studies / extract.study.number).exists()


@pytest.mark.usefixtures("export")
def test_an_objection_after_the_release_closes_the_door(released_home: Settings) -> None:
    extract = Extract.objects.get()
    _object(released_home)

    assert stale_extracts.follow_objections(released_home) == [extract.number]
    with pytest.raises(RuleBroken, match="ask for a new one"):
        work.open_extract(extract.number, "bob")


@pytest.mark.usefixtures("export")
def test_who_objects_is_in_no_extract_built_afterwards(assessed_home: Settings) -> None:
    from erios.workflows.load import load_config
    from etl.load_config import Verdict
    from etl.pipeline import refresh

    before = Extract.objects.get()
    _object(assessed_home)
    extract = requested()
    acts.move_extract(extract=extract, by=who("dpo"), action=Action.APPROVE_SPECIFICATION)

    with pytest.raises(InputError, match="run `erios etl refresh`"):
        extract_build.build_extract(extract, who("dan"))
    refresh(load_config(assessed_home), InlineRunner(), lambda *_: Verdict(False, (), {}))
    built = extract_build.build_extract(Extract.objects.get(pk=extract.pk), who("dan"))

    assert built.patients == (before.patients or 0) - 1
    assert extract_objections.turn_touched_stale(assessed_home) == [before.number]
    assert stale_extracts.describe_stale([before.number]).endswith("No model was trained on them.")


def test_a_build_that_fails_says_why_and_may_be_begun_again(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    extract = requested()
    acts.move_extract(extract=extract, by=who("dpo"), action=Action.APPROVE_SPECIFICATION)
    with monkeypatch.context() as patch:
        patch.setattr("erios.workflows.extract_build.write_dictionary", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            extract_build.build_extract(extract, who("dan"))

    failed = Extract.objects.get()
    assert (failed.state, failed.busy, failed.problem) == (State.SPECIFIED, None, "ZeroDivisionError")
    assert not list((home.warehouse / "extracts").rglob("*.parquet"))
    assert extract_build.build_extract(failed, who("dan")).state == State.ASSESSED


def test_an_assessment_cut_short_is_gone_on_with(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    extract = requested()
    acts.move_extract(extract=extract, by=who("dpo"), action=Action.APPROVE_SPECIFICATION)
    with monkeypatch.context() as patch:
        patch.setattr("erios.workflows.extract_build._assess_risk", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            extract_build.build_extract(extract, who("dan"))

    built = Extract.objects.get()
    assert built.state == State.BUILT
    assert extract_build.build_extract(built, who("dan")).root == built.root
    assert Extract.objects.get().state == State.ASSESSED


def test_two_builds_of_one_extract_the_second_is_told(home: Settings) -> None:
    extract = requested()
    folder = home.warehouse / "extracts" / extract.number
    with extract_files.locked(folder), pytest.raises(BusyError, match="somebody is at work"):
        extract_build.build_extract(extract, who("dan"))


def test_what_the_proposal_does_not_provide_for_is_not_approved(home: Settings) -> None:
    more = {**SPECIFICATION, "tables": {**SPECIFICATION["tables"], "procedure": {"code": "acte"}}}
    extract = acts.request_extract(study=study(), by=who("ada"), content=more)

    with pytest.raises(RuleBroken, match=r"procedure\.code"):
        acts.move_extract(extract=extract, by=who("dpo"), action=Action.APPROVE_SPECIFICATION)

    acts.specify(extract=extract, by=who("ada"), content=SPECIFICATION)
    moved = acts.move_extract(extract=extract, by=who("dpo"), action=Action.APPROVE_SPECIFICATION)
    assert moved.state == State.SPECIFIED


def test_a_small_class_is_cleared_by_exception_only(assessed_home: Settings) -> None:
    extract = Extract.objects.get()

    with pytest.raises(RuleBroken, match="smallest class"):
        acts.clear(extract=extract, by=who("dpo"), root=extract.root, expires=UNTIL)
    with pytest.raises(RuleBroken, match="no exception is asked"):
        acts.grant_exception(extract=extract, by=who("chief"), root=extract.root, reason="x")


def test_who_acts_on_another_root_than_was_read_is_told(assessed_home: Settings) -> None:
    extract = Extract.objects.get()

    with pytest.raises(RuleBroken, match="root given"):
        acts.ask_exception(extract=extract, by=who("dpo"), root="0" * 64, expires=UNTIL, reason="x")


def test_a_byte_changed_between_clearance_and_release_ends_in_quarantine(assessed_home: Settings) -> None:
    extract = cleared_exceptionally(Extract.objects.get())
    _flip(assessed_home.warehouse / "extracts" / extract.number / "data/patient/part-00000.parquet")

    with pytest.raises(InputError, match="was changed"):
        extract_release.release_extract(extract, who("dora"), extract.root)

    assert Extract.objects.get().state == State.QUARANTINED
    assert not (assessed_home.studies / extract.study.number / extract.number).exists()


def test_builder_and_releaser_are_two_even_in_the_database(assessed_home: Settings) -> None:
    extract = cleared_exceptionally(Extract.objects.get())

    with pytest.raises(RefusedError, match="somebody else"):
        extract_release.release_extract(extract, who("dan"), extract.root)
    with pytest.raises(IntegrityError), transaction.atomic():
        ExtractPart.objects.create(extract=extract, person=who("dan"), kind=ExtractPartKind.RELEASER)


def test_overlaps_with_earlier_releases_are_told_without_small_numbers(released_home: Settings) -> None:
    first = Extract.objects.get().study
    narrower = {**SPECIFICATION, "cohort": {"age": {"min": 19, "at": "2026-01-01"}}}
    extract = acts.request_extract(study=first, by=who("ada"), content=narrower)
    Extract.objects.filter(pk=extract.pk).update(state=State.SPECIFIED)
    seal_everything()

    overlap = extract_build.build_extract(Extract.objects.get(pk=extract.pk), who("dan")).overlaps[0]

    assert overlap["kind"] == "extract"
    assert overlap["only_new"] == 0
    assert overlap["isolates"] == (overlap["only_old"] is None)


def test_a_living_extract_keeps_its_release(home: Settings) -> None:
    from erios.workflows.maintenance import pinned_releases

    assert pinned_releases(home) == {}
    extract = assessed()
    assert pinned_releases(home) == {"r000001": f"extract {extract.number}"}


def test_the_night_ends_what_has_expired(released_home: Settings) -> None:
    extract = Extract.objects.get()
    assert acts.expire_extracts(today=UNTIL) == []
    assert [x.number for x in acts.expire_extracts(today=UNTIL + timedelta(days=1))] == [extract.number]


def test_what_a_team_reads_of_its_extract_is_an_answer_of_the_ledger(home: Settings) -> None:
    """Charged to the study and to each person of the team; its cohort is a group like any other."""
    extract = released()

    answer = LedgerAnswer.objects.get(canonical__contains=f'"{extract.number}"')
    assert answer.value == extract.patients
    assert answer.group is not None
    readings = LedgerReading.objects.filter(answer=answer)
    assert set(readings.values_list("person__username", flat=True)) == selectors.team_of(extract.study)
    assert set(readings.values_list("study", flat=True)) == {extract.study_id}
