"""The export's layout, its sameness, its bundles, its planted faults, and the truth for leak tests."""

from __future__ import annotations

import hashlib
from pathlib import Path

import orjson
import pytest
from fhir.resources.R4B.bundle import Bundle

from etl.errors import InputError
from etl.synthetic import generate, identifying_values, read_planted
from etl.synthetic.export import PEOPLE_PER_BATCH
from etl.synthetic.planted_faults import FAULTS


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def dirty(tmp_path_factory):
    out = tmp_path_factory.mktemp("dirty") / "out"
    counts = generate(out, 150, 11, dirty=0.08, workers=1)
    return out, counts, read_planted(out)


@pytest.mark.slow
def test_same_seed_gives_the_same_bytes_for_one_and_two_processes(tmp_path):
    people = PEOPLE_PER_BATCH + 20
    generate(tmp_path / "one", people, 2, dirty=0.01, workers=1)
    generate(tmp_path / "two", people, 2, dirty=0.01, workers=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_another_seed_gives_other_bytes(tmp_path):
    generate(tmp_path / "one", 5, 1)
    generate(tmp_path / "two", 5, 2)
    assert digests(tmp_path / "one")["Patient.000.ndjson"] != digests(tmp_path / "two")["Patient.000.ndjson"]


def test_the_manifest_lists_every_file_with_its_lines(clean):
    manifest = orjson.loads((clean / "manifest.json").read_bytes())
    listed = {entry["url"]: entry["count"] for entry in manifest["output"]}
    lines = {path.name: len(path.read_bytes().splitlines()) for path in clean.glob("*.ndjson")}
    assert listed == lines
    assert manifest["transactionTime"].startswith("2026-")
    assert manifest["deleted"] == manifest["error"] == []


def test_nothing_is_dated_after_the_export(clean, resources):
    made = orjson.loads((clean / "manifest.json").read_bytes())["transactionTime"][:10]
    for of_type in resources.values():
        assert max(one["meta"]["lastUpdated"] for one in of_type)[:10] <= made


def test_progress_hears_every_part(tmp_path):
    heard = []
    generate(tmp_path / "out", 3, 1, progress=lambda done, wanted: heard.append((done, wanted)))
    assert heard == [(3, 3)]


def test_bundles_are_valid_and_their_references_resolve(tmp_path, resources):
    counts = generate(tmp_path / "out", 4, 11, bundles=True)
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == [*(f"bundle-{index:07d}.json" for index in range(4)), "hospital.json"]
    structure = {
        f"{kind}/{one['id']}"
        for kind in ("Organization", "Location", "Practitioner", "Medication")
        for one in resources[kind]
    }
    total = 0
    for name in files:
        text = (tmp_path / "out" / name).read_bytes()
        bundle = orjson.loads(text)
        Bundle.model_validate(bundle)
        urls = {entry["fullUrl"] for entry in bundle["entry"]}
        total += len(urls)
        for piece in text.split(b'"reference":"')[1:]:
            target = piece.split(b'"', 1)[0].decode()
            assert target in urls or target in structure or target.startswith("#")
    assert counts.resources == total


@pytest.mark.parametrize(
    ("patients", "options", "words"),
    [
        (0, {}, "0 patients"),
        (1, {"dirty": 1.5}, "dirty rate 1.5"),
        (1, {"dirty": 0.1, "bundles": True}, "without bundles"),
    ],
)
def test_unfit_wishes_are_refused_in_words(tmp_path, patients, options, words):
    with pytest.raises(InputError, match=words):
        generate(tmp_path / "out", patients, 1, **options)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(InputError, match="not an empty folder"):
        generate(tmp_path, 1, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_list_of_faults_names_every_fault_and_the_clean_lines_stay(dirty, clean):
    out, counts, planted = dirty
    assert {fault.fault for fault in planted} == {fault.name for fault in FAULTS}
    assert sum(counts.planted.values()) == len(planted)
    assert 0.06 < len(planted) / counts.resources < 0.1
    corrupted = {(fault.file, fault.line) for fault in planted}
    for path in clean.glob("*.ndjson"):
        good = set(path.read_bytes().splitlines())
        for number, line in enumerate((out / path.name).read_bytes().splitlines(), 1):
            assert line in good or (path.name, number) in corrupted


def test_each_fault_is_where_the_list_says(dirty):
    out, _, planted = dirty
    files = {name: (out / name).read_bytes().splitlines() for name in {fault.file for fault in planted}}
    for fault in planted:
        line = files[fault.file][fault.line - 1]
        assert CHECKS[fault.fault](line, files[fault.file][fault.line - 2], fault)


def parsed(line: bytes):
    return orjson.loads(line)


def fails(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return True
    return False


CHECKS = {
    "invalid-json": lambda line, before, fault: fails(line),
    "not-utf-8": lambda line, before, fault: fails(line) and b"\xe9" in line,
    "missing-id": lambda line, before, fault: "id" not in parsed(line),
    "illegal-id": lambda line, before, fault: " / " in parsed(line)["id"],
    "wrong-json-type": lambda line, before, fault: b":42" in line or b'"name":"texte"' in line,
    "impossible-date": lambda line, before, fault: b'"2023-02-30"' in line,
    "unknown-type": lambda line, before, fault: parsed(line)["resourceType"] == fault.type + "Ancien",
    "unknown-element": lambda line, before, fault: parsed(line)["id"] == fault.id,
    "array-for-object": lambda line, before, fault: isinstance(parsed(line), list),
    "duplicate-key": lambda line, before, fault: (
        line.count(f'"id":"{fault.id}"'.encode()) == 1 and line.endswith(f'"id":"{fault.id[::-1]}"}}'.encode())
    ),
    "duplicate-line": lambda line, before, fault: line == before,
    "older-version": lambda line, before, fault: (
        parsed(line)["id"] == parsed(before)["id"]
        and parsed(line)["meta"]["lastUpdated"] < parsed(before)["meta"]["lastUpdated"]
    ),
    "death-before-birth": lambda line, before, fault: parsed(line)["deceasedDateTime"] < parsed(line)["birthDate"],
    "value-out-of-range": lambda line, before, fault: parsed(line)["valueQuantity"]["value"] == 99999,
    "male-pregnancy": lambda line, before, fault: parsed(line)["code"]["coding"][0]["code"] == "O80.0",
}


def test_the_truth_holds_what_identifies(clean, resources):
    truth = set(identifying_values(clean))
    patient, doctor = resources["Patient"][0], resources["Practitioner"][0]
    assert patient["id"] in truth
    assert {one["value"] for one in patient["identifier"]} <= truth
    assert patient["address"][0]["line"][0] in truth
    assert {one["value"] for one in patient["telecom"]} <= truth
    assert doctor["identifier"][0]["value"] in truth
    assert doctor["name"][0]["given"][0] in truth or len(doctor["name"][0]["given"][0]) < 4
    assert {one["id"] for of_type in resources.values() for one in of_type} <= truth
    assert min(map(len, truth)) >= 4


def test_the_truth_of_bundles_is_that_of_lines(tmp_path):
    generate(tmp_path / "lines", 6, 4)
    generate(tmp_path / "bundles", 6, 4, bundles=True)
    assert set(identifying_values(tmp_path / "lines")) == set(identifying_values(tmp_path / "bundles"))
