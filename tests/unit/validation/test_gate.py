"""The gate on small Parquet files: what blocks, what warns, and what the pages show."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

import validation.gate
from validation import Severity, StagedTable, SuiteError, ValidationReport, check_tables

ROOT = Path(__file__).resolve().parents[3]
SUITES = ROOT / "conf" / "suites"
KEYS = [f"{number:032x}" for number in range(40)]
GOOD = {
    "patient_key": f"'{KEYS[1]}'",
    "gender": "'female'",
    "birth_date": "'1950-03'",
    "birth_on": "DATE '1950-03-01'",
    "deceased": "false",
    "deceased_date": "CAST(NULL AS VARCHAR)",
    "deceased_on": "CAST(NULL AS DATE)",
    "departement": "'35'",
    "multiple_birth_order": "1",
    "country": "'FR'",
    "contact_note": "CAST(NULL AS VARCHAR)",
}


def write(path: Path, query: str) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")


def patients(folder: Path, *faults: dict[str, str]) -> StagedTable:
    """A table of one good patient and one more for each set of SQL values that differ from the good one's."""
    rows = [GOOD, *({**GOOD, "patient_key": f"'{KEYS[place]}'", **f} for place, f in enumerate(faults, 2))]
    selects = [f"SELECT {', '.join(f'{sql} AS {name}' for name, sql in row.items())}" for row in rows]
    path = folder / "patient.parquet"
    write(path, " UNION ALL BY NAME ".join(selects))
    return StagedTable("patient", (str(path),))


def check(folder: Path, *faults: dict[str, str], suites: Path = SUITES) -> ValidationReport:
    return check_tables({"patient": patients(folder, *faults)}, suites, folder / "docs")


def suite(folder: Path, *expectations: dict[str, Any], **more: Any) -> Path:
    """A folder with one suite for patient."""
    (folder / "suites").mkdir()
    (folder / "suites" / "patient.json").write_text(json.dumps({"expectations": expectations, **more}))
    (folder / "suites" / "every_table.json").write_text(json.dumps({"expectations": []}))
    return folder / "suites"


def test_good_table_passes(tmp_path):
    report = check(tmp_path)

    assert all(report.sentences(severity) == () for severity in Severity)
    assert report.blocked is False
    assert {result.evaluated for result in report.results if result.expectation.endswith("not_be_null")} == {1}


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"patient_key": "'Patient/42'"}, "no pseudonym of 32 hexadecimal digits: 1, in patient_key."),
        ({"patient_key": "CAST(NULL AS VARCHAR)"}, "Rows without a key: 1."),
        ({"patient_key": f"'{KEYS[1]}'"}, "Rows whose key is there more than once: 2."),
        ({"country": "'anne.le-goff@chu.example.org'"}, "in clear text: 1, in country."),
        ({"country": "'2 55 08 35 047 123 56'"}, "in clear text: 1, in country."),
        ({"country": "'appeler le 06 12 34 56 78'"}, "in clear text: 1, in country."),
        ({"country": "'+33612345678'"}, "in clear text: 1, in country."),
        ({"contact_note": "'Mme Le Goff'"}, "the note rule should have removed it: 1, in contact_note."),
        ({"birth_date": "'1950-03-17'"}, "Birth dates finer than a month: 1."),
        ({"birth_date": "'17/03/1950'"}, "Rows with a date that is no FHIR date: 1, in birth_date."),
        ({"birth_on": "DATE '1950-03-17'"}, "Typed birth dates finer than a month: 1."),
        ({"departement": "'35000'"}, "Patients whose département is no French département: 1."),
    ],
)
@pytest.mark.parametrize("few", [0, 1 << 30], ids=["for many rows", "for few"])
def test_block_expectation_blocks_and_names_the_rows(tmp_path, monkeypatch, few, fault, sentence):
    """Also by the SQL that is prepared for more rows than these."""
    monkeypatch.setattr(validation.gate, "_FEW_BYTES", few)
    report = check(tmp_path, fault)

    failed = [result for result in report.failures(Severity.BLOCK) if sentence in result.sentence]
    assert report.blocked is True
    assert len(failed) == 1
    expected = {"patient_key": ((KEYS[1],), ("Patient/42",), ())}.get(next(iter(fault)), ((KEYS[2],),))
    assert failed[0].keys in expected


