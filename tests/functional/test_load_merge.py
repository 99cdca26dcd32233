"""Merging: the newest version stands, a replay changes nothing, a delete removes, a crash is rolled back."""

from __future__ import annotations

import os
import re
import shutil

import pytest
from deltalake import DeltaTable

from etl.errors import BusyError, GateRefused
from etl.load_config import Verdict
from etl.warehouse.data_files import TABLES
from etl.warehouse.garbage import recover
from etl.warehouse.release import exclusive, open_release, release_ids

MERGED = ("written", "superseded", "duplicates", "deleted")


@pytest.fixture
def home(fresh, tmp_path):
    return fresh(tmp_path / "home")


@pytest.fixture
def load_lines(load, home, write_ndjson, tmp_path):
    """Load resources as one batch; → its totals as (written, superseded, duplicates, deleted)."""

    def run(*lines):
        path = write_ndjson(tmp_path / f"batch{len(list(tmp_path.iterdir()))}.ndjson", list(lines))
        totals = load([path], home).to_dict()["totals"]
        return tuple(totals[name] for name in MERGED)

    return run


def _genders(home):
    return [row[0] for row in open_release(home.warehouse).duckdb("patient").project("gender").fetchall()]


def _meta(updated=None, version=None):
    pairs = {"lastUpdated": updated, "versionId": version}
    return {name: value for name, value in pairs.items() if value}


def test_the_newest_update_stands_in_whatever_order(home, load_lines, patient):
    old = patient("a", gender="male", meta=_meta("2024-01-01T00:00:00+02:00", "9"))
    new = patient("a", gender="other", meta=_meta("2024-01-01T00:00:00Z", "1"))
    assert load_lines(new, old) == (1, 1, 0, 0)
    assert _genders(home) == ["other"]


def test_the_higher_version_stands_among_equal_times_as_a_number(home, load_lines, patient):
    nine, ten = (patient("a", gender=g, meta=_meta(version=v)) for g, v in (("male", "9"), ("other", "10")))
    assert load_lines(ten, nine) == (1, 1, 0, 0)
    assert _genders(home) == ["other"]


def test_versions_alike_in_all_are_told_apart_by_their_hash_and_repeatably(home, load_lines, patient):
    pair = [patient("a", gender=gender) for gender in ("male", "other")]
    assert load_lines(*pair) == (1, 1, 0, 0)
    first = _genders(home)
    assert load_lines(*reversed(pair)) == (0, 1, 1, 0)
    assert _genders(home) == first


def test_an_older_version_in_a_later_batch_is_superseded(home, load_lines, patient):
    load_lines(patient("a", gender="other", meta=_meta("2024-02-01T00:00:00Z")))
    assert load_lines(patient("a", gender="male", meta=_meta("2024-01-01T00:00:00Z"))) == (0, 1, 0, 0)
    assert _genders(home) == ["other"]


def test_a_replay_of_the_same_export_makes_no_new_release(home, load, write_ndjson, patient, tmp_path):
    path = write_ndjson(tmp_path / "x.ndjson", [patient("a"), patient("b")])
    load([path], home)
    again = load([path], home)
    assert (again.new_release, again.release, release_ids(home.warehouse)) == (False, "r000001", ["r000001"])
    assert again.to_dict()["totals"]["duplicates"] == 2


def test_a_delete_removes_the_row(home, load_lines, patient):
    load_lines(patient("a"), patient("b"))
    entry = {"request": {"method": "DELETE", "url": "Patient/a"}}
    assert load_lines({"resourceType": "Bundle", "type": "transaction", "entry": [entry]}) == (0, 0, 0, 1)
    assert len(_genders(home)) == 1


def test_a_stay_whose_patient_changed_is_not_doubled(home, load_lines):
    def stay(patient, day):
        return {
            "resourceType": "Encounter",
            "id": "e",
            "status": "finished",
            "class": {"code": "IMP"},
            "subject": {"reference": f"Patient/{patient}"},
            "meta": _meta(f"2024-01-0{day}T00:00:00Z"),
        }

    for day, patient in enumerate(["a", "b", "c", "d", "e", "f"], start=1):
        assert load_lines(stay(patient, day)) == (1, 0, 0, 0)
    assert open_release(home.warehouse).duckdb("encounter").count("*").fetchall() == [(1,)]


def test_versions_that_no_release_pins_are_rolled_back(home, load_lines, patient):
    load_lines(patient("a"))
    kept = {p.name: p.read_bytes() for p in (home.warehouse / "releases").iterdir()}
    load_lines(patient("b"))
    (home.warehouse / "releases" / "r000002.json").unlink()  # as if killed between commit and publication
    mended = recover(home.warehouse)
    assert "patient" in mended
    assert len(DeltaTable(str(home.warehouse / TABLES / "patient")).file_uris()) == 1
    assert {p.name: p.read_bytes() for p in (home.warehouse / "releases").iterdir()} == kept
    assert recover(home.warehouse) == []
    assert load_lines(patient("c")) == (1, 0, 0, 0)
    assert len(_genders(home)) == 2


def test_a_kill_before_the_first_release_leaves_nothing_behind(home, load_lines, patient):
    load_lines(patient("a"))
    shutil.rmtree(home.warehouse / "releases")
    assert load_lines(patient("b")) == (1, 0, 0, 0)
    assert len(_genders(home)) == 1


def test_a_second_load_is_told_who_writes_since_when(home, load_lines, patient):
    with exclusive(home.warehouse), pytest.raises(BusyError) as caught:
        load_lines(patient("a"))
    wanted = rf"the warehouse is being written by process {os.getpid()} since 20\d\d-\d\d-\d\dT[\d:+]+; wait"
    assert re.search(wanted, str(caught.value))


def test_a_gate_that_blocks_leaves_the_last_release_and_no_files(
    home, load, load_lines, write_ndjson, patient, tmp_path
):
    load_lines(patient("a"))
    files = sorted((home.warehouse / TABLES).rglob("*.parquet"))
    path = write_ndjson(tmp_path / "b.ndjson", [patient("b")])
    verdict = Verdict(True, ("patient: sex is missing (keys 0a1b)",), {})
    with pytest.raises(GateRefused, match="the last release stands: patient: sex is missing"):
        load([path], home, lambda _tables, _fresh, _batch: verdict)
    assert release_ids(home.warehouse) == ["r000001"]
    assert sorted((home.warehouse / TABLES).rglob("*.parquet")) == files
    assert load_lines(patient("b"), patient("c")) == (2, 0, 0, 0)
