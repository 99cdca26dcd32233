"""The catalogue and the quality of releases: pictures that show no small group, figures over time, why texts wait."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erios.checkout import PROJECT
from erios.extracts.column_profile import STEPS, Cell, absorbed, profile_table, read_profile, rounded, step_of
from erios.settings import Settings
from erios.workflows.catalogue import table_profile
from etl.tables import load_tables
from tests.portal.test_compliance import release
from tests.portal.test_pages import client

SMALL = 11
COLUMNS = {
    (table.name, column.name): column
    for table in load_tables(PROJECT / "conf" / "views")
    for column in table.view.columns
}
only_sqlite = pytest.mark.parametrize("template", ["sqlite"], indirect=True)
Rows = list[tuple[str, str | None, str | None]]


@st.composite
def _rows(draw: Callable[..., Any]) -> Rows:
    """Rows of few and of many patients, with values and years that are rare and common."""
    patients = draw(st.integers(1, 60))
    chosen = st.tuples(
        st.integers(0, patients - 1),
        st.sampled_from([None, "a", "a", "a", "a", "b", "b", "c", "d"]),
        st.sampled_from([None, *map(str, range(1990, 1996)), "1901", "2031"]),
    )
    return [(f"p{who}", value, year) for who, value, year in draw(st.lists(chosen, max_size=150))]


@settings(max_examples=60)
@given(rows=_rows())
def test_no_bar_is_of_a_small_group(rows: Rows) -> None:
    profile = _profiled(rows)
    for name, place in (("gender", 1), ("birth_date", 2)):
        shown = profile[name]
        having = {who for who, *values in rows if values[place - 1] is not None}
        lacking = {who for who, *values in rows if values[place - 1] is None}
        assert all(bar.share % shown.step == 0 for bar in shown.bars)
        assert (shown.filled or 0) % shown.step == 0
        if len(having) < SMALL:
            assert shown.bars == ()
            assert not shown.filled
        elif len(lacking) < SMALL:
            assert shown.filled == 100
    for bar in profile["gender"].bars:
        among = {who for who, value, _year in rows if value and (value == bar.label or bar.label == "…")}
        assert len(among) >= SMALL, bar
    for bar in profile["birth_date"].bars:
        assert len({who for who, _value, year in rows if year and _holds(bar.label, year)}) >= SMALL, bar


def _profiled(rows: Rows) -> dict[str, Any]:
    wanted = [COLUMNS["patient", "gender"], COLUMNS["patient", "birth_date"]]
    table = SimpleNamespace(
        name="patient", view=SimpleNamespace(columns=wanted), column_types=lambda: {"patient_key": "VARCHAR"}
    )
    names = ["patient_key", "gender", "birth_date"]
    columns = {name: pa.array([row[place] for row in rows], pa.string()) for place, name in enumerate(names)}
    with duckdb.connect() as connection:
        return profile_table(table, connection.from_arrow(pa.table(columns)), SMALL)  # type: ignore[arg-type]


def _holds(label: str, year: str) -> bool:
    if label[0] in "≤≥":
        return year <= label[2:] if label[0] == "≤" else year >= label[2:]
    low, _dash, high = label.partition("–")
    return low <= year <= (high or low)


@given(st.lists(st.tuples(st.integers(1, 99), st.integers(0, 25)), max_size=20))
def test_small_cells_of_an_order_are_drawn_into_large_ones(drawn: list[tuple[int, int]]) -> None:
    cells = [Cell(str(place), str(place), rows, patients) for place, (rows, patients) in enumerate(drawn)]
    groups = absorbed(cells, SMALL)
    assert all(group.patients >= SMALL for group in groups)
    if groups:
        assert sum(group.rows for group in groups) == sum(rows for rows, _patients in drawn)
        assert [group.low for group in groups[1:]] == [str(int(group.high) + 1) for group in groups[:-1]]
    else:
        assert all(patients < SMALL for _rows, patients in drawn)


@pytest.mark.parametrize(
    ("patients", "step"), [(11, 50), (44, 50), (150, 20), (220, 10), (2_199, 2), (2_200, 1), (10**6, 1)]
)
def test_the_fewer_patients_the_coarser_the_shares(patients: int, step: int) -> None:
    assert step_of(patients, SMALL) == step
    assert step in STEPS
    assert rounded(1, 3, 10) == 30
    assert rounded(1, 3, 20) == 40


@only_sqlite
@pytest.mark.parametrize("name", ["patient", "condition", "encounter", "procedure"])
def test_no_value_that_a_page_names_is_rare_in_the_release(name: str, counted: Settings) -> None:
    """Each value named on the page of a real release, looked up in the release itself."""
    from erios.workflows.warehouse import open_release

    rows, looked = open_release(reader="test").duckdb(name), 0
    for column, profile in table_profile(counted, "r000001", name, "dan").columns.items():
        for bar in () if profile.ordered else profile.bars:
            if bar.label != "…":
                found = rows.filter(f"\"{column}\"::VARCHAR = '{bar.label.replace(chr(39), chr(39) * 2)}'")
                assert found.aggregate("count(DISTINCT patient_key)").fetchall()[0][0] >= SMALL, (column, bar)
                looked += 1
    assert looked > 5


@only_sqlite
def test_a_profile_is_made_once_and_anew_under_a_new_threshold(
    counted: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from erios.workflows import catalogue

    first = table_profile(counted, "r000001", "patient", "dan")
    with monkeypatch.context() as patch:
        patch.setattr(catalogue, "_make", lambda *_: pytest.fail("made twice"))
        assert table_profile(counted, "r000001", "patient", "ada") == first
    monkeypatch.setattr(catalogue, "_threshold", lambda: 40)
    again = table_profile(counted, "r000001", "patient", "ada")
    assert again.columns["gender"].step > first.columns["gender"].step
    assert read_profile(again.columns["gender"].to_dict()) == again.columns["gender"]


@only_sqlite
@pytest.mark.parametrize("login", ["ada", "com1", "dan"])
def test_the_page_of_a_table_has_pictures_with_words(login: str, counted: Settings) -> None:
    page = client(login).get("/catalogue/patient/", secure=True).content.decode()
    assert 'id="colonne1"' in page
    assert "female" in page
    pictures = re.findall(r'<svg[^>]* role="img" aria-label="([^"]+)"', page)
    assert any("≤ " in words and "≥ " in words for words in pictures)
    assert page.count("<svg") == page.count('aria-hidden="true"') - page.count("<figcaption aria-hidden") + len(
        pictures
    )
    years = sorted(row[0] for row in _birth_years(counted))
    assert f">{years[0]}<" not in page  # the oldest and the youngest are never named
    assert f">{years[-1]}<" not in page


def _birth_years(settings: Settings) -> list[tuple[str]]:
    from erios.workflows.warehouse import open_release

    return list(open_release(reader="test").duckdb("patient").project("left(birth_date, 4)").fetchall())


@only_sqlite
def test_profiles_of_releases_that_are_gone_go_too(counted: Settings) -> None:
    old = counted.warehouse / "catalogue" / "r000000"
    old.mkdir(parents=True)
    (counted.warehouse / "catalogue" / "r000001" / "location.json").unlink(missing_ok=True)
    table_profile(counted, "r000001", "location", "dan")
    assert not old.exists()


@only_sqlite
def test_a_table_of_few_rows_and_a_warehouse_without_a_release_say_no_number(database: Settings) -> None:
    assert client("ada").get("/catalogue/patient/", secure=True).status_code == 200
    from erios.portal.views.warehouse import _rows as said_rows
    from etl.warehouse.release import PinnedTable, Release

    few = Release("r1", "2031-01-01", "b", {"patient": PinnedTable(0, 10, 1)}, database.warehouse)
    assert said_rows(few, "patient") == "moins de 11"
    assert said_rows(few, "encounter") == ""


# --- quality over time, quarantine, Data Docs ---


@pytest.fixture
def kept(database: Settings) -> Settings:
    """Two releases, the later one with a warning, Data Docs, and texts in quarantine."""
    passed = {"expectations": 9, "failed": {"block": 0, "warn": 0}, "failures": []}
    failure: dict[str, Any] = {
        "table": "condition",
        "sentence": "Conditions begin 30 days before death: 3.",
        "keys": ["f" * 32],
        "unexpected": 3,
        "evaluated": 1_234,
    }
    warned = {"expectations": 9, "failed": {"block": 0, "warn": 1}, "failures": [failure]}
    release(database, totals={"in": 1000, "written": 990, "quarantined": 10}, validation=passed)
    release(database, id="r000002", batch="b2", totals={"in": 100, "written": 95, "quarantined": 5}, validation=warned)
    docs = database.warehouse / "validation" / "b2"
    docs.mkdir(parents=True)
    (docs / "index.html").write_text("<!doctype html><title>Data Docs</title>")
    _quarantine(database.identity / "quarantine" / "b2")
    return database


def _quarantine(folder: Path) -> None:
    folder.mkdir(parents=True)
    texts = [
        {
            "batch": "b2",
            "file": "secret-name.ndjson",
            "line": n,
            "part": "",
            "type": kind,
            "id": "DUPONT",
            "reason": why,
        }
        for n, (kind, why) in enumerate([("Observation", "status is missing")] * 3 + [(None, "not JSON")])
    ]
    schema = pa.schema([("line", pa.int64()), *((name, pa.string()) for name in texts[0] if name != "line")])
    pq.write_table(pa.Table.from_pylist(texts, schema=schema), folder / "1.parquet")


@only_sqlite
def test_the_quality_of_releases_is_told_and_drawn(kept: Settings) -> None:
    page = client("dan").get("/versions/", secure=True).content.decode()
    assert "r000001 : 1,0 %, r000002 : 5,0 %" in page
    assert "r000001 : 0, r000002 : 1" in page
    assert "condition : Conditions begin 30 days before death: …<" in page
    assert "f" * 32 not in page
    assert page.index("<strong>r000002</strong>") < page.index("<strong>r000001</strong>")
    figures = re.findall(r"<dt>(\w+)</dt><dd>([^<]+)</dd>", page)
    assert figures[:5] == [
        ("Reçues", "100"),
        ("Écrites", "95"),
        ("Contrôles", "9"),
        ("Alertes", "1"),
        ("Reçues", "1\u202f000"),
    ]


@only_sqlite
def test_the_quarantine_is_told_by_reason_without_content(kept: Settings) -> None:
    page = client("dan").get("/versions/", secure=True).content.decode()
    rows = re.findall(r"<td[^>]*>([^<]+)</td><td[^>]*>([^<]+)</td><td[^>]*>([^<]+)</td>", page)
    assert rows == [("Observation", "status is missing", "3"), ("(unreadable)", "not JSON", "1")]
    assert "DUPONT" not in page
    assert "secret-name" not in page


@only_sqlite
def test_data_docs_are_linked_where_there_are_any(kept: Settings) -> None:
    browser = client("dan")
    page = browser.get("/versions/", secure=True).content.decode()
    (link,) = re.findall(r'href="(/versions/[^"]+)"', page)
    docs = browser.get(link, secure=True)
    assert docs.status_code == 200
    assert b"Data Docs" in docs.content
    assert browser.get("/versions/r000001/index.html", secure=True).status_code == 404
    assert browser.get("/versions/r000002/..%2f..%2findex.html", secure=True).status_code == 404
