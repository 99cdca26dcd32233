"""The inventory of what no view reads: places and counts, never a value."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from etl.errors import InputError
from etl.ingest.inventory import STRANGE, Inventory, take_inventory
from etl.views import ViewError

ROOT = Path(__file__).parents[4]
DATA = ROOT.parent / "shared" / "data"
BIRTHSEX = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex"
RACE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race"


@pytest.fixture
def views(tmp_path: Path) -> Path:
    """One view of Patient that reads an id, names' families, addresses' postcodes and two extensions."""
    paths = {
        "patient_key": "getResourceKey()",
        "family": "name.family.first()",
        "postcode": "address.postalCode.first()",
        "birth_sex": f"extension('{BIRTHSEX}').value.ofType(code).first()",
        "race": f"extension('{RACE}').extension('ombCategory').value.ofType(Coding).code.first()",
    }
    columns = [{"name": name, "path": path, "type": "string"} for name, path in paths.items()]
    view = {
        "resourceType": "ViewDefinition",
        "name": "patient",
        "status": "active",
        "resource": "Patient",
        "select": [{"column": columns}],
    }
    folder = tmp_path / "views"
    folder.mkdir()
    (folder / "patient.json").write_text(json.dumps(view))
    return folder


def export(folder: Path, *resources: dict, name: str = "export.ndjson") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(resource) + "\n" for resource in resources))
    return path


def unread(found: Inventory) -> list[tuple[str, str | None, int, int]]:
    return [(row.path, row.extension, row.count, row.resources) for row in found.rows]


def test_elements_read_by_a_view_are_not_listed_and_others_are_with_arrays_collapsed(tmp_path, views):
    path = export(
        tmp_path,
        {
            "resourceType": "Patient",
            "id": "1",
            "meta": {"versionId": "3", "profile": ["urn:p", "urn:q"]},
            "name": [{"family": "A", "given": ["B", "C"]}, {"family": "D", "given": ["E"]}],
            "contact": [{"name": {"family": "F"}}],
        },
        {"resourceType": "Patient", "id": "2", "name": [{"family": "G", "given": ["H"]}], "active": False},
    )

    assert unread(take_inventory(path, views)) == [
        ("Patient.active", None, 1, 1),
        ("Patient.contact.name.family", None, 1, 1),
        ("Patient.meta.profile", None, 2, 1),
        ("Patient.name.given", None, 4, 2),
    ]


def test_extension_is_listed_by_url_at_its_place_unless_a_view_names_it(tmp_path, views):
    path = export(
        tmp_path,
        {
            "resourceType": "Patient",
            "id": "1",
            "extension": [{"url": BIRTHSEX, "valueCode": "F"}, {"url": "urn:religion", "valueCode": "X"}],
            "address": [{"postalCode": "31000", "extension": [{"url": "urn:religion", "valueCode": "Y"}]}],
            "_birthDate": {"extension": [{"url": "urn:birth-time", "valueDateTime": "1950"}]},
        },
    )

    assert unread(take_inventory(path, views)) == [
        ("Patient.address.extension", "urn:religion", 1, 1),
        ("Patient.birthDate.extension", "urn:birth-time", 1, 1),
        ("Patient.extension", "urn:religion", 1, 1),
    ]


def test_part_of_a_complex_extension_that_no_view_reads_is_listed(tmp_path, views):
    race = {
        "url": RACE,
        "extension": [
            {"url": "ombCategory", "valueCoding": {"code": "2106-3", "display": "White"}},
            {"url": "text", "valueString": "White"},
        ],
    }

    found = take_inventory(export(tmp_path, {"resourceType": "Patient", "id": "1", "extension": [race]}), views)

    assert unread(found) == [
        (f"Patient.extension('{RACE}').extension", "text", 1, 1),
        (f"Patient.extension('{RACE}').extension('ombCategory').valueCoding.display", None, 1, 1),
    ]


def test_type_that_no_view_reads_is_listed_as_a_whole(tmp_path, views):
    claim = {"resourceType": "Claim", "id": "c", "total": {"value": 3}, "item": [{"sequence": 1}]}

    found = take_inventory(export(tmp_path, claim, claim), views)

    assert [(row.path, row.kind, row.count) for row in found.rows] == [("Claim", "resource", 2)]


def test_bundle_entries_and_contained_resources_are_looked_at_as_resources(tmp_path, views):
    inner = {"resourceType": "Patient", "id": "p", "active": True}
    claim = {"resourceType": "Claim", "id": "c", "contained": [inner]}
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": claim}, {"resource": inner}],
    }
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(bundle, indent=2))

    found = take_inventory(path, views)

    assert found.resources == {"Claim": 1, "Patient": 2}
    assert unread(found) == [("Claim", None, 1, 1), ("Patient.active", None, 2, 2)]


def test_folder_of_plain_and_gzip_files_is_added_up(tmp_path, views):
    folder = tmp_path / "export"
    folder.mkdir()
    patient = {"resourceType": "Patient", "id": "1", "active": True}
    export(folder, patient, patient, name="a.ndjson")
    (folder / "b.ndjson.gz").write_bytes(gzip.compress(json.dumps(patient).encode()))

    assert unread(take_inventory(folder, views)) == [("Patient.active", None, 3, 3)]


def test_report_never_shows_a_value_even_one_used_as_a_name_or_url(tmp_path, views):
    path = export(
        tmp_path,
        {
            "resourceType": "Patient",
            "id": "CANARY1",
            "gender": "CANARY2",
            "Mme CANARY3 Zoé": 1,
            "extension": [{"url": "CANARY4 Zoé", "valueString": "CANARY5"}, "CANARY6"],
        },
        {"resourceType": "CANARY7 Zoé"},
    )

    found = take_inventory(path, views)

    assert "CANARY" not in json.dumps(found.to_dict())
    assert f"Patient.{STRANGE}" in [row.path for row in found.rows]
    assert found.unreadable == 1


def test_unreadable_lines_are_counted_and_the_rest_is_looked_at(tmp_path, views):
    path = export(tmp_path, {"resourceType": "Patient", "id": "1", "active": True})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b'{"broken\n\n[1]\n\xff\n' + b"[" * 5000)

    found = take_inventory(path, views)

    assert (found.unreadable, found.resources) == (4, {"Patient": 1})


def test_deep_nesting_is_walked_without_recursion(tmp_path, views):
    path = export(tmp_path)
    path.write_text('{"resourceType": "Patient", "contact": ' + '{"name": ' * 900 + "1" + "}" * 901)

    (row,) = take_inventory(path, views).rows

    assert row.count == 1


def test_json_form_carries_every_row(tmp_path, views):
    found = take_inventory(export(tmp_path, {"resourceType": "Patient", "id": "1", "active": True}), views)

    assert found.to_dict() == {
        "resources": {"Patient": 1},
        "unreadable": 0,
        "rows": [
            {
                "path": "Patient.active",
                "type": "Patient",
                "kind": "element",
                "extension": None,
                "count": 1,
                "resources": 1,
            }
        ],
    }


def test_progress_ends_at_the_size_of_the_export(tmp_path, views):
    path = export(tmp_path, {"resourceType": "Patient", "id": "1"})
    seen = []

    take_inventory(path, views, progress=lambda *step: seen.append(step))

    assert seen == [("inventory", path.stat().st_size, path.stat().st_size)]


def test_missing_path_and_truncated_gzip_are_refused(tmp_path, views):
    cut = tmp_path / "cut.ndjson.gz"
    cut.write_bytes(gzip.compress(b'{"resourceType": "Patient"}\n' * 1000)[:-20])

    with pytest.raises(InputError, match=r"no such file or folder: .*nowhere"):
        take_inventory(tmp_path / "nowhere", views)
    with pytest.raises(InputError, match=r"cut\.ndjson\.gz is truncated or damaged gzip"):
        take_inventory(cut, views)


def test_folder_without_views_is_refused(tmp_path):
    path = export(tmp_path, {"resourceType": "Patient", "id": "1"})

    with pytest.raises(ViewError, match="no view"):
        take_inventory(path, tmp_path)


def test_synthea_export_lists_what_the_warehouse_leaves_behind():
    if not DATA.is_dir():
        pytest.skip(f"no sample exports at {DATA}")
    file = sorted((DATA / "synthea").glob("*.json.gz"))[0]

    rows = {(row.path, row.extension): row for row in take_inventory(file, ROOT / "conf" / "views").rows}

    maiden_name = "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName"
    assert rows["Patient.extension", maiden_name].count == 1
    assert rows["Patient.name.family", None].resources == 1
    assert rows["Claim", None].kind == "resource"
    assert ("Patient.birthDate", None) not in rows
    assert ("Observation.valueQuantity.value", None) not in rows
