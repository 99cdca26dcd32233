"""What a load accepts: Bundles of every type, manifests with deletions, contained resources; and real exports."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from etl.privacy import pseudonym
from etl.warehouse.release import open_release


def _entries(patients):
    return [{"fullUrl": f"urn:uuid:0000-{p['id']}", "resource": p} for p in patients]


@pytest.mark.parametrize("kind", ["transaction", "batch", "collection", "searchset", "document", "message", "history"])
@pytest.mark.parametrize("suffix", ["json", "ndjson"])
def test_a_bundle_of_every_type_loads(fresh, load, patient, tmp_path, kind, suffix):
    settings = fresh(tmp_path / "home")
    bundle = {"resourceType": "Bundle", "type": kind, "entry": _entries([patient("a"), patient("b")])}
    path = tmp_path / f"bundle.{suffix}"
    path.write_text(json.dumps(bundle, indent=1 if suffix == "json" else None))
    totals = load([path], settings).to_dict()["totals"]
    assert (totals["in"], totals["written"], totals["quarantined"]) == (2, 2, 0)


def test_a_history_with_a_delete_removes_the_resource(fresh, load, patient, write_ndjson, tmp_path):
    settings = fresh(tmp_path / "home")
    load([write_ndjson(tmp_path / "a.ndjson", [patient("a"), patient("b")])], settings)
    gone = [{"request": {"method": "DELETE", "url": "Patient/a"}}]
    path = write_ndjson(tmp_path / "h.ndjson", [{"resourceType": "Bundle", "type": "history", "entry": gone}])
    assert load([path], settings).to_dict()["totals"]["deleted"] == 1
    assert open_release(settings.warehouse).duckdb("patient").count("*").fetchall() == [(1,)]


def test_a_manifest_loads_what_it_lists_and_deletes_what_it_says(fresh, load, patient, write_ndjson, tmp_path):
    settings = fresh(tmp_path / "home")
    load([write_ndjson(tmp_path / "first.ndjson", [patient("a"), patient("b")])], settings)
    folder = tmp_path / "export"
    write_ndjson(folder / "Patient.ndjson", [patient("c")])
    write_ndjson(folder / "unlisted.ndjson", [patient("d")])
    entry = {"request": {"method": "DELETE", "url": "Patient/a"}}
    write_ndjson(folder / "del.ndjson", [{"resourceType": "Bundle", "type": "transaction", "entry": [entry]}])
    manifest = {
        "output": [{"type": "Patient", "url": "https://example.org/x/Patient.ndjson", "count": 1}],
        "deleted": [{"type": "Bundle", "url": "https://example.org/x/del.ndjson", "count": 1}],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    report = load([folder], settings)
    totals = report.to_dict()["totals"]
    assert (totals["in"], totals["written"], totals["deleted"]) == (2, 1, 1)
    assert report.passed_over == ("unlisted.ndjson",)


def test_a_malformed_bundle_is_quarantined_whole(fresh, load, patient, write_ndjson, tmp_path):
    bad = {"resourceType": "Bundle", "type": "batch", "entry": {"resource": patient("a")}}
    path = write_ndjson(tmp_path / "x.ndjson", [bad, patient("b")])
    totals = load([path], fresh(tmp_path / "home")).to_dict()["totals"]
    assert (totals["in"], totals["written"], totals["quarantined"]) == (2, 1, 1)


def test_references_of_every_form_find_their_patient(fresh, load, patient, write_ndjson, tmp_path):
    from erios.keys import read_key

    settings = fresh(tmp_path / "home")

    def stay(id, reference):
        return {
            "resourceType": "Encounter",
            "id": id,
            "status": "finished",
            "class": {"code": "IMP"},
            "subject": reference,
        }

    identifier = {"system": "urn:ipp", "value": "77"}
    entries = [
        *_entries([patient("a", identifier=[identifier])]),
        *(
            {"resource": stay(f"e{n}", reference)}
            for n, reference in enumerate(
                [
                    {"reference": "Patient/a"},
                    {"reference": "https://chu.example/fhir/Patient/a/_history/3"},
                    {"reference": "urn:uuid:0000-a"},
                    {"type": "Patient", "identifier": identifier},
                ]
            )
        ),
    ]
    path = write_ndjson(tmp_path / "x.ndjson", [{"resourceType": "Bundle", "type": "batch", "entry": entries}])
    load([path], settings)
    rows = open_release(settings.warehouse).duckdb("encounter").project("patient_key").fetchall()
    assert rows == [(pseudonym(read_key(settings.keyring), "Patient/a"),)] * 4


# Real exports, where they are at hand.


@pytest.fixture(scope="module")
def lines_by_type():
    """An independent count: one JSON a line, nothing of the loader's."""
    import gzip

    def count(folder):
        counts: Counter[str] = Counter()
        for path in sorted(folder.rglob("*.ndjson*")):
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
                counts.update(json.loads(line)["resourceType"] for line in lines if line.strip())
        return counts

    return count


@pytest.mark.slow
def test_every_resource_of_mimic_is_accounted_for(make_home, load, lines_by_type, shared, tmp_path):
    folder = shared / "data" / "mimic-iv-demo-fhir"
    settings = make_home(tmp_path / "home")
    report = load([folder], settings)
    counted = lines_by_type(folder)
    types = report.to_dict()["types"]
    assert report.to_dict()["totals"]["in"] == sum(counted.values()) == 152_346
    assert {name: account["in"] for name, account in types.items()} == dict(counted)
    assert report.to_dict()["totals"]["quarantined"] == 0
    release = open_release(settings.warehouse)
    for table, resource in (("patient", "Patient"), ("encounter", "Encounter"), ("procedure", "Procedure")):
        rows = release.duckdb(table).aggregate(f"count(DISTINCT {table}_key)").fetchall()
        assert (table, rows) == (table, [(counted[resource],)])


@pytest.mark.slow
def test_every_resource_of_synthea_is_accounted_for_and_its_references_resolve(make_home, load, shared, tmp_path):
    settings = make_home(tmp_path / "home")
    report = load([shared / "data" / "synthea"], settings)
    totals = report.to_dict()["totals"]
    assert (totals["in"], totals["contained"], totals["quarantined"]) == (14_155, 2_356, 0)
    release = open_release(settings.warehouse)
    known = {t: {row[0] for row in release.duckdb(t).project(f"{t}_key").fetchall()} for t in ("patient", "encounter")}
    lost = {
        (table, target): sum(
            row[0] not in known[target]
            for row in release.duckdb(table).filter(f"{target}_key IS NOT NULL").project(f"{target}_key").fetchall()
        )
        for table in release.names()
        for target in known
        if f"{target}_key" in release.duckdb(table).columns
    }
    assert {place: count for place, count in lost.items() if count} == {}
