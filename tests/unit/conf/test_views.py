"""The warehouse's views: complete, documented, decided on, and true to the records they read."""

from __future__ import annotations

import gzip
import itertools
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import duckdb
import orjson
import pytest

from etl.privacy import RULES
from etl.views import compile_view, load_view
from etl.warehouse_reference import row_key, warehouse_page

ROOT = Path(__file__).parents[3]
VIEWS = ROOT / "conf" / "views"
DATA = ROOT.parent / "shared" / "data"
DEFINITIONS = {file.stem: json.loads(file.read_text()) for file in sorted(VIEWS.glob("*.json"))}
TABLES = sorted(DEFINITIONS)
IDENTIFYING = {
    "district",
    "alias",
    "attachment",
    "comment",
    "conclusion",
    "contact",
    "data",
    "description",
    "div",
    "endpoint",
    "family",
    "given",
    "hash",
    "identifier",
    "line",
    "city",
    "name",
    "note",
    "patientInstruction",
    "photo",
    "position",
    "serialNumber",
    "telecom",
    "text",
    "title",
    "uid",
    "url",
}
"""Elements that name a person, a place or a number of theirs, or hold free text; no column may keep them."""
ATTACHMENT_FACTS = {"contentType", "language", "size", "creation"}


def columns_of(node: dict, within: str = "") -> Iterator[tuple[str, dict]]:
    """(surrounding forEach path, column) of a definition, in order."""
    inside = node.get("forEach") or node.get("forEachOrNull") or within
    for column in node.get("column", []):
        yield inside, column
    for child in [*node.get("select", []), *node.get("unionAll", [])]:
        yield from columns_of(child, inside)


def tags_of(column: dict) -> dict[str, str]:
    return {tag["name"]: tag["value"] for tag in column["tag"]}


def columns(table: str) -> Iterator[tuple[str, dict, dict[str, str]]]:
    """(full name, column, its tags) of every column of a table."""
    for _, column in columns_of(DEFINITIONS[table]):
        yield f"{table}.{column['name']}", column, tags_of(column)


@cache
def compiled(table: str):
    return compile_view(load_view(VIEWS / f"{table}.json"))


def test_every_table_of_the_design_is_there():
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^The tables that the product ships: ([\w,\s]+)\.$", design, re.MULTILINE)
    shipped = listed.replace(",", "").split()

    assert len(shipped) == 20
    assert [table for table in shipped if table not in TABLES] == []


@pytest.mark.parametrize("table", TABLES)
def test_view_compiles_with_its_columns_in_order_of_definition(table):
    defined = list(dict.fromkeys(column["name"] for _, column in columns_of(DEFINITIONS[table])))

    assert [column.name for column in compiled(table).columns] == defined


@pytest.mark.parametrize("table", TABLES)
def test_view_is_described_and_named_like_its_file(table):
    definition = DEFINITIONS[table]

    assert definition["resourceType"] == "ViewDefinition"
    assert definition["name"] == table
    assert definition["fhirVersion"] == ["4.0.1"]
    assert definition["status"] == "active"
    assert definition["title"]
    assert definition["description"].endswith(".")


@pytest.mark.parametrize("table", TABLES)
def test_first_column_is_the_pseudonymised_key_of_the_record(table):
    first = compiled(table).columns[0]

    assert (first.name, first.path, first.privacy) == (f"{table}_key", "getResourceKey()", "pseudonym")


@pytest.mark.parametrize("table", TABLES)
def test_every_column_is_documented_and_decided_on(table):
    for name, column, tags in columns(table):
        assert tags.get("erios/privacy") in RULES, name
        assert tags.get("erios/title"), name
        assert column["description"].endswith("."), name
        assert column["type"], name


@pytest.mark.parametrize("table", TABLES)
def test_every_coded_column_names_its_code_system(table):
    coded = {name: tags.get("erios/system", "") for name, column, tags in columns(table) if column["type"] == "code"}

    assert [name for name, system in coded.items() if not re.fullmatch(r"(https?://|urn:)\S+", system)] == []


