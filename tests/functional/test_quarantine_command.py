"""``erios etl quarantine`` as a data manager uses it: what waits, why, and again after a fix."""

from __future__ import annotations

import json

import pytest

from erios.audit import read_events
from erios.keys import read_key
from etl.ingest.quarantine import refused
from etl.privacy import pseudonym
from etl.warehouse.release import open_release

CANARY = "Canari-Martin"
LONG = b'{"resourceType":"Patient","id":"long","text":{"status":"generated","div":"' + b"x" * (2 << 20) + b'"}}'
WRONG = {"resourceType": "Patient", "id": "wrong", "name": {"family": CANARY}, "birthDate": CANARY}
CUT = b'{"resourceType":"Patient","id":"' + CANARY.encode()
KIND = "Patient.name must be a JSON array"
NOT_JSON = "the line is not valid JSON"
TOO_LONG = "the line is longer than 1 MB"


@pytest.fixture(scope="module")
def module_settings(tmp_path_factory, make_home):
    """A home that takes lines of 1 MB at most."""
    return make_home(tmp_path_factory.mktemp("home"), max_line_mb=1)


@pytest.fixture(scope="module")
def batch(module_settings, load, patient, write_ndjson, tmp_path_factory):
    """The id of a batch of one good line and three that are refused."""
    path = tmp_path_factory.mktemp("in") / "dirty.ndjson"
    return load([write_ndjson(path, [patient("a"), WRONG, CUT, LONG])], module_settings).batch


@pytest.fixture
def quarantine(batch, at_home, in_process, monkeypatch):
    """``erios etl quarantine``, which must never show a value of a record; the limit is still 1 MB."""
    monkeypatch.setenv("ERIOS_LOAD__MAX_LINE_MB", "1")

    def call(*arguments):
        code, out, said = in_process("etl", "quarantine", *arguments)
        assert CANARY not in out + said
        return code, out, said

    return call


def test_the_list_counts_by_batch_type_and_reason(quarantine, batch):
    code, out, said = quarantine("list")
    rows = sorted(" ".join(line.split()) for line in out.splitlines() if batch in line)
    assert (code, said) == (0, "")
    assert [row.removeprefix(f"│ {batch} │ ").removesuffix(" │") for row in rows] == [
        f"(unreadable) │ {TOO_LONG} │ 1",
        f"(unreadable) │ {NOT_JSON} │ 1",
        f"Patient │ {KIND} │ 1",
    ]


@pytest.fixture
def hidden(at_home):
    """The pseudonym of the refused patient, whose id the list does not show."""
    return pseudonym(read_key(at_home.keyring), "Patient/wrong")


def test_ids_as_received_are_shown_when_asked_and_on_record(quarantine, batch, at_home):
    code, out, said = quarantine("list", "--rows", "--clear-ids", "--batch", batch)
    assert (code, said) == (0, "")
    assert f"{batch}/000001:2\tPatient\twrong\t{KIND}" in out.splitlines()
    assert quarantine("show", f"{batch}/000001:2", "--clear-ids")[1].startswith(f"{batch}/000001:2: Patient wrong\n")
    subjects = [event.object for event in read_events(at_home) if event.action == "quarantine.ids"]
    assert subjects == [batch, f"{batch}/000001:2"]


def test_the_rows_are_one_a_line_with_their_pseudonyms(quarantine, batch, hidden):
    code, out, said = quarantine("list", "--rows")
    assert (code, said) == (0, "")
    assert sorted(out.splitlines()) == [
        f"{batch}/000001:2\tPatient\t{hidden}\t{KIND}",
        f"{batch}/000001:3\t-\t-\t{NOT_JSON}",
        f"{batch}/000001:4\t-\t-\t{TOO_LONG}",
    ]


def test_the_rows_as_json_are_one_array(quarantine, batch, hidden):
    code, out, said = quarantine("list", "--json", "--batch", batch)
    (row,) = (row for row in json.loads(out) if row["line"] == 2)
    assert (code, said) == (0, "")
    assert row == {
        "quarantine_id": f"{batch}/000001:2",
        "batch": batch,
        "file": "000001",
        "line": 2,
        "part": "",
        "type": "Patient",
        "resource_id": hidden,
        "reason": KIND,
    }


def test_another_batch_is_an_empty_list(quarantine):
    assert quarantine("list", "--json", "--batch", "b000009-00000000") == (0, "[]\n", "")


def test_one_is_shown_with_its_reasons_in_words(quarantine, batch, hidden):
    code, out, _ = quarantine("show", f"{batch}/000001:2")
    assert (code, out.splitlines()[:2]) == (0, [f"{batch}/000001:2: Patient {hidden}", f"  - {KIND}"])
    assert sorted(out.splitlines()[2:]) == [
        "  - Patient.birthDate: does not have the form that FHIR asks for",
        "  - Patient.name: must be a JSON array",
    ]
    code, out, _ = quarantine("show", "--json", f"{batch}/000001:3")
    assert (code, json.loads(out)["reasons"]) == (0, [NOT_JSON])


@pytest.mark.parametrize("wanted", ["{batch}/000001:1", "b000009-00000000/000001:1", "x"])
def test_an_id_that_does_not_wait_is_one_sentence(quarantine, batch, wanted):
    name = wanted.format(batch=batch)
    code, out, said = quarantine("show", name)
    assert (code, out) == (3, "")
    assert said == f"erios: no '{name}' waits in quarantine; `erios etl quarantine list --rows` prints the ids\n"


def test_replaying_another_batch_changes_nothing(quarantine, at_home):
    code, out, said = quarantine("replay", "--batch", "b000009-00000000")
    assert (code, out, said) == (0, "Nothing waits in quarantine.\n", "")
    assert len(list(refused(at_home.identity / "quarantine"))) == 3


@pytest.mark.slow
def test_what_a_fix_lets_pass_is_loaded_and_the_rest_waits_on(quarantine, batch, at_home, monkeypatch):
    """The fix is a higher limit on the length of a line. Last here: it changes the home."""
    monkeypatch.setenv("ERIOS_LOAD__MAX_LINE_MB", "8")
    code, out, _ = quarantine("replay", "--json")
    report = json.loads(out)
    totals = report["totals"]
    waiting = list(refused(at_home.identity / "quarantine"))
    assert (code, totals["in"], totals["written"], totals["quarantined"]) == (0, 3, 1, 2)
    assert open_release(at_home.warehouse).duckdb("patient").count("*").fetchall() == [(2,)]
    assert {row.batch for row in waiting} == {report["batch"]} != {batch}
    assert sorted(row.reason for row in waiting) == [KIND, NOT_JSON]
