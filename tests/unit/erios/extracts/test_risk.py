"""The risk report at its edges: what it must hold, what it must never show, and the linkage attack."""

from __future__ import annotations

import hashlib
import json
import random
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from erios.checkout import PROJECT
from erios.errors import InputError, StorageError, UsageError
from erios.extracts.generalisation.values import level_sql
from erios.extracts.risk import Linkage, RiskReport, assess, link, load_knowledge
from erios.extracts.risk.figures import wilson
from erios.extracts.risk.metrics import METRICS
from erios.extracts.risk.report import Attack, Proposal, Risk, SensitiveColumn
from erios.extracts.stay_summary import COLUMNS

PEOPLE = 60
TEXT = ["patient_key", "gender", "birth_date", "departement"]


@pytest.fixture(scope="module")
def knowledge():
    return load_knowledge(PROJECT / "conf" / "risk.toml")


def write(folder: Path, tables: dict[str, list[dict[str, Any]]]) -> dict[str, list[str]]:
    for name, rows in tables.items():
        (folder / name).mkdir(parents=True)
        columns = list(rows[0]) if rows else TEXT
        schema = pa.schema([(column, pa.string()) for column in columns])
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / name / "part-0.parquet")
    return {name: list(rows[0]) if rows else TEXT for name, rows in tables.items()}


def key(study: str, person: int) -> str:
    return hashlib.sha256(f"{study} {person}".encode()).hexdigest()[:32]


def hospital(study: str, *, birth: int = 10, shift: int = 0) -> dict[str, list[dict[str, Any]]]:
    """Made-up people; ``birth`` is how many characters of the birth date are kept, ``shift`` moves days of stays."""
    draw, patients, stays = random.Random(7), [], []
    for person in range(PEOPLE):
        date = f"{1940 + draw.randrange(60)}-{1 + draw.randrange(12):02}-{1 + draw.randrange(28):02}"
        who = {"patient_key": key(study, person), "gender": draw.choice(["female", "male"]), "birth_date": date[:birth]}
        patients.append(who | {"departement": draw.choice(["69", "38", "75"])})
        for _ in range(draw.randrange(4)):
            day = f"2021-{1 + draw.randrange(12):02}-{1 + (draw.randrange(14) + shift) % 28:02}"
            stays.append({"patient_key": key(study, person), "encounter_key": key(study, 900), "period_start": day})
    return {"patient": patients, "encounter": stays}


