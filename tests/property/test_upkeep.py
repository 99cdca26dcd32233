"""Retention and evolution: what is kept reads as before, what nobody reads goes, and a rebuild replaces it whole."""

from __future__ import annotations

import shutil
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from erios.checkout import PROJECT
from etl import pipeline
from etl.errors import ReleaseError
from etl.load_config import LoadConfig
from etl.maintenance import compact, keep, vacuum
from etl.pipeline import load, rebuild
from etl.privacy import PseudonymKey
from etl.tables import load_tables
from etl.warehouse import delta, garbage
from etl.warehouse.delta import open_table
from etl.warehouse.garbage import recover, sweep, unread
from etl.warehouse.release import open_release, release_ids
from tests.inline import InlineRunner
from tests.property.test_living_warehouse import KEY, TABLES, Warehouse, open_gate, view

pytestmark = pytest.mark.slow
WIDER = view(
    "encounter",
    "Encounter",
    {
        "encounter_key": "getResourceKey()",
        "patient_key": "subject.getReferenceKey(Patient)",
        "doctor_key": "participant.individual.getReferenceKey(Practitioner).first()",
        "status": "status",
        "class_code": "class.code",
    },
)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Four releases, each with newer versions of everything."""
    warehouse = Warehouse(tmp_path_factory.mktemp("lived") / "home")
    warehouse.folder.mkdir()
    for version in range(1, 5):
        resources = [("Patient", n, version) for n in range(4)] + [("Encounter", n, version) for n in range(5)]
        warehouse.run(("load", resources, []))
    return warehouse


@pytest.fixture
def warehouse(lived: Warehouse, tmp_path: Path) -> Warehouse:
    """A copy of it, the test's own."""
    shutil.copytree(lived.folder, tmp_path / "home")
    return replace(deepcopy(lived), folder=tmp_path / "home")


def _content(plan: LoadConfig, release: str) -> dict[str, list[Any]]:
    opened = open_release(plan.zones.warehouse, release)
    return {name: sorted(map(str, opened.duckdb(name).fetchall())) for name in opened.names()}


def _wider(plan: LoadConfig) -> LoadConfig:
    return replace(plan, tables=(TABLES[0], WIDER, TABLES[2]))


def test_compaction_keeps_the_rows_and_saves_files(warehouse: Warehouse) -> None:
    plan = replace(warehouse.plan, file_rows=100)

    done = compact(plan, InlineRunner())

    assert done.after < done.before
    warehouse.check()
    assert compact(plan, InlineRunner()).release.id == done.release.id


def test_vacuum_passes_over_what_is_kept_and_leaves_no_file_unread(warehouse: Warehouse) -> None:
    plan = warehouse.plan
    before = {name: _content(plan, name) for name in release_ids(plan.zones.warehouse)}
    keep(plan.zones.warehouse, "r000001", "a study")

    tried = vacuum(plan, 1, lambda: {"r000002": "an extract"}, dry_run=True)
    done = vacuum(plan, 1, lambda: {"r000002": "an extract"})

    assert tried == done
    assert done.forgotten == ("r000003",)
    assert done.files > 0
    assert release_ids(plan.zones.warehouse) == ["r000001", "r000002", "r000004"]
    assert all(_content(plan, name) == before[name] for name in release_ids(plan.zones.warehouse))
    assert list(unread(plan.zones.warehouse, release_ids(plan.zones.warehouse))) == []


def test_the_last_release_is_never_forgotten(warehouse: Warehouse) -> None:
    with pytest.raises(ReleaseError, match="at least the last release is kept"):
        vacuum(warehouse.plan, 0, dict)


def test_a_changed_view_is_refused_before_it_starts_and_rebuilt(warehouse: Warehouse) -> None:
    plan = _wider(warehouse.plan)
    landed = sorted(plan.zones.landing.iterdir())

    with pytest.raises(ReleaseError, match=r"encounter was built with other columns \(class_code\); run `erios etl re"):
        load([warehouse.batches[0]], plan, InlineRunner(), open_gate)
    assert sorted(plan.zones.landing.iterdir()) == landed
    old = _content(plan, "r000004")
    report = rebuild(plan, InlineRunner(), open_gate, ["encounter"])

    warehouse.check()
    assert set(open_release(plan.zones.warehouse).duckdb("encounter").select("class_code").fetchall()) == {("IMP",)}
    assert _content(plan, "r000004") == old
    assert report.release == "r000005"


