"""The main job: faults of records, faults of batches, accounts, replays, and what a release opens as."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from etl.errors import BusyError, GateRefused, InputError
from etl.load_config import LoadConfig, Verdict
from etl.pipeline import LoadReport, load
from etl.task_runner import SparkRunner
from etl.warehouse.delta import commit_table, open_table
from etl.warehouse.release import exclusive, latest, open_release, release_ids

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from erios.settings import Settings

OPEN_GATE = Verdict(False, (), {"seconds": 0.0})
Loader = Callable[..., LoadReport]


@pytest.fixture
def plan(settings: Settings, keyring: Path) -> LoadConfig:
    from erios.workflows.load import load_config

    return load_config(settings)


@pytest.fixture
def run(plan: LoadConfig, spark: SparkSession) -> Loader:
    def loader(*paths: Path, verdict: Verdict = OPEN_GATE) -> LoadReport:
        return load(paths, plan, SparkRunner(spark), lambda _tables, _fresh, _batch: verdict)

    return loader


def patient(number: int, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": f"p{number}", "gender": "female", "birthDate": "1980-05-01", **more}


def line(resource: dict[str, Any]) -> bytes:
    return json.dumps(resource).encode() + b"\n"


def write(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"".join(lines))
    return path


GOOD = line(patient(1))
FAULTS: dict[str, tuple[bytes, str]] = {
    "not json": (b'{"resourceType": "Patient", \n', "not valid JSON"),
    "trailing comma": (b'{"resourceType":"Patient","id":"x","gender":"male",}\n', "not valid JSON"),
    "array": (b'[{"resourceType":"Patient","id":"x"}]\n', "JSON array"),
    "text": (b'"Patient"\n', "not an object"),
    "not utf-8": (b'{"resourceType":"Patient","id":"x","name":[{"family":"Ren\xe9"}]}\n', "not valid UTF-8"),
    "no type": (b'{"id":"x"}\n', "resourceType is missing"),
    "unknown type": (b'{"resourceType":"Patiant","id":"x"}\n', "not a type of FHIR R4"),
    "no id": (b'{"resourceType":"Patient","gender":"male"}\n', "id is missing"),
    "illegal id": (line(patient(2, id="a/b c")), "id is not legal"),
    "id of the wrong kind": (line(patient(2, id=12)), "Patient.id must be a JSON string"),
    "list for text": (line(patient(2, gender=["male"])), "Patient.gender must be a JSON string"),
    "text for list": (line(patient(2, name="Martin")), "Patient.name must be a JSON array"),
    "nested wrong kind": (line(patient(2, name=[{"given": "Anne"}])), "Patient.name.given must be a JSON array"),
    "text for boolean": (line(patient(2, active="yes")), "Patient.active must be a JSON boolean"),
    "impossible date": (line(patient(2, birthDate="1980-02-30")), "not a valid date"),
    "date in words": (line(patient(2, birthDate="May 1980")), "not a valid date"),
    "bad instant": (line(patient(2, meta={"lastUpdated": "yesterday"})), "meta.lastUpdated"),
    "key twice": (b'{"resourceType":"Patient","id":"x","id":"y"}\n', "'id' appears twice"),
    "STU3": (line(patient(2, animal={"species": {"text": "dog"}})), "STU3 has it"),
    "R5": (
        line({"resourceType": "Observation", "id": "o", "status": "final", "code": {}, "triggeredBy": []}),
        "R5 has it",
    ),
    "a number too long": (
        line({"resourceType": "Observation", "id": "o", "valueQuantity": {"value": 10**30}}),
        "not a valid decimal",
    ),
    "too deep": (b'{"resourceType":"Patient","id":"x","deep":' + b"[" * 10_000 + b"]" * 10_000 + b"}\n", "'deep'"),
}


def test_faulty_records_are_quarantined_with_their_reason_and_the_rest_loads(
    run: Loader, plan: LoadConfig, tmp_path: Path
) -> None:
    from etl.ingest.quarantine import refused

    report = run(write(tmp_path / "in.ndjson", GOOD, *(text for text, _ in FAULTS.values())))

    totals = report.to_dict()["totals"]
    assert (totals["in"], totals["written"], totals["quarantined"]) == (len(FAULTS) + 1, 1, len(FAULTS))
    reasons = {row.line: row.reason for row in refused(plan.zones.quarantine)}
    for number, (name, (_, reason)) in enumerate(FAULTS.items(), start=2):
        assert reason in reasons[number], name


def test_every_form_of_file_loads(run: Loader, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    write(folder / "bom.ndjson", b"\xef\xbb\xbf", line(patient(1)), b"\n  \n", line(patient(2)).replace(b"\n", b"\r\n"))
    (folder / "zip.ndjson.gz").write_bytes(gzip.compress(line(patient(3))))
    entries = [{"fullUrl": "urn:uuid:1", "resource": {k: v for k, v in patient(4).items() if k != "id"}}]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    (folder / "bundle.json").write_text(json.dumps(bundle, indent=2))
    (folder / "one.json").write_text(json.dumps(patient(5), indent=2))
    (folder / "read.me").write_text("not FHIR")

    report = run(folder)

    assert report.to_dict()["totals"]["written"] == 5
    assert report.passed_over == ("read.me",)


def test_a_line_of_50_mb_loads_and_one_beyond_the_limit_is_quarantined(run: Loader, tmp_path: Path) -> None:
    long, longer = (patient(n, name=[{"text": "a" * (megabytes << 20)}]) for n, megabytes in ((1, 50), (2, 65)))

    report = run(write(tmp_path / "in.ndjson", line(long), line(longer), line(patient(3))))

    totals = report.to_dict()["totals"]
    assert (totals["in"], totals["written"], totals["quarantined"]) == (3, 2, 1)


def test_references_in_bundles_and_to_contained_resources_resolve(
    run: Loader, plan: LoadConfig, tmp_path: Path
) -> None:
    encounter = {
        "resourceType": "Encounter",
        "id": "e1",
        "status": "finished",
        "class": {"code": "IMP"},
        "subject": {"reference": "urn:uuid:p"},
        "serviceProvider": {"reference": "#org"},
        "contained": [{"resourceType": "Organization", "id": "org", "name": "Service"}],
    }
    entries = [{"fullUrl": "urn:uuid:p", "resource": patient(1)}, {"fullUrl": "urn:uuid:e", "resource": encounter}]
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}))

    report = run(path)

    release = open_release(plan.zones.warehouse)
    found = release.polars("encounter").collect().row(0, named=True)
    assert found["patient_key"] == release.polars("patient").collect()["patient_key"][0]
    assert found["service_provider_key"] == release.polars("organization").collect()["organization_key"][0]
    assert report.to_dict()["totals"]["contained"] == 1


def test_references_by_identifier_resolve_to_the_resource(run: Loader, plan: LoadConfig, tmp_path: Path) -> None:
    identifier = {"system": "urn:oid:1.2.3", "value": "0042"}
    condition = {"resourceType": "Condition", "id": "c", "subject": {"type": "Patient", "identifier": identifier}}

    run(write(tmp_path / "in.ndjson", line(condition), line(patient(1, identifier=[identifier]))))

    release = open_release(plan.zones.warehouse)
    key = release.polars("patient").collect()["patient_key"][0]
    assert release.polars("condition").collect()["patient_key"].to_list() == [key]


def test_the_newest_version_wins_and_every_line_has_one_end(run: Loader, plan: LoadConfig, tmp_path: Path) -> None:
    old = patient(1, meta={"lastUpdated": "2024-01-01T00:00:00Z"}, gender="male")
    new = patient(1, meta={"lastUpdated": "2024-01-01T00:30:00-02:00"}, gender="female")

    report = run(write(tmp_path / "in.ndjson", line(new), line(old), line(new)))

    totals = report.to_dict()["totals"]
    assert [totals[end] for end in ("in", "written", "superseded", "duplicates")] == [3, 1, 1, 1]
    assert open_release(plan.zones.warehouse).polars("patient").collect()["gender"].to_list() == ["female"]


def test_a_replay_changes_nothing_and_a_correction_replaces_the_rows(
    run: Loader, plan: LoadConfig, tmp_path: Path
) -> None:
    condition = {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p1"}}
    first = run(write(tmp_path / "a.ndjson", line(patient(1)), line(patient(2)), line(condition)))
    replay = run(tmp_path / "a.ndjson")
    moved = {**condition, "subject": {"reference": "Patient/p2"}, "meta": {"lastUpdated": "2024-01-01T00:00:00Z"}}
    second = run(write(tmp_path / "b.ndjson", line(moved)))

    assert (replay.release, replay.new_release) == (first.release, False)
    assert replay.to_dict()["totals"]["duplicates"] == 3
    assert second.new_release
    assert open_release(plan.zones.warehouse, second.release).tables["condition"].rows == 1
    assert open_release(plan.zones.warehouse, first.release).tables["condition"].rows == 1


def test_a_deletion_removes_the_rows(run: Loader, plan: LoadConfig, tmp_path: Path) -> None:
    run(write(tmp_path / "a.ndjson", line(patient(1)), line(patient(2))))
    entry = {"request": {"method": "DELETE", "url": "Patient/p1"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}

    report = run(write(tmp_path / "deleted.ndjson", line(bundle)))

    assert report.to_dict()["totals"]["deleted"] == 1
    assert open_release(plan.zones.warehouse).tables["patient"].rows == 1


def _truncated(path: Path) -> Path:
    path.write_bytes(gzip.compress(GOOD * 1000)[:-20])
    return path


def _manifest(path: Path, **entry: Any) -> Path:
    path.mkdir()
    write(path / "Patient.ndjson", GOOD)
    (path / "manifest.json").write_text(json.dumps({"transactionTime": "2024-01-01T00:00:00Z", "output": [entry]}))
    return path


BATCH_FAULTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "truncated gzip": (lambda p: _truncated(p / "x.ndjson.gz"), "truncated gzip"),
    "missing path": (lambda p: p / "nowhere", "no such file or folder"),
    "empty folder": (lambda p: (p / "empty").mkdir() or p / "empty", "nothing to load"),  # type: ignore[func-returns-value]
    "listed file missing": (lambda p: _manifest(p / "m", url="Gone.ndjson"), "not in the export"),
    "short file": (lambda p: _manifest(p / "m", url="Patient.ndjson", count=7), "promises 7"),
}


@pytest.mark.parametrize("name", BATCH_FAULTS)
def test_a_faulty_batch_is_one_sentence_and_leaves_the_last_release(
    name: str, run: Loader, plan: LoadConfig, tmp_path: Path
) -> None:
    make, sentence = BATCH_FAULTS[name]
    run(write(tmp_path / "first.ndjson", GOOD))

    with pytest.raises(InputError, match=sentence):
        run(make(tmp_path))

    assert release_ids(plan.zones.warehouse) == ["r000001"]
    assert open_release(plan.zones.warehouse).polars("patient").collect().height == 1


def test_a_blocking_gate_leaves_the_last_release_and_no_new_file(run: Loader, plan: LoadConfig, tmp_path: Path) -> None:
    run(write(tmp_path / "a.ndjson", GOOD))
    before = sorted(plan.zones.warehouse.rglob("*.parquet"))

    with pytest.raises(GateRefused, match="two patients with one key"):
        run(
            write(tmp_path / "b.ndjson", line(patient(2))),
            verdict=Verdict(True, ("two patients with one key",), {}),
        )

    assert release_ids(plan.zones.warehouse) == ["r000001"]
    assert sorted(plan.zones.warehouse.rglob("*.parquet")) == before


def test_a_commit_without_a_release_is_rolled_back_by_the_next_load(
    run: Loader, plan: LoadConfig, tmp_path: Path
) -> None:
    from etl.warehouse.changes import TableChanges

    run(write(tmp_path / "a.ndjson", GOOD))
    release = latest(plan.zones.warehouse)
    assert release is not None
    table = next(t for t in plan.tables if t.name == "patient")
    gone = TableChanges("patient", removed=release.data_files("patient"))
    commit_table(plan.zones.warehouse, "patient", table.column_types(), gone, "killed")

    report = run(write(tmp_path / "b.ndjson", line(patient(2))))

    assert report.recovered == ("patient",)
    assert open_release(plan.zones.warehouse).tables["patient"].rows == 2


def test_a_second_writer_is_told_who_holds_the_warehouse(run: Loader, plan: LoadConfig, tmp_path: Path) -> None:
    with exclusive(plan.zones.warehouse), pytest.raises(BusyError, match=r"process [0-9]+ since 20"):
        run(write(tmp_path / "a.ndjson", GOOD))


def test_a_release_opens_in_every_engine(run: Loader, plan: LoadConfig, spark: SparkSession, tmp_path: Path) -> None:
    run(write(tmp_path / "a.ndjson", *(line(patient(n)) for n in range(20))))

    release = open_release(plan.zones.warehouse)

    assert release.polars("patient").collect().height == 20
    assert release.duckdb("patient").aggregate("count(*)").fetchall() == [(20,)]
    assert release.spark("patient", spark).count() == 20
    assert open_table(plan.zones.warehouse / "tables" / "patient").to_pyarrow_table().num_rows == 20
    assert release.spark("allergy", spark).count() == 0


def test_quarantine_explains_and_replays_after_a_fix(
    settings: Settings, run: Loader, plan: LoadConfig, tmp_path: Path
) -> None:
    from etl.ingest.quarantine import collect_for_replay, explain, find, refused

    run(write(tmp_path / "a.ndjson", GOOD, line(patient(2, gender=["male"])), b"{}\n"))

    rows = list(refused(plan.zones.quarantine))
    reasons = explain(find(plan.zones.quarantine, rows[0].id), plan.zones.landing)
    count = collect_for_replay(plan.zones.quarantine, plan.zones.landing, tmp_path / "again.ndjson")

    assert reasons[0] == "Patient.gender must be a JSON string"
    assert count == 2
    assert (tmp_path / "again.ndjson").read_bytes().splitlines()[1].strip() == b"{}"


def test_decimals_dates_and_zones_are_kept_exactly(run: Loader, plan: LoadConfig, tmp_path: Path) -> None:
    text = (
        b'{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},'
        b'"effectiveDateTime":"2024-03","issued":"2024-03-05T10:00:00.123+02:00",'
        b'"valueQuantity":{"value":1.123456789012345678}}\n'
    )

    run(write(tmp_path / "a.ndjson", text))

    row = open_release(plan.zones.warehouse).polars("observation").collect().row(0, named=True)
    assert row["value_quantity"] == Decimal("1.123456789012345678")
    assert (row["effective"], row["issued"]) == ("2024-03", "2024-03-05T10:00:00.123+02:00")
    assert row["issued_at"].isoformat() == "2024-03-05T08:00:00.123000+00:00"


@pytest.mark.slow
def test_the_whole_load_validates_a_generated_hospital(
    settings: Settings, keyring: Path, spark: SparkSession, tmp_path: Path
) -> None:
    from erios.workflows.load import load_export, validate_release
    from etl.synthetic import generate

    counts = generate(tmp_path / "export", 60, seed=3)

    report = load_export([tmp_path / "export"], settings)

    written = report.to_dict()["totals"]["written"] - report.to_dict()["totals"]["contained"]
    assert written == sum(counts.types.values())
    assert report.verdict is not None
    assert report.verdict.docs is not None
    assert Path(report.verdict.docs).is_file()
    assert validate_release(settings, report.release)[1].blocked is False