@pytest.fixture(scope="module")
def extract(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extract")
    return folder, write(folder, hospital("a"))


@pytest.fixture(scope="module")
def report(extract, knowledge):
    return assess(extract[0], extract[1], knowledge, seed=5, population=600)


def test_a_report_comes_back_from_json(report):
    assert RiskReport.from_json(report.to_json()) == report


def test_the_same_seed_gives_the_same_bytes(report, extract, knowledge):
    assert assess(extract[0], extract[1], knowledge, seed=5, population=600).to_json() == report.to_json()


def test_a_stored_report_without_a_later_figure_opens(report):
    stored = json.loads(report.to_json())
    for name in ("population_uniques", "marketer"):
        del stored["risk"][name]
    names = {"name": "x", "fr": "x", "en": "x", "table": "x", "columns": [], "kind": "set", "besides": []}
    stored["sensitive"] = [names]

    again = RiskReport.from_json(json.dumps(stored))

    assert (again.risk.population_uniques, again.risk.marketer, again.sensitive[0].mean_t) == (None, None, None)
    assert replace(again, risk=report.risk, sensitive=report.sensitive) == report


def test_a_stored_report_of_the_former_names_opens(report):
    former = re.sub(r'"levels":', '"rungs":', re.sub(r'"level":', '"rung":', report.to_json()))

    assert RiskReport.from_json(former) == report


def test_json_of_another_form_is_refused():
    with pytest.raises(InputError, match="assess the extract again"):
        RiskReport.from_json("{}")


def test_nothing_is_left_in_the_folder(extract, report):
    assert sorted(path.name for path in extract[0].iterdir()) == ["encounter", "patient"]


def test_a_working_folder_of_the_caller_is_used_and_emptied(extract, knowledge, tmp_path):
    assess(extract[0], extract[1], replace(knowledge, quasi=knowledge.quasi[:3]), seed=1, targets=1, scratch=tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_the_report_shows_no_value_that_few_share(report):
    people = hospital("a")["patient"]
    text = report.to_json()

    assert not any(row["birth_date"] in text or row["patient_key"] in text for row in people)
    shown = {one.value: one.patients for quasi in report.quasi for one in quasi.common}
    assert {"female", "male", "69"} <= set(shown)
    assert min(shown.values()) >= report.threshold


def test_rare_values_are_counted(report):
    birth = next(one for one in report.quasi if one.name == "birth")

    assert birth.rare_patients == PEOPLE
    assert birth.common == ()


def test_proposals_suffice_and_come_in_order(report):
    assert report.proposals
    assert all((one.after.k or 0) >= report.threshold for one in report.proposals)
    assert [one.loss for one in report.proposals] == sorted(one.loss for one in report.proposals)
    assert any(not one.suppressed for one in report.proposals)
    assert all(one.suppressed_share <= report.search.suppression_limit for one in report.proposals)


def test_worse_attackers_find_no_fewer(report):
    found = {(one.attacker, one.known): one.singled for one in report.attacks}

    assert all(found["worst", n] >= found["random", n] for n in range(1, 6))
    assert all(found[who, n] <= found[who, n + 1] for who in ("random", "worst") for n in range(1, 5))


def test_columns_that_nobody_weighed_are_named(tmp_path, knowledge):
    tables = write(tmp_path, {"patient": [{"patient_key": "a", "gender": "male", "shoe_size": "43"}]})

    assert assess(tmp_path, tables, knowledge, seed=1).unweighed == ("patient.shoe_size",)


def test_an_extract_without_patients(tmp_path, knowledge):
    report = assess(tmp_path, write(tmp_path, {"patient": []}), knowledge, seed=1, population=10)

    assert (report.patients, report.risk.k, report.risk.under_threshold) == (0, None, 0)
    assert (report.histogram, report.sensitive, report.proposals, report.attacks) == ((), (), (), ())
    assert report.enough


def test_a_table_without_files_counts_no_rows(tmp_path, knowledge):
    (tmp_path / "patient").mkdir()

    assert assess(tmp_path, {"patient": []}, knowledge, seed=1).tables[0].rows == 0


def test_one_patient_is_unique_and_nothing_helps(tmp_path, knowledge):
    row = {"patient_key": "a", "gender": "male", "birth_date": None, "departement": "69"}

    report = assess(tmp_path, write(tmp_path, {"patient": [row]}), knowledge, seed=1)

    assert (report.risk.k, report.risk.uniques, report.risk.under_threshold) == (1, 1, 1)
    assert (report.proposals, report.search.complete, report.enough) == ((), True, False)
    assert {one.singled for one in report.attacks} == {1}


def test_an_extract_without_quasi_identifiers_is_one_class(tmp_path, knowledge):
    rows = [{"patient_key": key("x", n), "status": "final"} for n in range(15)]

    report = assess(tmp_path, write(tmp_path, {"specimen": rows}), knowledge, seed=1)

    assert (report.quasi, report.risk.k, report.risk.classes, report.enough) == ((), 15, 1, True)
    assert {one.singled for one in report.attacks} == {0}


def test_patients_of_events_count_without_a_patient_table(tmp_path, knowledge):
    report = assess(tmp_path, write(tmp_path, {"encounter": hospital("a")["encounter"]}), knowledge, seed=1, targets=9)

    assert report.patients == len({row["patient_key"] for row in hospital("a")["encounter"]})
    assert [one.name for one in report.quasi] == ["first_stay", "stays"]


def test_twins_of_a_date_are_one_quasi_identifier(tmp_path, knowledge):
    rows = [{"patient_key": key("x", n), "birth_date": "1980", "birth_on": f"1980-01-{n + 1:02}"} for n in range(12)]

    report = assess(tmp_path, write(tmp_path, {"patient": rows}), knowledge, seed=1, targets=1)

    assert report.quasi[0].columns == ("birth_date", "birth_on")
    assert (report.risk.uniques, report.proposals[0].after.k) == (12, 12)


def test_a_missing_column_is_said(extract, knowledge):
    with pytest.raises(InputError, match="table patient has no column iris"):
        assess(extract[0], {"patient": ["iris"]}, knowledge, seed=1)


def test_a_missing_table_is_said(extract, knowledge):
    with pytest.raises(InputError, match="no folder for its table procedure"):
        assess(extract[0], {"procedure": []}, knowledge, seed=1)


def test_a_broken_file_is_said_without_its_content(tmp_path, knowledge):
    (tmp_path / "patient").mkdir()
    (tmp_path / "patient" / "part-0.parquet").write_bytes(b"PAR1 Dupont 1950")

    with pytest.raises(StorageError, match="cannot be read") as caught:
        assess(tmp_path, {"patient": []}, knowledge, seed=1)
    assert "Dupont" not in str(caught.value)


@pytest.mark.parametrize(
    ("level", "value", "expected"),
    [
        ("day", "2020-03-05T10:00:00Z", "2020-03-05"),
        ("month", "2020-03-05", "2020-03"),
        ("month", "1980-1989", "1980-1989"),
        ("year", "2020-03", "2020"),
        ("years:10", "1987", "1980-1989"),
        ("years:10", "1985-1989", "1980-1989"),
        ("band:5", "63", "60-64"),
        ("band:10", "60-64", "60-69"),
        ("band:5", "60-69", "60-69"),
        ("band:10", "90+", "90+"),
        ("top:90", "93", "90+"),
        ("top:90", "89", "89"),
        ("steps:0,1,3,10", "7", "3-9"),
        ("steps:0,1,3,10", "5-9", "3-9"),
        ("steps:0,1,3,10", "12", "10+"),
        ("prefix:3", "E11.9", "E11"),
        ("prefix:3", "XIII", "XIII"),
        ("prefix:5", "A10BA02", "A10BA"),
        ("map:region", "69", "Auvergne-Rhône-Alpes"),
        ("map:region", "Bretagne", "Bretagne"),
        ("ranges:chapter", "E11.9", "IV"),
        ("ranges:chapter", "IV", "IV"),
        ("suppress", "x", "*"),
        ("year", None, None),
        ("band:5", None, None),
        ("suppress", None, "*"),
    ],
)
def test_a_value_on_a_level(knowledge, level, value, expected):
    import duckdb

    found = duckdb.execute(
        f"SELECT {level_sql(level, 'v', knowledge.groupings)} FROM (SELECT ?::VARCHAR AS v)", [value]
    )

    assert found.fetchall() == [(expected,)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[quasi]]\nname = 'a'", "'table' is missing"),
        ("[hierarchies]\na = ['year']", "ends with 'suppress'"),
        ("[hierarchies]\na = ['decade', 'suppress']", "unknown generalisation 'decade'"),
        ("[hierarchies]\na = ['map:x', 'suppress']", "unknown generalisation 'map:x'"),
        ("[hierarchies]\na = ['steps:3,1', 'suppress']", "unknown generalisation 'steps:3,1'"),
        ("suppression_limit = 2", "share from 0 to 0.2"),
        ("[maps.m]\na = ['1']\nb = ['1']", "under two labels"),
        ("[ranges.r]\na = ['A', 'B']", "two categories such as"),
        ("[ranges.r]\na = ['A00']", "two categories such as"),
        ("quasy = 1", "unknown field 'quasy'"),
        ("=", "not TOML"),
    ],
)
def test_knowledge_that_is_not_as_it_must_be_is_refused(tmp_path, text, words):
    (tmp_path / "risk.toml").write_text(text)

    with pytest.raises(UsageError, match=re.escape(words)):
        load_knowledge(tmp_path / "risk.toml")


