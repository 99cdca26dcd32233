"""``format("fhir")``: rows of one view with their place, over splits as over a whole, and what it refuses."""

from __future__ import annotations

import gzip
import json

import pytest
from pyspark.errors import PySparkException

from erios.settings import PROJECT
from etl.ingest.landing import receive
from etl.ingest.spark_source import register, spark_schema
from etl.privacy import PseudonymKey, pseudonym
from etl.tables import load_tables

TABLES = load_tables(PROJECT / "conf" / "views")
CANARY = "Canari"


def _key():
    return PseudonymKey("k1", b"k" * 32)


@pytest.fixture(scope="module")
def landing(tmp_path_factory):
    """A landing zone of two batches: patients in small splits with a bad line, and a Bundle beside a gzip file."""
    folder = tmp_path_factory.mktemp("in")
    lines = [json.dumps({"resourceType": "Patient", "id": f"p{n}", "gender": "female"}) for n in range(20)]
    lines[7] = '{"resourceType":"Patient","id":"' + CANARY
    (folder / "a.ndjson").write_text("\n".join(lines))
    entries = [{"resource": {"resourceType": "Patient", "id": "b", "active": CANARY}}]
    (folder / "b.json").write_text(json.dumps({"resourceType": "Bundle", "entry": entries}, indent=1))
    other = json.dumps({"resourceType": "Encounter", "id": "e", "subject": {"reference": "Patient/p1"}})
    (folder / "c.ndjson.gz").write_bytes(gzip.compress(f"{lines[0]}\n{other}\n".encode()))
    for names in (["a.ndjson"], ["b.json", "c.ndjson.gz"]):
        receive([folder / name for name in names], folder / "landing", split_bytes=300)
    return folder / "landing"


@pytest.fixture
def fhir(spark):
    register(spark, TABLES, _key, buckets=4, max_line_bytes=1 << 20)
    return lambda view, path: spark.read.format("fhir").option("view", view).load(str(path))


def test_every_line_is_a_row_with_its_place_over_many_splits(fhir, landing):
    (first, *_) = sorted(landing.glob("b000001-*"))
    frame = fhir("patient", first)
    rows = frame.collect()
    assert frame.rdd.getNumPartitions() > 1
    assert sorted(row["_line"] for row in rows) == list(range(1, 21))
    keys = {row["_line"]: row["patient_key"] for row in rows}
    assert keys == {n + 1: None if n == 7 else pseudonym(_key(), f"Patient/p{n}") for n in range(20)}


def test_a_landing_zone_is_all_of_its_batches(fhir, landing):
    rows = fhir("patient", landing).collect()
    assert len(rows) == 22
    assert sorted((row["_file"], row["_line"], row["_problem"]) for row in rows if row["_problem"]) == [
        ("000001", 1, "Patient.active must be a JSON boolean"),
        ("000001", 8, "the line is not valid JSON"),
    ]
    assert CANARY not in str(rows)


def test_a_view_reads_its_own_resource_type(fhir, landing):
    rows = [row for row in fhir("encounter", landing).collect() if not row["_problem"]]
    assert [(row["_file"], row["_line"], row["patient_key"]) for row in rows] == [
        ("000002.gz", 2, pseudonym(_key(), "Patient/p1"))
    ]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_spark_reads_the_schema_of_every_table(spark, table):
    schema = spark.createDataFrame([], spark_schema(table)).schema
    assert schema.fieldNames() == [*table.column_types(), "_file", "_line", "_problem"]


def test_an_unknown_view_names_those_there(fhir, landing):
    with pytest.raises(PySparkException, match="no view 'patients'; views: allergy, condition"):
        fhir("patients", landing)


def test_a_folder_that_is_no_landing_zone_is_refused(fhir, tmp_path):
    with pytest.raises(PySparkException, match="is neither a landed batch nor a landing zone"):
        fhir("patient", tmp_path).collect()


def test_neither_the_plan_nor_the_reader_holds_the_key(fhir, landing):
    plan = fhir("patient", landing)._jdf.queryExecution().toString()
    assert ("patient_key" in plan, "kkkk" in plan, CANARY in plan) == (True, False, False)