def test_a_rule_of_every_table_is_reported_for_the_tables_that_break_it(tmp_path):
    practitioner = {"practitioner_key": f"'{KEYS[7]}'", "country": "'06 12 34 56 78'"}
    others = [practitioner, {**practitioner, "practitioner_key": f"'{KEYS[8]}'", "country": "'FR'"}]
    selects = [f"SELECT {', '.join(f'{sql} AS {name}' for name, sql in row.items())}" for row in others]
    write(tmp_path / "practitioner.parquet", " UNION ALL ".join(selects))
    tables = {
        "patient": patients(tmp_path, {"contact_note": "'Mme Le Goff'"}),
        "practitioner": StagedTable("practitioner", (str(tmp_path / "practitioner.parquet"),)),
    }
    suites = tmp_path / "suites"
    suites.mkdir()
    (suites / "every_table.json").write_bytes((SUITES / "every_table.json").read_bytes())

    report = check_tables(tables, suites, tmp_path / "docs")

    failures = {(r.table, r.keys, r.unexpected, r.evaluated) for r in report.failures(Severity.BLOCK)}
    assert failures == {("patient", (KEYS[2],), 1, 2), ("practitioner", (KEYS[7],), 1, 2)}
    held = [(r.table, r.evaluated) for r in report.results if r.success and "Rows without a key" in r.sentence]
    assert held == [("patient", 2), ("practitioner", 2)]
    assert "malformed_pseudonym_in" in (tmp_path / "docs" / "patient.html").read_text()


def test_two_questions_about_one_column_of_every_table_are_two(tmp_path):
    """Also where one is asked twice, or the column has another type in each table, or ``$key`` is beside ``key``."""
    empty, filled = (f"expect_column_values_to_{what}be_null" for what in ("", "not_"))
    asked = [(empty, "sent", "block"), (filled, "sent", "warn"), (filled, "sent", "warn")]
    asked += [(filled, "$key", "block"), (filled, "key", "warn")]
    expectations = [
        {"expectation": expectation, "column": column, "severity": severity, "sentence": f"{column} {expectation}."}
        for expectation, column, severity in asked
    ]
    (tmp_path / "suites").mkdir()
    every = {"derived": {"key": "CAST(NULL AS VARCHAR)"}, "expectations": expectations}
    (tmp_path / "suites" / "every_table.json").write_text(json.dumps(every))
    kinds = {"patient": "99999999999999999::BIGINT", "practitioner": "0.5::DECIMAL(38,22)", "specimen": "[1, 2]"}
    for name, value in kinds.items():
        write(tmp_path / f"{name}.parquet", f"SELECT '{KEYS[1]}' AS {name}_key, {value} AS sent")
    tables = {name: StagedTable(name, (str(tmp_path / f"{name}.parquet"),)) for name in kinds}

    report = check_tables(tables, tmp_path / "suites", tmp_path / "docs")

    assert [(r.table, r.sentence) for r in report.failures(Severity.BLOCK)] == [
        (name, f"sent {empty}.") for name in kinds
    ]
    assert [(r.table, r.sentence) for r in report.failures(Severity.WARN)] == [
        (name, f"key {filled}.") for name in kinds
    ]


def test_a_join_that_asks_for_no_column_of_the_table_is_refused(tmp_path):
    expectation = {
        "expectation": "expect_column_values_to_not_be_null",
        "column": "patient_key",
        "severity": "warn",
        "sentence": "Rows without a key: {count}.",
    }
    folder = suite(tmp_path, expectation, join={"patient": ["shoe_size"]})
    with pytest.raises(SuiteError, match="a suite joins patient for shoe_size, and not all are columns of it"):
        check(tmp_path, suites=folder)


def test_wrong_type_blocks(tmp_path):
    path = tmp_path / "patient.parquet"
    write(path, f"SELECT '{KEYS[1]}' AS patient_key, '1950-03-01' AS birth_on")
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "every_table.json").write_bytes((SUITES / "every_table.json").read_bytes())

    report = check_tables({"patient": StagedTable("patient", (str(path),))}, tmp_path / "suites", tmp_path)

    assert [r.sentence for r in report.failures(Severity.BLOCK)] == [
        "A column has not the type that its name promises: birth_on."
    ]


def test_suites_without_the_rules_of_every_table_check_nothing(tmp_path):
    path = tmp_path / "patient.parquet"
    write(path, f"SELECT '{KEYS[1]}' AS patient_key")
    (tmp_path / "suites").mkdir()

    with pytest.raises(SuiteError, match="the rules that every table must keep would go unchecked"):
        check_tables({"patient": StagedTable("patient", (str(path),))}, tmp_path / "suites", tmp_path)