def test_every_column_of_the_knowledge_is_a_column_of_the_warehouse(knowledge):
    page = (PROJECT / "docs" / "warehouse.md").read_text(encoding="utf-8")
    tables = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    for name, columns in COLUMNS.items():  # tables of the build, which no release has
        tables[name] = "".join(f"| `{column.name}` |" for column in columns)
    of_build = {"age", "age_band", "region"}

    entries = [*knowledge.quasi, *knowledge.sensitive]
    named = {(entry.table, column) for entry in entries for column in (*entry.columns, *entry.order)}
    assert [one for one in sorted(named) if one[1] not in of_build and f"| `{one[1]}` |" not in tables[one[0]]] == []


def test_every_figure_of_the_report_is_defined():
    words = " ".join(metric.name for metric in METRICS)
    fields = {name for kind in (Risk, SensitiveColumn, Proposal) for name in kind.__dataclass_fields__}
    described = {"patients", "classes", "name", "fr", "en", "table", "columns", "kind", "besides", "changes", "before"}
    described |= {"after", "suppressed", "suppressed_share", "distinct_l", "mean_t"}

    assert [name for name in sorted(fields - described) if not re.search(rf"\b{name}\b", words)] == []
    assert all(metric.source and metric.formula for metric in METRICS)


@pytest.mark.parametrize(("hits", "trials", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634)])
def test_wilson_interval(hits, trials, low, high):
    assert wilson(hits, trials) == pytest.approx((hits / trials, low, high), abs=1e-4)