def test_a_view_that_decides_otherwise_is_refused_and_one_with_other_words_is_not(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    folder = tmp_path / "views"
    shutil.copytree(PROJECT / "conf" / "views", folder)
    tables = {table.name: table for table in load_tables(folder)}
    text = (folder / "location.json").read_text()
    (folder / "location.json").write_text(text.replace('"description": "', '"description": "Also: '))
    assert {table.name: table for table in load_tables(folder)}["location"].digest == tables["location"].digest
    stricter = text.replace('"value": "code"', '"value": "note"', 1)
    (folder / "location.json").write_text(stricter)
    assert stricter != text
    assert {table.name: table for table in load_tables(folder)}["location"].digest != tables["location"].digest
    plan = replace(warehouse.plan, tables=(replace(TABLES[0], digest="other"), *TABLES[1:]))

    with pytest.raises(ReleaseError, match=r"view of patient is new or changed .* rebuild --table patient`"):
        load([warehouse.batches[0]], plan, InlineRunner(), open_gate)
    rebuild(plan, InlineRunner(), open_gate, ["patient"])

    assert load([warehouse.batches[0]], plan, InlineRunner(), open_gate).new_release is False


def test_a_new_view_is_asked_for_from_landing_before_the_next_load(warehouse: Warehouse) -> None:
    more = view("stay", "Encounter", {"stay_key": "getResourceKey()", "status": "status"})
    plan = replace(warehouse.plan, tables=(*TABLES, more))

    with pytest.raises(ReleaseError, match=r"view of stay is new or changed"):
        load([warehouse.batches[0]], plan, InlineRunner(), open_gate)
    rebuild(plan, InlineRunner(), open_gate, ["stay"])

    assert open_release(plan.zones.warehouse).tables["stay"].rows == 5


def test_rebuilding_too_little_is_refused(warehouse: Warehouse) -> None:
    with pytest.raises(ReleaseError, match="table encounter was built with other columns"):
        rebuild(_wider(warehouse.plan), InlineRunner(), open_gate, ["patient"])
    with pytest.raises(ReleaseError, match="no table 'nowhere'; tables: encounter, patient, practitioner"):
        rebuild(warehouse.plan, InlineRunner(), open_gate, ["nowhere"])


def test_a_new_key_asks_for_a_rebuild_that_makes_every_pseudonym_anew(warehouse: Warehouse) -> None:
    plan = replace(warehouse.plan, key_id="k2", read_key=lambda: PseudonymKey("k2", b"z" * 32))
    before = _content(plan, "r000004")

    with pytest.raises(ReleaseError, match="built with key k1, the keyring's current key is k2"):
        load([warehouse.batches[0]], plan, InlineRunner(), open_gate)
    rebuild(plan, InlineRunner(), open_gate)

    after = _content(plan, "r000005")
    assert {name: len(rows) for name, rows in after.items()} == {name: len(rows) for name, rows in before.items()}
    words = {word for rows in before.values() for row in rows for word in row.split("'") if len(word) == 32}
    assert words
    assert not any(word in row for rows in after.values() for row in rows for word in words)


def test_other_buckets_ask_for_a_rebuild(warehouse: Warehouse) -> None:
    plan = replace(warehouse.plan, buckets=8)

    with pytest.raises(ReleaseError, match=r"built with 4 buckets, the setting load\.buckets says 8"):
        load([warehouse.batches[0]], plan, InlineRunner(), open_gate)
    rebuild(plan, InlineRunner(), open_gate)

    names = {name: open_release(plan.zones.warehouse).tables[name].rows for name in ("patient", "encounter")}
    assert names == {name: open_release(plan.zones.warehouse, "r000004").tables[name].rows for name in names}


def test_a_rebuild_killed_among_its_commits_leaves_the_old_release_and_columns(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[str] = []
    commit = delta.commit_table

    def killed(root: Path, name: str, *more: Any, **options: Any) -> None:
        commits.append(name)
        if len(commits) == 3:
            raise KeyboardInterrupt
        commit(root, name, *more, **options)

    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "commit_table", killed)
        patched.setattr(garbage, "recover", lambda _root: [])
        patched.setattr(garbage, "sweep", lambda _root: 0)
        with pytest.raises(KeyboardInterrupt):
            rebuild(_wider(warehouse.plan), InlineRunner(), open_gate)

    warehouse.check()
    root = warehouse.plan.zones.warehouse
    assert recover(root) == ["encounter", "patient"]
    assert sweep(root) > 0
    warehouse.check()
    names = [field.name for field in open_table(root / "tables" / "encounter").schema().fields]
    assert "class_code" not in names
    assert KEY.key_id == open_release(root).key_id