def test_warn_expectation_does_not_block(tmp_path):
    report = check(tmp_path, {"deceased_on": "DATE '1949-12-01'", "deceased": "true"})

    assert report.blocked is False
    assert [(r.sentence, r.keys) for r in report.failures(Severity.WARN)] == [
        ("Patients who die before they are born: 1.", (KEYS[2],))
    ]


def measurements(folder: Path, **sodium: Any) -> ValidationReport:
    """Three values checked against a range for sodium: in it, above it, and above it in another unit."""
    rows = [(KEYS[1], "140", "mmol/L"), (KEYS[2], "61327", "mmol/L"), (KEYS[3], "61327", "mg/dL")]
    selects = [f"SELECT '{k}' AS observation_key, '2951-2' AS code, {v} AS value, '{u}' AS unit" for k, v, u in rows]
    write(folder / "observation.parquet", " UNION ALL ".join(selects))
    limits = {"name": "Sodium", "code": "2951-2", "units": ["mmol/L"], "from": 80, "to": 220} | sodium
    rule = {"of": "value", "code": "code", "unit": "unit", "ranges": [limits]}
    expectation = {"expectation": "expect_column_values_to_be_null", "column": "odd", "severity": "warn"}
    expectation["sentence"] = "Impossible: {count}, of {names}."
    suite(folder, expectation, derived={"odd": rule}).joinpath("patient.json").rename(
        folder / "suites/observation.json"
    )
    table = StagedTable("observation", (str(folder / "observation.parquet"),))
    return check_tables({"observation": table}, folder / "suites", folder / "docs")


def test_value_outside_the_range_of_its_code_and_unit_is_named(tmp_path):
    report = measurements(tmp_path)

    failures = [(r.sentence, r.columns, r.keys) for r in report.failures(Severity.WARN)]
    assert failures == [("Impossible: 1, of Sodium.", ("code", "value", "unit"), (KEYS[2],))]
    assert "61327" not in (tmp_path / "docs" / "observation.html").read_text()


@pytest.mark.parametrize("wrong", [{"from": "low"}, {"units": "mmol/L"}, {"title": "Sodium"}])
def test_wrong_range_is_one_sentence(tmp_path, wrong):
    sentence = (
        "observation.json: derived 'odd': a range has name, code, units, from, to: texts, a list of texts, two numbers"
    )

    with pytest.raises(SuiteError, match=f"^{re.escape(sentence)}$"):
        measurements(tmp_path, **wrong)


def test_report_names_twenty_keys_at_most_and_is_json(tmp_path):
    faults = [{"departement": "'35000'"}] * 30

    report = check(tmp_path, *faults)

    failure = json.loads(json.dumps(report.to_dict()))["failures"][0]
    assert (failure["unexpected"], failure["evaluated"], len(failure["keys"])) == (30, 31, 20)


@pytest.mark.parametrize("sql", ["patient.birth_on", "Patient.birth_on", '"patient".birth_on', "patient['birth_on']"])
def test_a_joined_table_may_be_written_in_any_way(tmp_path, sql):
    write(tmp_path / "visit.parquet", f"SELECT md5('v') AS visit_key, '{KEYS[1]}' AS patient_key")
    derived = {"too_early": f"CASE WHEN {sql} < DATE '2000-01-01' THEN 1 END"}
    asked = {"expectation": "expect_column_values_to_be_null", "column": "too_early", "severity": "block"}
    folder = suite(tmp_path)
    visit = {"join": {"patient": ["birth_on"]}, "derived": derived, "expectations": [asked | {"sentence": "{count}"}]}
    (folder / "visit.json").write_text(json.dumps(visit))
    tables = {"visit": StagedTable("visit", (str(tmp_path / "visit.parquet"),)), "patient": patients(tmp_path)}
    assert [r.sentence for r in check_tables(tables, folder, tmp_path / "docs").failures(Severity.BLOCK)] == ["1"]


@pytest.mark.parametrize("name", ["Gender", "encounter"])
def test_a_derived_column_is_named_like_no_other(tmp_path, name):
    folder = suite(tmp_path, derived={name: "1"}, join={"encounter": ["status"]})
    with pytest.raises(SuiteError, match=f"derived '{name}': the table has a column of that name, or joins one"):
        check(tmp_path, suites=folder)