def test_an_attack_of_the_report_has_an_interval_around_its_share(report):
    for one in report.attacks:
        assert isinstance(one, Attack)
        assert one.singled_low <= one.singled_share <= one.singled_high, asdict(one)


def write_truth(folder: Path, people: int = PEOPLE) -> Path:
    keys = {f"key_{side}": [key(side, person) for person in range(people)] for side in "ab"}
    pq.write_table(pa.table(keys, schema=pa.schema([("key_a", pa.string()), ("key_b", pa.string())])), folder / "truth")
    return folder / "truth"


def linked(
    tmp_path: Path, knowledge: Any, second: dict[str, list[dict[str, Any]]], truth: Path | None = None
) -> Linkage:
    first = write(tmp_path / "a", hospital("a"))
    other = write(tmp_path / "b", second)
    return link(tmp_path / "a", first, tmp_path / "b", other, knowledge, truth or write_truth(tmp_path), seed=2)


def test_exact_dates_link_nearly_everybody(tmp_path, knowledge):
    found = linked(tmp_path, knowledge, hospital("b"))

    assert (found.targets, found.correct) == (PEOPLE, PEOPLE)
    assert found.low > found.chance
    assert json.loads(found.to_json())["share"] == found.share


def test_a_coarser_second_extract_is_met_on_its_level(tmp_path, knowledge):
    found = linked(tmp_path, knowledge, {"patient": hospital("b", birth=4)["patient"]})

    assert "patient.birth_date (year)" in found.columns
    assert 0.3 < found.share < 1


def test_a_second_extract_of_nothing_but_gender_links_by_chance(tmp_path, knowledge):
    rows = [{"patient_key": row["patient_key"], "gender": row["gender"]} for row in hospital("b")["patient"]]

    found = linked(tmp_path, knowledge, {"patient": rows})

    assert found.columns[0] == "patient.gender"
    assert {name.split()[0] for name in found.columns[1:]} == {"patient"}
    assert found.share < 0.15
    assert found.chance == pytest.approx(1 / PEOPLE)


def test_shifted_dates_are_linked_by_their_intervals(tmp_path, knowledge):
    stays = {"encounter": hospital("b", shift=14)["encounter"]}

    found = linked(tmp_path, knowledge, stays)

    assert "encounter.period_start (intervals)" in found.columns
    assert found.low > found.chance


def test_patients_are_drawn_among_those_of_the_truth(tmp_path, knowledge):
    assert linked(tmp_path, knowledge, hospital("b"), write_truth(tmp_path, people=10)).targets == 10


def test_a_file_of_truth_without_its_columns_is_refused(tmp_path, knowledge):
    pq.write_table(pa.table({"x": ["1"]}), tmp_path / "truth.parquet")

    with pytest.raises(InputError, match="key_a and key_b"):
        linked(tmp_path, knowledge, hospital("b"), tmp_path / "truth.parquet")


def test_extracts_without_a_common_patient_have_no_target(tmp_path, knowledge):
    found = linked(tmp_path, knowledge, hospital("b"), write_truth(tmp_path, people=0))

    assert (found.targets, found.share) == (0, 0.0)


def test_no_pseudonym_of_two_studies_joins(tmp_path, knowledge):
    assert linked(tmp_path, knowledge, hospital("b")).shared_keys == ()


@pytest.mark.parametrize(("prefix", "how"), [("", "equal"), ("study-b:", "ending")])
def test_a_pseudonym_that_joins_is_found_under_any_name(tmp_path, knowledge, prefix, how):
    rows = [row | {"dossier": prefix + key("a", n)} for n, row in enumerate(hospital("b")["patient"])]

    found = linked(tmp_path, knowledge, {"patient": rows})

    joined = {(one.column_a, one.column_b, one.how) for one in found.shared_keys}
    assert joined == {("patient_key", "dossier", how)}


def test_a_hierarchy_that_is_not_there_is_said(tmp_path):
    (tmp_path / "risk.toml").write_text("[maps]\nregion = 'nowhere.toml'")

    with pytest.raises(InputError, match=re.escape("nowhere.toml")):
        load_knowledge(tmp_path / "risk.toml")