@pytest.mark.parametrize("table", TABLES)
def test_every_key_is_a_pseudonym_and_every_pseudonym_a_key(table):
    for column in compiled(table).columns:
        is_key = column.name.endswith(("_key", "_keys"))
        assert is_key == (column.privacy == "pseudonym"), column.name
        assert is_key == ("Key(" in column.path or re.search(r"\buid\b|\bidentifier\b", column.path) is not None), (
            column.name
        )


@pytest.mark.parametrize("table", TABLES)
def test_key_joins_to_a_table_that_exists_and_says_which(table):
    for column in compiled(table).columns[1:]:
        if "getReferenceKey" in column.path:
            target = re.search(r"joins to (\w+)\.(\w+)\.", column.description or "")
            assert target, column.name
            assert target[1] in TABLES
            assert compiled(target[1]).columns[0].name == target[2]


def identifying_words(column: dict, rule: str) -> set[str]:
    """Words of a column's path that no column under ``rule`` may read."""
    words = set(re.findall(r"[A-Za-z_]+", re.sub(r"'[^']*'", "", column["path"])))
    if words & ATTACHMENT_FACTS:
        words -= {"attachment"}
    if rule == "drop-unless-extract":
        words -= {"text", "name"}
    free_text = {"string"} if "ofType" in words and "string" in words and rule != "word" else set()
    return (words & IDENTIFYING) | free_text


@pytest.mark.parametrize("table", TABLES)
def test_no_column_that_is_kept_reads_anything_identifying(table):
    rules = {name: (column, tags["erios/privacy"]) for name, column, tags in columns(table)}
    kept = {name: pair for name, pair in rules.items() if pair[1] not in ("note", "pseudonym")}

    assert {name: words for name, pair in kept.items() if (words := identifying_words(*pair))} == {}


def test_identifying_words_finds_a_planted_name():
    assert identifying_words({"path": "name.family.first()"}, "keep") == {"name", "family"}
    assert identifying_words({"path": "value.ofType(string)"}, "keep") == {"string"}
    assert identifying_words({"path": "code.text"}, "drop-unless-extract") == set()


def test_names_in_the_warehouse_are_of_places_only_and_never_kept_as_is():
    named = {
        name: tags["erios/privacy"]
        for table in TABLES
        for name, column, tags in columns(table)
        if re.search(r"\bname\b", column["path"])
    }

    assert named == {"location.name": "drop-unless-extract", "organization.name": "drop-unless-extract"}


def test_birth_date_is_cut_to_the_month_and_death_to_the_day():
    rules = {column.name: column.privacy for column in compiled("patient").columns}

    assert rules["birth_date"] == rules["birth_on"] == "date:month"
    assert rules["deceased_date"] == rules["deceased_on"] == "date:day"


@pytest.mark.parametrize("table", TABLES)
def test_typed_date_has_a_twin_that_keeps_the_fhir_text_under_the_same_rule(table):
    named = {column.name: column for column in compiled(table).columns}
    for name, typed in named.items():
        if "ansi/type" not in typed.tags:
            continue
        stem, suffix = name.rsplit("_", 1)
        twin = named.get(f"{stem}_date") or named[stem]
        assert (suffix, typed.sql_type) in {("at", "TIMESTAMP WITH TIME ZONE"), ("on", "DATE")}
        assert (twin.path, twin.privacy, twin.sql_type) == (typed.path, typed.privacy, "VARCHAR")


@pytest.mark.parametrize("table", TABLES)
def test_note_columns_say_so_in_their_name(table):
    noted = [c.name for c in compiled(table).columns if c.privacy == "note"]

    assert [name for name in noted if name != "note" and not name.endswith("_note")] == []


def run(table: str, records: list[dict]) -> list[dict]:
    """The rows of a view over records, as DuckDB gives them."""
    view = compiled(table)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE TABLE line (text VARCHAR)")
        texts = [(orjson.dumps(record).decode(),) for record in records]
        if texts:
            connection.executemany("INSERT INTO line VALUES (?)", texts)
        structure = json.dumps(view.structure).replace("'", "''")
        source = f"(SELECT from_json(text, '{structure}') AS r FROM line)"
        rows: list[dict] = connection.sql(view.sql(source)).to_arrow_table().to_pylist()
        return rows


def filled(row: dict) -> dict:
    """The columns of a row that hold something."""
    return {name: value for name, value in row.items() if value not in (None, [])}