@pytest.mark.parametrize("rule", ["patient_key IN (SELECT patient_key FROM staged.patient)", {"known": "patient"}])
def test_relation_left_out_without_the_other_table(tmp_path, rule):
    path = tmp_path / "specimen.parquet"
    wanted = {"unknown": KEYS[9]}
    keys = [f"'{wanted['unknown']}'", f"'{KEYS[1]}'", "CAST(NULL AS VARCHAR)"]
    write(path, f"SELECT md5(key) AS specimen_key, key AS patient_key FROM (SELECT unnest([{', '.join(keys)}]) AS key)")
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "every_table.json").write_text(json.dumps({"expectations": []}))
    (tmp_path / "suites" / "specimen.json").write_text(
        json.dumps(
            {
                "derived": {"patient_known": rule},
                "expectations": [
                    {
                        "expectation": "expect_column_values_to_be_in_set",
                        "column": "patient_known",
                        "value_set": [True],
                        "severity": "warn",
                        "sentence": "Specimens whose patient is not in table patient: {count}.",
                    }
                ],
            }
        )
    )
    specimen = StagedTable("specimen", (str(path),))

    alone = check_tables({"specimen": specimen}, tmp_path / "suites", tmp_path / "a")
    together = check_tables({"specimen": specimen, "patient": patients(tmp_path)}, tmp_path / "suites", tmp_path / "b")

    assert alone.skipped == ("specimen: expectations on 'patient_known' left out: no table patient here",)
    assert [r.sentence for r in together.failures(Severity.WARN)] == [
        "Specimens whose patient is not in table patient: 1."
    ]


@pytest.mark.parametrize(
    ("expectation", "sentence"),
    [
        ({"expectation": "expect_colum_values_to_be_null"}, "did you mean expect_column_values_to_be_null"),
        ({"column": "gendre"}, "table patient has no column 'gendre'; it has patient_key, gender"),
        ({"severity": "fatal"}, "severity 'fatal' is unknown: use block or warn"),
        ({"sentence": "Rows: {value}"}, "the sentence may only use {count}, {evaluated}, {names}"),
        ({"mostly": "half"}, "wrong arguments"),
    ],
)
def test_wrong_suite_is_one_sentence(tmp_path, expectation, sentence):
    right = {
        "expectation": "expect_column_values_to_be_null",
        "column": "gender",
        "severity": "warn",
        "sentence": "x",
    }

    with pytest.raises(SuiteError, match=re.escape(sentence)) as caught:
        check(tmp_path, suites=suite(tmp_path, {**right, **expectation}))

    assert "\n" not in str(caught.value)


def test_derived_column_that_is_no_sql_is_one_sentence(tmp_path):
    wrong = {
        "expectation": "expect_column_values_to_be_null",
        "column": "later",
        "severity": "warn",
        "sentence": "x",
    }

    with pytest.raises(SuiteError, match=r"patient\.json: derived 'later' is no SQL over patient: .*deathdate"):
        check(tmp_path, suites=suite(tmp_path, wrong, derived={"later": "deathdate > birth_on"}))


def test_pages_load_nothing_and_show_no_value(tmp_path):
    report = check(tmp_path, {"country": "'anne.le-goff@chu.example.org'", "departement": "'99321'"})

    pages = {page.name: page.read_text() for page in report.docs_index.parent.glob("*.html")}
    assert set(pages) == {"index.html", "patient.html"}
    for page in pages.values():
        assert re.findall(r"(?i)(?:src\s*=|url\(|@import|<script|<link|<img|<iframe|https?://)", page) == []
        assert "default-src 'none'" in page
        assert "le-goff" not in page
        assert "99321" not in page
    assert KEYS[2] in pages["index.html"]
    assert "le-goff" not in json.dumps(report.to_dict())
    assert [path for path in report.docs_index.parent.iterdir() if path.suffix != ".html"] == []


@pytest.mark.slow
def test_no_connection_and_nothing_in_the_home_folder(tmp_path):
    table = patients(tmp_path)
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise SystemExit('a connection was tried')\n"
        "socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse\n"
        "from pathlib import Path\n"
        "from validation import StagedTable, check_tables\n"
        f"t = StagedTable('patient', ({table.files[0]!r},))\n"
        f"r = check_tables({{'patient': t}}, Path({str(SUITES)!r}), Path({str(tmp_path / 'docs')!r}))\n"
        "import os\n"
        "print(r.blocked, os.environ['GX_ANALYTICS_ENABLED'])\n"
    )
    left_out = ("CI", "PYTEST_CURRENT_TEST", "GX_ANALYTICS_ENABLED")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    environment |= {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "work",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout.strip()) == (0, "False false"), done.stderr[-2000:]
    assert list((tmp_path / "home").rglob("*")) == []
    assert list((tmp_path / "work").rglob("*")) == []
