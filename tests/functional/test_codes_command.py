"""``erios codes`` as a data manager uses it: lists loaded, local codes seen on record, adopted from eleven on."""

from __future__ import annotations

import json

import pytest

from erios.audit import read_events
from erios.workflows.load import load_config
from etl.load_config import Verdict
from etl.pipeline import rebuild
from etl.warehouse.release import open_release
from tests.inline import InlineRunner, load_inline

LABORATORY = "http://chu.example/labo"
WARDS = "urn:erios:location.name"
NAME = "Cabinet du Dr Kervignac"


def _resources():
    yield {"resourceType": "Location", "id": "ward", "name": "Cardiologie"}
    yield {"resourceType": "Location", "id": "office", "name": NAME}
    for number in range(12):
        patient = {"reference": f"Patient/p{number}"}
        yield {"resourceType": "Patient", "id": f"p{number}", "gender": "female"}
        for place in ("ward", "office"):
            yield {
                "resourceType": "Encounter",
                "id": f"{place}{number}",
                "status": "finished",
                "class": {"code": "IMP"},
                "subject": patient,
                "location": [{"location": {"reference": f"Location/{place}"}}],
            }
        yield {
            "resourceType": "Observation",
            "id": f"o{number}",
            "status": "final",
            "subject": patient,
            "code": {"coding": [{"system": LABORATORY, "code": "HB", "display": "Hémoglobine"}]},
            "valueString": "  NÉGATIF ",
        }
    yield {
        "resourceType": "Observation",
        "id": "rare",
        "status": "final",
        "subject": {"reference": "Patient/p1"},
        "code": {
            "coding": [{"system": LABORATORY, "code": "DEM-KERVADEC"}, {"system": "http://loinc.org", "code": "2160-0"}]
        },
    }


@pytest.fixture(scope="module")
def loaded(module_settings, write_ndjson, tmp_path_factory):
    """A home with twelve patients, of whom one has a code of their own."""
    path = write_ndjson(tmp_path_factory.mktemp("in") / "all.ndjson", list(_resources()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ERIOS_HOME", str(module_settings.home))
        patch.setenv("ERIOS_LOAD__BUCKETS", "4")
        load_inline([path])
    return module_settings


def _values(settings, table, column):
    rows = open_release(settings.warehouse).duckdb(table).fetchall()
    names = open_release(settings.warehouse).duckdb(table).columns
    return sorted({row[names.index(column)] for row in rows} - {None})


def _rebuild(settings):
    rebuild(load_config(settings), InlineRunner(), lambda *_: Verdict(False, (), {}))


def test_a_result_in_words_is_kept_as_a_code(loaded):
    assert _values(loaded, "observation", "value_result") == ["negative"]


def test_local_codes_are_listed_with_their_patients_and_the_look_is_on_record(loaded, at_home, in_process):
    code, out, said = in_process("codes", "local", "--json")
    found = {(row["system"], row["code"]): row["patients"] for row in json.loads(out)}
    assert (code, said) == (0, "")
    assert found[LABORATORY, "HB"] == found[WARDS, "Cardiologie"] == found[WARDS, NAME] == 12
    assert found[LABORATORY, "DEM-KERVADEC"] == 1
    event = [event for event in read_events(loaded) if event.action == "codes.list"][-1]
    assert "KERVADEC" not in str(event)


def test_a_code_of_one_patient_and_a_name_are_not_adopted(loaded, at_home, in_process):
    code, _, said = in_process("codes", "adopt", LABORATORY, "--code", "DEM-KERVADEC")
    assert (code, "KERVADEC" in said) == (2, False)
    assert "fewer than 11 patients" in said


def test_what_is_adopted_is_readable_after_a_rebuild_and_nothing_else(loaded, at_home, in_process):
    for system in (LABORATORY, WARDS):
        assert in_process("codes", "adopt", system)[0] == 0
    _rebuild(loaded)
    codes = _values(loaded, "observation", "code")
    assert [code for code in codes if not code.startswith("local-")] == ["HB"]
    assert _values(loaded, "observation", "code_display") == ["Hémoglobine"]
    assert [name for name in _values(loaded, "location", "name") if not name.startswith("local-")] == ["Cardiologie"]
    assert LABORATORY in _values(loaded, "observation", "code_system")


def test_a_publishers_file_gives_codes_and_labels(loaded, at_home, in_process, tmp_path):
    (tmp_path / "Loinc.csv").write_text('"LOINC_NUM","LONG_COMMON_NAME"\n"2160-0","Creatinine"\n')
    code, out, _ = in_process("codes", "load", tmp_path / "Loinc.csv", "--version", "2.78", "--json")
    (entry,) = json.loads(out)
    assert (code, entry["system"], entry["version"], entry["codes"]) == (0, "http://loinc.org", "2.78", 1)
    code, out, _ = in_process("codes", "lists")
    assert (code, "Loinc.csv" in out) == (0, True)
    details = [event.details for event in read_events(loaded) if event.action == "codes.load"][-1]
    assert json.loads(details)["digest"] == entry["digest"]


def test_a_file_that_is_no_list_is_one_sentence(loaded, at_home, in_process, tmp_path):
    (tmp_path / "x.csv").write_text("a;b\n1;2\n")
    code, _, said = in_process("codes", "load", tmp_path / "x.csv")
    assert (code, said.count("\n")) == (3, 1)
    assert "no heading for its codes" in said