FR_CORE = "https://hl7.fr/ig/fhir/core/StructureDefinition"


def test_patient_of_the_french_core_profile():
    patient = {
        "resourceType": "Patient",
        "id": "p1",
        "extension": [
            {
                "url": f"{FR_CORE}/fr-core-identity-reliability",
                "extension": [
                    {
                        "url": "identityStatus",
                        "valueCoding": {"system": f"{FR_CORE}/fr-core-cs-identity-status", "code": "VALI"},
                    }
                ],
            }
        ],
        "name": [{"family": "Canari", "given": ["Zoé"]}],
        "gender": "female",
        "birthDate": "1950-03",
        "deceasedDateTime": "2024-02-29T23:30:00+01:00",
        "address": [
            {"use": "old", "postalCode": "75013", "country": "FRA"},
            {"use": "home", "line": ["1 rue du Canari"], "postalCode": "20169", "country": "FRA"},
        ],
        "maritalStatus": {"coding": [{"code": "W"}]},
        "link": [{"other": {"reference": "Patient/p0"}, "type": "replaces"}],
    }

    (row,) = run("patient", [patient])

    assert {name: str(value) for name, value in filled(row).items()} == {
        "patient_key": "Patient/p1",
        "gender": "female",
        "birth_date": "1950-03",
        "birth_on": "1950-03-01",
        "deceased": "True",
        "deceased_date": "2024-02-29T23:30:00+01:00",
        "deceased_on": "2024-02-29",
        "marital_status": "W",
        "departement": "20169",
        "country": "FRA",
        "identity_status": "VALI",
    }


@pytest.mark.parametrize(
    ("death", "deceased"),
    [
        ({}, False),
        ({"deceasedBoolean": False}, False),
        ({"deceasedBoolean": True}, True),
        ({"deceasedDateTime": "2024"}, True),
    ],
)
def test_patient_is_deceased_when_the_record_says_so_either_way(death, deceased):
    (row,) = run("patient", [{"resourceType": "Patient", "id": "p", **death}])

    assert row["deceased"] is deceased


