"""Bad input: a record's fault is quarantined and the rest loads; a batch's fault leaves the last release alone."""

from __future__ import annotations

import gzip
import json

import pytest

from etl.errors import InputError, StorageError
from etl.ingest.quarantine import refused
from etl.warehouse.release import open_release, release_ids

GOOD = 3
DEEP = b'{"resourceType":"Patient","id":"deep","extension":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
FAULTS = {
    "cut short": (b'{"resourceType":"Patient","id":"x', "not valid JSON"),
    "not JSON": (b"Bonjour", "not valid JSON"),
    "two values": (b'{"resourceType":"Patient","id":"a"} {"resourceType":"Patient","id":"b"}', "not valid JSON"),
    "invalid UTF-8": (b'{"resourceType":"Patient","id":"u","name":[{"family":"\xff\xfe"}]}', "UTF-8"),
    "an array": (b'[{"resourceType":"Patient","id":"x"}]', "JSON array"),
    "a number": (b"42", "not an object"),
    "a string": (b'"Patient"', "not an object"),
    "null": (b"null", "not an object"),
    "nested 10,000 deep": (DEEP, ""),
    "duplicate key": (b'{"resourceType":"Patient","id":"k","gender":"male","gender":"female"}', "twice"),
    "unknown type": (b'{"resourceType":"Patiant","id":"t"}', "not a type of FHIR R4"),
    "no type": (b'{"id":"t"}', "resourceType is missing"),
    "empty object": (b"{}", "resourceType is missing"),
    "no id": (b'{"resourceType":"Patient"}', "id is missing"),
    "illegal id": (b'{"resourceType":"Patient","id":"a b"}', "id is not legal"),
    "long id": (b'{"resourceType":"Patient","id":"' + b"a" * 65 + b'"}', "id is not legal"),
    "object for a list": (
        b'{"resourceType":"Patient","id":"w1","telecom":{"value":"X"}}',
        "Patient.telecom must be a JSON array",
    ),
    "text for a boolean": (b'{"resourceType":"Patient","id":"w2","active":"yes"}', "Patient.active must be a JSON"),
    "number for a text": (b'{"resourceType":"Patient","id":"w3","gender":1}', "Patient.gender must be a JSON"),
    "number for an id": (b'{"resourceType":"Patient","id":7}', "Patient.id must be a JSON string"),
    "list for an object": (
        b'{"resourceType":"Encounter","id":"w4","status":"finished","class":[],"period":[]}',
        "must be a JSON object",
    ),
    "impossible date": (b'{"resourceType":"Patient","id":"d1","birthDate":"2001-02-30"}', "birth"),
    "impossible month": (b'{"resourceType":"Patient","id":"d2","birthDate":"2001-13"}', "birth"),
    "impossible instant": (
        b'{"resourceType":"Patient","id":"d3","meta":{"lastUpdated":"2024-02-30T10:00:00Z"}}',
        "meta.lastUpdated is not an instant",
    ),
    "STU3": (
        b'{"resourceType":"Patient","id":"s1","animal":{"species":{"text":"dog"}}}',
        "'animal' is not an element of Patient in FHIR R4; STU3 has it",
    ),
    "R5": (
        b'{"resourceType":"Encounter","id":"s2","status":"completed","actualPeriod":{"start":"2024-01-01"}}',
        "'actualPeriod' is not an element of Encounter in FHIR R4; R5 has it",
    ),
    "NaN": (
        b'{"resourceType":"Observation","id":"n","status":"final","code":{},"valueQuantity":{"value":NaN}}',
        "not valid JSON",
    ),
}
"""Fault → (line, part of the reason)."""


@pytest.fixture(scope="module")
def dirty(module_settings, load, patient, write_ndjson, tmp_path_factory):
    """One batch of three good patients and every fault, a line each; → (report, line → reason, release)."""
    lines = [patient(f"good{n}") for n in range(GOOD)] + [line for line, _ in FAULTS.values()]
    path = write_ndjson(tmp_path_factory.mktemp("dirty") / "dirty.ndjson", lines)
    report = load([path], module_settings)
    rows = list(refused(module_settings.identity / "quarantine"))
    return report, {row.line: row.reason for row in rows}, open_release(module_settings.warehouse)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_record_with_a_fault_is_quarantined_with_its_reason(dirty, fault):
    _, reasons, _ = dirty
    line = GOOD + 1 + list(FAULTS).index(fault)
    assert FAULTS[fault][1] in reasons.get(line, "(accepted)")


