"""The attacker chooses the input: identifiers in awkward places, and codes that are the numbers of patients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from etl.warehouse.release import open_release
from tests.functional.test_leak import _contents
from tests.inline import load_inline

CASES = (
    Path(__file__).resolve().parents[2] / ".." / "shared" / "cases" / "privacy" / "identifiers_in_awkward_places.ndjson"
)
PLANTED = (
    *("LEBERRIGAUD", "Nolwenn", "0677889900", "KERVADEC", "STERVINOUX", "KERVIGNACQ", "QUEMENERDU", "19850317"),
    "Dupont-Lajoie",
)
NUMBER, LIKE_ICD, LIKE_LOINC = "4471-9", "I50.1", "2160-0"


def _load(folder: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    (folder / "in").mkdir()
    (folder / "in" / "all.ndjson").write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("ERIOS_HOME", str(folder / "home"))
    monkeypatch.setenv("ERIOS_LOAD__BUCKETS", "4")
    load_inline([folder / "in"])
    return folder / "home"


def _values(home: Path, table: str, *columns: str) -> list[tuple[Any, ...]]:
    return sorted(open_release(home / "warehouse").duckdb(table).select(*columns).fetchall(), key=repr)


def _observation(number: str, system: str | None, code: str, **more: object) -> str:
    coding = {"code": code, "display": "Dupont-Lajoie"} | ({"system": system} if system else {})
    resource = {"resourceType": "Observation", "id": number, "status": "final", "code": {"coding": [coding]}}
    return json.dumps({**resource, "subject": {"reference": "Patient/p1"}, **more})


@pytest.mark.skipif(not CASES.exists(), reason="no shared cases beside the checkout")
def test_identifiers_in_awkward_places_are_written_without_them(tmp_path, monkeypatch):
    home = _load(tmp_path, CASES.read_text(encoding="utf-8").splitlines(), monkeypatch)
    found = {
        (str(path.relative_to(home)), word)
        for path in home.rglob("*")
        if path.is_file() and path.relative_to(home).parts[0] not in ("landing", "identity")
        for data in _contents(path)
        for word in PLANTED
        if word.encode() in data
    }
    assert found == set()
    assert _values(home, "encounter", "class", "reason_display") == [("IMP", None)]
    assert _values(home, "patient", "country") == [(None,)]


def test_a_code_that_is_the_number_of_a_patient_is_a_pseudonym_everywhere(tmp_path, monkeypatch):
    identifiers = [{"system": "urn:ipp", "value": value} for value in (LIKE_ICD, LIKE_LOINC)]
    home = _load(
        tmp_path,
        [
            json.dumps({"resourceType": "Patient", "id": "p1", "identifier": identifiers}),
            _observation("o1", "http://loinc.org", LIKE_LOINC),
            _observation("o2", "http://loinc.org", "718-7"),
            _observation("o3", "http://hl7.org/fhir/sid/icd-10", LIKE_ICD),
        ],
        monkeypatch,
    )
    rows = _values(home, "observation", "code", "code_all")
    assert [code for code, _ in rows if not str(code).startswith("local-")] == ["718-7"]
    assert all([code] == every for code, every in rows)
    assert all(every[0] not in (LIKE_ICD, LIKE_LOINC) for _, every in rows)


@pytest.mark.parametrize(
    ("system", "code", "kept"),
    [
        ("http://loinc.org", "718-7", True),
        ("http://loinc.org", "718-8", False),  # the check digit is wrong
        ("http://hl7.org/fhir/sid/icd-10", "I50.1", True),
        ("http://hl7.org/fhir/sid/icd-10", "DUPONT", False),
        ("http://www.whocc.no/atc", "C09AA05", True),
        ("urn:oid:1.2.250.1.213.2.5", "DEQP003", True),
        ("http://unitsofmeasure.org", "mg/dL", True),
        ("http://unitsofmeasure.org", "mg{Mme Martin}", False),
        ("http://unitsofmeasure.org", "067.788.990", False),
        ("http://snomed.info/sct", "38341003", False),  # numeric: no list is loaded
        ("http://chu.example/labo", "I50.1", False),
        (None, "718-7", True),  # no system: the column's own
        (None, "KERVADEC", False),
    ],
)
def test_what_a_form_lets_pass(closed, system, code, kept):
    value = closed[system, code]
    assert value == code if kept else value.startswith("local-")


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    """(system, code) → what the warehouse has of it, for every case above."""
    cases = next(mark.args[1] for mark in test_what_a_form_lets_pass.pytestmark if mark.name == "parametrize")
    lines = [_observation(f"o{n}", system, code) for n, (system, code, _) in enumerate(cases)]
    folder = tmp_path_factory.mktemp("forms")
    with pytest.MonkeyPatch.context() as patch:
        home = _load(folder, [json.dumps({"resourceType": "Patient", "id": "p1"}), *lines], patch)
        keys = _keys(home, len(cases))
    return {(system, code): keys[n] for n, (system, code, _) in enumerate(cases)}


def _keys(home: Path, count: int) -> list[str]:
    from erios.keys import read_key
    from etl.privacy import pseudonym

    key = read_key(home / "identity" / "keyring.json")
    rows = dict(_values(home, "observation", "observation_key", "code"))
    return [str(rows[pseudonym(key, f"Observation/o{n}")]) for n in range(count)]
