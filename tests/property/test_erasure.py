"""After an erasure nothing of the patient is left in any kept file, and everything of the others is."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from etl.erasure import Erasure, erase, scan
from etl.errors import InputError
from etl.ingest.bundles import expand
from etl.ingest.landing import batch_ids
from etl.load_config import LoadConfig
from etl.pipeline import load, rebuild
from etl.privacy import pseudonym
from etl.warehouse.release import open_release, release_ids
from tests.inline import InlineRunner
from tests.property.test_living_warehouse import KEY, SYSTEM, Warehouse, open_gate

pytestmark = pytest.mark.slow
GONE, STAYS = "Patient/erased-1", "Patient/stays-1"


def _patient(reference: str, day: int, **more: Any) -> dict[str, Any]:
    identifier = [{"system": SYSTEM, "value": f"ipp-{reference[-9:]}"}]
    meta = {"lastUpdated": f"2030-01-0{day}T00:00:00Z", "versionId": str(day)}
    id = reference.split("/")[1]
    return {"resourceType": "Patient", "id": id, "meta": meta, "identifier": identifier, "birthDate": "1960", **more}


def _encounter(id: str, reference: str, day: int, **more: Any) -> dict[str, Any]:
    meta = {"lastUpdated": f"2030-01-0{day}T00:00:00Z", "versionId": str(day)}
    subject = {"reference": reference}
    return {"resourceType": "Encounter", "id": id, "meta": meta, "status": "finished", "subject": subject, **more}


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three releases: a first version of two patients, a newer one, and a Bundle, a gzip file and a refusal."""
    folder = tmp_path_factory.mktemp("lived")
    plan = replace(Warehouse(folder / "home").plan, file_rows=100)
    for day in (1, 2):
        resources = [
            _patient(GONE, day),
            _patient(STAYS, day),
            _encounter("e-erased", GONE, day),
            _encounter("e-named", f"Patient?identifier={SYSTEM}|ipp-{GONE[-9:]}", day),
            _encounter("e-stays", STAYS, day),
        ]
        _load(plan, folder / f"day{day}.ndjson", "\n".join(map(json.dumps, resources)).encode() + b"\n")
    entries = [{"resource": _encounter("e-bundle", GONE, 3)}, {"resource": _encounter("e-other", STAYS, 3)}]
    bundle = json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}, indent=2).encode()
    _load(plan, folder / "day3.json", bundle)
    refused = json.dumps({"resourceType": "Encounter", "id": "no good id", "subject": {"reference": GONE}})
    _load(plan, folder / "day4.ndjson.gz", gzip.compress(f"{json.dumps(_patient(STAYS, 4))}\n{refused}\n".encode()))
    return folder / "home"


@pytest.fixture
def plan(lived: Path, tmp_path: Path) -> LoadConfig:
    """A copy of them, the test's own."""
    shutil.copytree(lived, tmp_path / "home")
    return replace(Warehouse(tmp_path / "home").plan, file_rows=100)


def _load(plan: LoadConfig, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    load([path], plan, InlineRunner(), open_gate)


def _rows(plan: LoadConfig, release: str) -> set[tuple[Any, ...]]:
    relation = open_release(plan.zones.warehouse, release).duckdb("encounter")
    return set(relation.select("encounter_key", "patient_key", "_patient", "_last_updated").fetchall())


def test_nothing_is_left_in_any_kept_release_and_the_scan_finds_it_before(plan: LoadConfig) -> None:
    before = {r: _rows(plan, r) for r in release_ids(plan.zones.warehouse)}
    gone = {pseudonym(KEY, name) for name in (GONE, "Encounter/e-erased", "Encounter/e-named", "Encounter/e-bundle")}
    named = scan([plan.zones.warehouse], frozenset(gone))

    erasure = erase(plan, [GONE], landing=False)

    assert named.hits > 0
    assert erasure.before is not None
    assert erasure.before.hits >= named.hits
    assert scan([plan.zones.warehouse], frozenset(gone)).occurrences == {}
    assert erasure.after is not None
    assert erasure.after.occurrences == {}
    for release, rows in before.items():
        assert _rows(plan, release) == {row for row in rows if not gone.intersection(map(str, row))}
        assert open_release(plan.zones.warehouse, release).tables["patient"].rows == 1


def test_the_scan_finds_a_pseudonym_that_is_left(plan: LoadConfig, tmp_path: Path) -> None:
    (plan.zones.warehouse / "forgotten.txt").write_text(pseudonym(KEY, GONE))

    erasure = erase(plan, [GONE], landing=False)

    assert erasure.after is not None
    assert list(erasure.after.occurrences) == [str(plan.zones.warehouse / "forgotten.txt")]


def test_landing_and_quarantine_keep_the_others_line_by_line(plan: LoadConfig) -> None:
    wanted = {STAYS.encode(): 3, b"e-stays": 2, b"e-other": 1}

    erasure = erase(plan, [GONE], landing=True)

    texts = b"".join(_landed(plan))
    assert b"erased" not in texts
    assert {word: texts.count(word) for word in wanted} == wanted
    assert erasure.redacted.landed == 8
    assert erasure.redacted.quarantined == 1
    assert [doc.part for doc in expand(_landed(plan)[-2])] == ["entry[1]"]
    report = rebuild(plan, InlineRunner(), open_gate)
    assert report.to_dict()["totals"]["quarantined"] == 0
    assert len(_rows(plan, str(report.release))) == 2


def test_an_erasure_that_is_not_recorded_has_not_ended(plan: LoadConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill while the report is written: the same command takes it up again and records what the scan finds."""
    monkeypatch.setattr(
        "etl.merge.merge_tasks.shutil.rmtree", lambda *_, **__: None
    )  # a killed process tidies nothing up
    recorded: list[Erasure] = []

    def killed(_: Erasure) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        erase(plan, [GONE], landing=False, done=killed)
    monkeypatch.undo()
    erase(plan, [GONE], landing=False, done=recorded.append)

    (erasure,) = recorded
    assert erasure.after is not None
    assert erasure.after.occurrences == {}


def _landed(plan: LoadConfig) -> list[bytes]:
    folder = plan.zones.landing
    files = [path for name in batch_ids(folder) for path in (folder / name).glob("0*")]
    return [gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in files]


def test_somebody_unknown_is_one_sentence(plan: LoadConfig) -> None:
    with pytest.raises(InputError, match="no kept release has a row of this patient"):
        erase(plan, ["Patient/nobody"], landing=False)
