"""``erios validate`` on a release that is as it was published, and on releases that are not any more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import pytest

from erios.checkout import PROJECT
from etl.warehouse.release import open_release

CANARY = "camille.canari@chu.example"


@pytest.fixture(scope="module")
def released(module_settings, load, patient, write_ndjson, tmp_path_factory):
    """The warehouse zone of a home with one release of three patients."""
    path = tmp_path_factory.mktemp("in") / "p.ndjson"
    load([write_ndjson(path, [patient(name, birthDate="1980-05-17") for name in "abc"])], module_settings)
    return module_settings.warehouse


@pytest.fixture
def warehouse(released, at_home, tmp_path, monkeypatch):
    """A copy of that zone, for one test to damage."""
    copy = tmp_path / "warehouse"
    shutil.copytree(released, copy)
    monkeypatch.setenv("ERIOS_WAREHOUSE", str(copy))
    return copy


def rewrite(warehouse: Path, select: str) -> None:
    """Write the table patient's files anew with other values, where nobody looks at digest or size."""
    release = open_release(warehouse)
    for file in release.files("patient"):
        other = Path(file).with_suffix(".other")
        duckdb.sql(f"COPY (SELECT {select} FROM read_parquet('{file}')) TO '{other}' (FORMAT parquet)")
        other.replace(file)


@pytest.fixture
def blind(monkeypatch):
    """Damage that the sizes of files do not show: what a broken writer leaves, and not what a broken disk does."""
    monkeypatch.setattr("etl.warehouse.release._checked", lambda root, file: root / file.path)


def test_a_release_as_it_was_published_passes(warehouse, in_process):
    code, out, said = in_process("validate")
    assert (code, said, "Blocks: " in out) == (0, "", False)
    (total,) = [line for line in out.splitlines() if line.startswith("Release r000001: ")]
    good, _, of, *_ = total.removeprefix("Release r000001: ").split()
    assert int(good) <= int(of)
    assert f"Data Docs: {warehouse / 'validation' / 'r000001'}" in out.replace("\n", "")


def test_the_report_as_json_is_one_object(warehouse, in_process):
    code, out, _ = in_process("validate", "--release", "r000001", "--json")
    report = json.loads(out)
    assert (code, report["release"], report["blocked"]) == (0, "r000001", False)
    assert (report["tables"], report["failed"]["block"]) == (1, 0)  # the other tables have no rows


@pytest.mark.parametrize(
    ("select", "sentence"),
    [
        ("* REPLACE ('1980-05-17' AS birth_date)", "patient: Birth dates finer than a month: 3."),
        ("* REPLACE (NULL::VARCHAR AS patient_key)", "patient: Rows without a key: 3."),
        (
            "* REPLACE ('ab' AS patient_key)",
            "patient: Rows with a key that is no pseudonym of 32 hexadecimal digits: 3",
        ),
        (
            f"* REPLACE ('{CANARY}' AS gender)",
            "patient: Rows with what looks like an e-mail address, a phone number or a social security number in clear"
            " text: 3, in gender.",
        ),
    ],
    ids=["birth date", "no key", "no pseudonym", "clear text"],
)
def test_a_release_with_a_value_that_blocks_is_code_5_and_its_sentence(warehouse, blind, in_process, select, sentence):
    rewrite(warehouse, select)
    code, out, said = in_process("validate")
    assert code == 5
    assert f"Blocks: {sentence}" in " ".join(out.split())
    assert said == "erios: release r000001 fails expectations that block; see above\n"
    assert CANARY not in out + said


def test_the_report_of_a_blocked_release_is_on_standard_output_too(warehouse, blind, in_process):
    rewrite(warehouse, f"* REPLACE ('{CANARY}' AS gender)")
    code, out, said = in_process("validate", "--json")
    report = json.loads(out)
    failed = [(r["table"], r["columns"], r["unexpected"]) for r in report["failures"] if r["severity"] == "block"]
    assert (code, report["blocked"], CANARY in out + said) == (5, True, False)
    assert failed == [("patient", ["gender"], 3)]
    assert not [p for p in (warehouse / "validation").rglob("*.html") if CANARY in p.read_text()]


def test_a_file_that_is_not_as_it_was_written_is_code_6(warehouse, in_process):
    (file, *_) = open_release(warehouse).files("patient")
    Path(file).write_bytes(b"PAR1")
    code, out, said = in_process("validate")
    assert (code, out) == (6, "")
    assert said.startswith("erios: table patient is damaged: bucket=")
    assert said.endswith("or compute the table anew with `erios etl rebuild`\n")


def test_a_release_that_is_not_there_is_code_3(warehouse, in_process):
    code, out, said = in_process("validate", "--release", "r000009")
    assert (code, out, said) == (3, "", "erios: no release 'r000009'; releases: r000001\n")


def test_a_warehouse_without_a_release_says_what_to_run(in_process):
    code, out, said = in_process("validate")
    assert (code, out, said) == (3, "", "erios: no release yet; run `erios etl load PATH` first\n")


def test_a_suite_that_is_not_as_it_must_be_is_code_2(warehouse, in_process, tmp_path, monkeypatch):
    suites = tmp_path / "suites"
    shutil.copytree(PROJECT / "conf" / "suites", suites)
    (suites / "patient.json").write_text("{")
    monkeypatch.setenv("ERIOS_SUITES_DIR", str(suites))
    code, out, said = in_process("validate")
    assert (code, out, said.count("\n")) == (2, "", 1)
    assert said.startswith("erios: patient.json: not JSON (")