def test_blood_pressure_gives_one_row_for_the_whole_and_one_per_component():
    def part(code: str, value: float) -> dict:
        coding = [{"system": "http://loinc.org", "code": code}]
        unit = {"unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}
        return {"code": {"coding": coding}, "valueQuantity": {"value": value, **unit}}

    observation = {
        "resourceType": "Observation",
        "id": "o1",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": "2024-05-01T08:00:00+02:00",
        "component": [part("8480-6", 120.5), part("8462-4", 80)],
    }

    rows = sorted(run("observation", [observation]), key=lambda row: row["component_index"])

    shown = ("component_index", "code_loinc", "value_quantity", "value_unit_code", "effective")
    assert [tuple(None if row[name] is None else str(row[name]) for name in shown) for row in rows] == [
        ("-1", "85354-9", None, None, "2024-05-01T08:00:00+02:00"),
        ("0", "8480-6", "120.5000000000000000000000", "mm[Hg]", "2024-05-01T08:00:00+02:00"),
        ("1", "8462-4", "80.0000000000000000000000", "mm[Hg]", "2024-05-01T08:00:00+02:00"),
    ]
    assert {row["observation_key"] for row in rows} == {"Observation/o1"}
    assert {row["patient_key"] for row in rows} == {"Patient/p1"}
    assert {str(row["effective_at"]) for row in rows} == {"2024-05-01 06:00:00+00:00"}


def test_imaging_study_gives_a_row_per_series_and_one_when_it_has_none():
    study = {"resourceType": "ImagingStudy", "status": "available", "subject": {"reference": "Patient/p"}}
    series = [{"uid": "1.2.3", "modality": {"code": "CT"}}, {"uid": "1.2.4", "modality": {"code": "MR"}}]

    rows = run("imaging_series", [{**study, "id": "a", "series": series}, {**study, "id": "b"}])

    shown = ("imaging_series_key", "series_index", "series_uid_key", "modality")
    assert sorted(tuple(row[name] for name in shown) for row in rows) == [
        ("ImagingStudy/a", 0, "1.2.3", "CT"),
        ("ImagingStudy/a", 1, "1.2.4", "MR"),
        ("ImagingStudy/b", 0, None, None),
    ]


def test_movements_of_a_stay_are_lists_in_the_order_of_the_record():
    stay = {
        "resourceType": "Encounter",
        "id": "e",
        "status": "finished",
        "class": {"code": "IMP"},
        "location": [
            {
                "location": {"reference": f"Location/{unit}"},
                "period": {"start": day, "end": f"{day}T12:00:00Z"},
            }
            for unit, day in [("urg", "2024-01-01"), ("rea", "2024-01-02")]
        ],
        "diagnosis": [
            {"condition": {"reference": "Condition/das"}, "rank": 2},
            {"condition": {"reference": "Condition/dp"}, "rank": 1},
        ],
    }

    (row,) = run("encounter", [stay])

    assert row["location_keys"] == ["Location/urg", "Location/rea"]
    assert row["location_starts"] == ["2024-01-01", "2024-01-02"]
    assert row["location_key"] == "Location/urg"
    assert row["diagnosis_keys"] == ["Condition/das", "Condition/dp"]
    assert row["principal_diagnosis_key"] == "Condition/dp"


def test_medication_codes_are_found_by_their_system_wherever_they_stand():
    codings = [
        {"system": "urn:local", "code": "42", "display": "AMOX 1G"},
        {"system": "http://www.whocc.no/atc", "code": "J01CA04"},
        {"system": "http://data.esante.gouv.fr/ansm/medicament/UCD", "code": "9000011"},
    ]
    request = {
        "resourceType": "MedicationRequest",
        "id": "m",
        "medicationCodeableConcept": {"coding": codings},
        "dosageInstruction": [{"doseAndRate": [{"doseQuantity": {"value": 1.10, "unit": "g"}}]}],
    }

    (row,) = run("medication_request", [request])

    assert (row["medication"], row["medication_system"]) == ("42", "urn:local")
    assert (row["medication_atc"], row["medication_ucd"]) == ("J01CA04", "9000011")
    assert row["medication_all"] == ["42", "J01CA04", "9000011"]
    assert (str(row["dose_value"]), row["dose_unit"]) == ("1.1000000000000000000000", "g")


def rows_expected(table: str, record: dict) -> int:
    """Independent count: what the descriptions promise, in plain Python."""
    if table == "observation":
        return 1 + len(record.get("component", []))
    return max(1, len(record.get("series", []))) if table == "imaging_series" else 1


def mimic(lines: int) -> Iterator[dict]:
    for file in sorted((DATA / "mimic-iv-demo-fhir").glob("*.ndjson.gz")):
        with gzip.open(file) as handle:
            yield from map(orjson.loads, itertools.islice(handle, lines))


def synthea(bundles: int) -> Iterator[dict]:
    for file in sorted((DATA / "synthea").glob("*.json.gz"))[:bundles]:
        bundle = orjson.loads(gzip.decompress(file.read_bytes()))
        yield from (entry["resource"] for entry in bundle["entry"])


@pytest.fixture(scope="module")
def sample() -> dict[str, list[dict]]:
    """Real records by type, each once (Synthea's bundles repeat organizations)."""
    if not DATA.is_dir():
        pytest.skip(f"no sample exports at {DATA}")
    records: dict[str, dict[str, dict]] = {}
    for record in itertools.chain(mimic(300), synthea(6)):
        records.setdefault(record["resourceType"], {})[record["id"]] = record
    return {kind: list(by_id.values()) for kind, by_id in records.items()}


@pytest.mark.parametrize("table", TABLES)
def test_rows_of_real_records_are_as_many_as_counted_and_unique_on_the_row_key(table, sample):
    records = sample.get(DEFINITIONS[table]["resource"], [])
    names = row_key(compiled(table).columns)

    rows = run(table, records)

    assert len(rows) == sum(rows_expected(table, record) for record in records)
    assert len({tuple(row[name] for name in names) for row in rows}) == len(rows)


def test_reference_page_is_current():
    page = (ROOT / "docs" / "warehouse.md").read_text()

    assert page == warehouse_page(VIEWS), (
        "run `python -m etl.warehouse_reference conf/views docs/warehouse.md` after changing a view"
    )
