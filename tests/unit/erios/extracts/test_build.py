"""A build over a release of a few made-up patients: rare values at their threshold, and how far dates are moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from erios.checkout import PROJECT
from erios.errors import InputError
from erios.extracts.build import SHIFT_DAYS, _choose_cohort, build
from erios.extracts.build_plan import BuildPlan
from erios.extracts.criteria import And, Criterion, Sex
from erios.extracts.generalisation.columns import Terms
from erios.extracts.generalisation.dates import DatePolicy
from erios.extracts.specification import Choice, Specification, TableChoice, warehouse_tables
from etl.privacy import PseudonymKey
from etl.sql import identifier
from tests.inline import InlineRunner

TABLES = warehouse_tables(PROJECT / "conf" / "views")
COMMON, RARE = 11, 10
EVERYBODY = And(())


class File:
    def __init__(self, path: Path, rows: int) -> None:
        self.path, self.rows = str(path), rows


RESULTS = ("patient_key", "observation_key", "code_loinc", "value_quantity", "effective")


class Release:
    """A release of a Parquet file a table: ``patient``, and ``observation`` where there are results."""

    id = "r000001"

    def __init__(self, folder: Path, people: list[tuple[str, str, str]], results: list[tuple[Any, ...]] = ()) -> None:  # type: ignore[assignment]
        self.warehouse, self._rows = folder, {"patient": len(people)}
        self._write("patient", ("patient_key", "departement", "gender"), people)
        if results:
            self._rows["observation"] = len(results)
            self._write("observation", RESULTS, results)

    def _write(self, table: str, names: tuple[str, ...], rows: list[Any]) -> None:
        types = TABLES[table].column_types()
        with duckdb.connect() as sql:
            sql.execute(f"CREATE TABLE p ({', '.join(f'{identifier(name)} {kind}' for name, kind in types.items())})")
            columns = {name: pa.array(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}
            sql.register("told", pa.table(columns))  # row by row takes DuckDB a thousand times as long
            sql.execute(f"INSERT INTO p ({', '.join(names)}) SELECT * FROM told")
            sql.execute(f"COPY p TO '{self._file(table)}' (FORMAT parquet)")

    def _file(self, table: str) -> Path:
        return self.warehouse / f"{table}.parquet"

    def names(self) -> tuple[str, ...]:
        return tuple(self._rows)

    def files(self, table: str) -> list[str]:
        return [str(self._file(table))]

    def data_files(self, table: str) -> list[File]:
        return [File(self._file(table), self._rows[table])]

    def duckdb(self, table: str, connection: Any) -> Any:
        return connection.read_parquet(str(self._file(table)))


def people(number: int) -> list[tuple[str, str, str]]:
    return [(f"{n:032x}", "69" if n < COMMON else "38", "female" if n % 2 else "male") for n in range(number)]


KEY = Choice("patient_key", "study-key", "x")


def plan_of(
    folder: Path, *, cohort: Criterion = EVERYBODY, table: str = "patient", secret: bytes = b"s" * 32, **more: Any
) -> BuildPlan:
    columns = (KEY, Choice("departement", "rare", "x"))
    return plan_for(
        folder, Specification(cohort, (TableChoice(table, columns),), DatePolicy.SHIFTED, "", **more), secret
    )


def plan_for(folder: Path, wanted: Specification, secret: bytes = b"s" * 32) -> BuildPlan:
    terms = Terms(DatePolicy.SHIFTED, 2026)
    return BuildPlan(folder, wanted, TABLES, terms, 11, 256, lambda: PseudonymKey("k1", secret))


def rows(folder: Path, table: str = "patient") -> list[tuple[Any, ...]]:
    return fetch(f"SELECT * FROM '{folder}/data/{table}/*.parquet'")


def fetch(query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as sql:
        return sql.execute(query).fetchall()


@pytest.fixture
def release(tmp_path: Path) -> Any:
    return Release(tmp_path, people(COMMON + RARE))


def test_a_value_that_eleven_share_is_kept_and_one_that_ten_share_is_grouped(tmp_path, release) -> None:
    built = build(plan_of(tmp_path / "extract"), release, InlineRunner())

    places = [place for _key, place in rows(tmp_path / "extract")]
    assert (places.count("69"), places.count("autre"), places.count("38")) == (COMMON, RARE, 0)
    assert (built.rows, built.patients) == ({"patient": COMMON + RARE}, COMMON + RARE)


def test_the_patients_who_share_a_value_are_counted_in_the_cohort_alone(tmp_path, release) -> None:
    build(plan_of(tmp_path / "extract", cohort=Sex(("male",))), release, InlineRunner())

    assert {place for _key, place in rows(tmp_path / "extract")} == {"autre"}


def test_rows_are_in_the_order_of_the_studys_pseudonyms_and_no_key_of_the_warehouse_is_left(tmp_path, release) -> None:
    build(plan_of(tmp_path / "extract"), release, InlineRunner())

    keys = [key for key, _place in rows(tmp_path / "extract")]
    assert keys == sorted(keys)
    assert not set(keys) & {key for key, _place, _sex in people(COMMON + RARE)}
    assert not (tmp_path / "extract" / "work").exists()


def test_dates_of_every_patient_are_moved_by_one_to_182_days(tmp_path) -> None:
    folder = tmp_path / "extract"
    (folder / "work" / "spill").mkdir(parents=True)
    plan = plan_of(folder)

    release: Any = Release(tmp_path, people(6000))

    _choose_cohort(plan, release)

    shifts = {shift for (shift,) in fetch(f"SELECT shift FROM '{plan.cohort}'")}
    assert shifts == {*range(-SHIFT_DAYS, 0), *range(1, SHIFT_DAYS + 1)}


def test_a_table_that_the_release_lacks_is_named(tmp_path, release) -> None:
    with pytest.raises(InputError, match="release r000001 has no table encounter"):
        build(plan_of(tmp_path / "extract", table="encounter"), release, InlineRunner())


def results(tmp_path: Path, folder: str, suppress_under: int | None) -> list[tuple[str, float]]:
    """Eleven patients with one result, ten with another, twelve rows of one patient with a third; as they leave."""
    told = [("718-7", 12.0, COMMON), ("718-7", 13.0, RARE)]
    taken = [(f"{n:032x}", code, value) for code, value, patients in told for n in range(patients)]
    taken += [(f"{0:032x}", "2951-2", 140.0)] * 12
    rows_ = [(key, f"{n:032x}", code, value, f"2025-01-{n % 28 + 1:02d}") for n, (key, code, value) in enumerate(taken)]
    names = ("code_loinc", "value_quantity", "effective")
    forms = ("keep", "keep", "policy")
    columns = (KEY, *(Choice(name, form, "x") for name, form in zip(names, forms, strict=True)))
    tables = (TableChoice("observation", columns),)
    wanted = Specification(EVERYBODY, tables, DatePolicy.SHIFTED, "", suppress_under=suppress_under)
    build(plan_for(tmp_path / folder, wanted), Release(tmp_path, people(COMMON), rows_), InlineRunner())  # type: ignore[arg-type]
    return [(code, float(value)) for _key, code, value, _day in rows(tmp_path / folder, "observation")]


def test_an_event_that_ten_patients_share_is_left_out_whatever_its_day_and_its_rows(tmp_path) -> None:
    everything, shared = results(tmp_path, "all", None), results(tmp_path, "shared", 11)

    assert len(everything) == COMMON + RARE + 12
    assert shared == [("718-7", 12.0)] * COMMON
    assert sorted(results(tmp_path, "ten", 10)) == [*shared, *[("718-7", 13.0)] * RARE]


def test_a_sample_is_drawn_by_the_studys_key_and_is_another_for_another_study(tmp_path) -> None:
    release: Any = Release(tmp_path, people(2000))

    drawn = {}
    for study in ("a", "b"):
        folder = tmp_path / study
        (folder / "work" / "spill").mkdir(parents=True)
        plan = plan_of(folder, sample=25, secret=study.encode() * 32)
        assert _choose_cohort(plan, release) == _choose_cohort(plan, release)
        drawn[study] = {key for (key,) in fetch(f"SELECT patient_key FROM '{plan.cohort}'")}

    assert all(400 < len(keys) < 600 for keys in drawn.values())
    assert 70 < len(drawn["a"] & drawn["b"]) < 190