def test_the_rest_of_a_dirty_batch_loads_and_balances(dirty):
    report, _, release = dirty
    totals = report.to_dict()["totals"]
    assert (totals["in"], totals["written"], totals["quarantined"]) == (GOOD + len(FAULTS), GOOD, len(FAULTS))
    assert release.duckdb("patient").count("*").fetchall() == [(GOOD,)]


def test_no_reason_quotes_a_value(dirty):
    _, reasons, _ = dirty
    text = " ".join(reasons.values())
    assert [value for value in ("2001-02-30", "Bonjour", "dog", "yes", "a b") if value in text.split()] == []


def test_nested_duplicate_keys_do_not_upset_the_batch(fresh, load, patient, write_ndjson, tmp_path):
    line = b'{"resourceType":"Patient","id":"k","maritalStatus":{"text":"a","text":"b"}}'
    report = load([write_ndjson(tmp_path / "x.ndjson", [patient("a"), line])], fresh(tmp_path / "home"))
    totals = report.to_dict()["totals"]
    assert totals["in"] == 2
    assert totals["written"] + totals["quarantined"] == 2


@pytest.mark.parametrize(
    ("spoil", "rows"),
    [
        (lambda lines: b"\xef\xbb\xbf" + lines, 2),
        (lambda lines: lines.replace(b"\n", b"\r\n"), 2),
        (lambda lines: b"\n\n" + lines.replace(b"\n", b"\n\n  \n\t\n"), 2),
        (lambda lines: lines.rstrip(b"\n"), 2),
        (gzip.compress, 2),
        (lambda lines: gzip.compress(lines[: len(lines) // 2]) + gzip.compress(lines[len(lines) // 2 :]), 2),
    ],
    ids=["BOM", "CRLF", "blank lines", "no last newline", "gzip", "two gzip members"],
)
def test_harmless_bytes_load_as_if_they_were_not_there(fresh, load, patient, tmp_path, spoil, rows):
    lines = b"".join(json.dumps(patient(name)).encode() + b"\n" for name in "ab")
    path = tmp_path / "odd.ndjson"
    path.write_bytes(spoil(lines))
    report = load([path], fresh(tmp_path / "home"))
    totals = report.to_dict()["totals"]
    assert (totals["in"], totals["written"], totals["quarantined"]) == (rows, rows, 0)


def _long_line(megabytes):
    filler = b"x" * (megabytes << 20)
    return b'{"resourceType":"Patient","id":"long","text":{"status":"generated","div":"' + filler + b'"}}'


@pytest.mark.slow
def test_a_line_of_50_mb_loads(fresh, load, patient, write_ndjson, tmp_path):
    path = write_ndjson(tmp_path / "long.ndjson", [patient("a"), _long_line(50), patient("b")])
    totals = load([path], fresh(tmp_path / "home")).to_dict()["totals"]
    assert (totals["in"], totals["written"]) == (3, 3)


def test_a_line_beyond_the_limit_is_quarantined(fresh, load, patient, write_ndjson, tmp_path):
    settings = fresh(tmp_path / "home", max_line_mb=1)
    path = write_ndjson(tmp_path / "long.ndjson", [patient("a"), _long_line(3), patient("b")])
    totals = load([path], settings).to_dict()["totals"]
    assert (totals["in"], totals["written"], totals["quarantined"]) == (3, 2, 1)
    assert [row.reason for row in refused(settings.identity / "quarantine")] == ["the line is longer than 1 MB"]


def test_the_same_resource_twice_in_a_batch_is_one_row_and_one_duplicate(fresh, load, patient, write_ndjson, tmp_path):
    settings = fresh(tmp_path / "home")
    report = load([write_ndjson(tmp_path / "x.ndjson", [patient("a"), patient("a")])], settings)
    totals = report.to_dict()["totals"]
    assert (totals["in"], totals["written"], totals["duplicates"]) == (2, 1, 1)


# A batch's fault: one sentence, and the last release stands.


@pytest.fixture(scope="module")
def released(tmp_path_factory, make_home, load, patient, write_ndjson):
    """Settings of a warehouse that has one release."""
    folder = tmp_path_factory.mktemp("released")
    settings = make_home(folder / "home")
    load([write_ndjson(folder / "first.ndjson", [patient("first")])], settings)
    return settings


def _check_untouched(settings):
    assert release_ids(settings.warehouse) == ["r000001"]
    assert open_release(settings.warehouse).duckdb("patient").count("*").fetchall() == [(1,)]
    assert not list(settings.landing.glob(".incoming*"))
    assert not (settings.warehouse / ".staging").exists()


def _truncated(folder, patient):
    whole = gzip.compress(b"".join(json.dumps(patient(f"p{n}")).encode() + b"\n" for n in range(2000)))
    (folder / "Patient.ndjson.gz").write_bytes(whole[: len(whole) // 2])
    return folder, "Patient.ndjson.gz is truncated gzip"


def _damaged(folder, patient):
    whole = bytearray(gzip.compress(b"".join(json.dumps(patient(f"p{n}")).encode() + b"\n" for n in range(2000))))
    whole[len(whole) // 2 :] = bytes(len(whole) - len(whole) // 2)
    (folder / "Patient.ndjson.gz").write_bytes(bytes(whole))
    return folder, "Patient.ndjson.gz is"


def _empty_folder(folder, patient):
    return folder, "nothing to load"


def _missing_path(folder, patient):
    return folder / "nowhere", "no such file or folder"


def _missing_file(folder, patient):
    entry = {"type": "Patient", "url": "https://example.org/export/Patient.ndjson"}
    (folder / "manifest.json").write_text(json.dumps({"transactionTime": "2024-01-01T00:00:00Z", "output": [entry]}))
    return folder, "lists Patient.ndjson, which is not in the export"


def _wrong_count(folder, patient):
    (folder / "Patient.ndjson").write_text(json.dumps(patient("a")) + "\n")
    entry = {"type": "Patient", "url": "https://example.org/export/Patient.ndjson", "count": 2}
    (folder / "manifest.json").write_text(json.dumps({"output": [entry]}))
    return folder, "the manifest promises 2 resources, the file holds 1"


@pytest.mark.parametrize("make", [_truncated, _damaged, _empty_folder, _missing_path, _missing_file, _wrong_count])
def test_an_export_that_is_not_whole_is_refused_and_the_release_stands(released, load, patient, tmp_path, make):
    folder = tmp_path / "export"
    folder.mkdir()
    path, sentence = make(folder, patient)
    with pytest.raises(InputError, match=sentence):
        load([path], released)
    _check_untouched(released)


def test_a_file_nobody_may_read_is_one_sentence(released, load, patient, write_ndjson, tmp_path, monkeypatch):
    """Root reads everything, so the refusal comes from the system call's place."""
    from pathlib import Path

    path = write_ndjson(tmp_path / "secret.ndjson", [patient("a")])
    real = Path.open

    def refuse(self, *arguments, **named):
        if self == path:
            raise PermissionError(13, "Permission denied", str(path))
        return real(self, *arguments, **named)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="no permission to read"):
        load([path], released)
    _check_untouched(released)


def test_a_full_disk_is_one_sentence(released, load, patient, write_ndjson, tmp_path):
    """The landing copy meets a real limit on the size of files, as it would meet the end of a disk."""
    import resource
    import signal

    path = write_ndjson(tmp_path / "big.ndjson", [patient(f"p{n}") for n in range(40_000)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(StorageError, match="cannot write the landing zone: a file size limit"):
            load([path], released)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    _check_untouched(released)


def test_a_disk_that_fills_while_tables_are_written_is_one_sentence(
    released, load, patient, write_ndjson, tmp_path, monkeypatch
):
    import etl.pipeline

    def full(*_arguments, **_named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(etl.pipeline, "merge_tables", full)
    with pytest.raises(StorageError, match="cannot write the warehouse zone: the disk is full"):
        load([write_ndjson(tmp_path / "more.ndjson", [patient("b")])], released)
    _check_untouched(released)
