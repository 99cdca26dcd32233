"""A build over a release of a few made-up patients: rare values at their threshold, and how far dates are moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
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


class Release:
    """A release of one table, ``patient``, in one Parquet file."""

    id = "r000001"

    def __init__(self, folder: Path, people: list[tuple[str, str, str]]) -> None:
        types = TABLES["patient"].column_types()
        self.warehouse, self._file = folder, folder / "patient.parquet"
        with duckdb.connect() as sql:
            sql.execute(f"CREATE TABLE p ({', '.join(f'{identifier(name)} {kind}' for name, kind in types.items())})")
            sql.executemany("INSERT INTO p (patient_key, departement, gender) VALUES (?, ?, ?)", people)
            sql.execute(f"COPY p TO '{self._file}' (FORMAT parquet)")
        self._rows = len(people)

    def names(self) -> tuple[str, ...]:
        return ("patient",)

    def files(self, _table: str) -> list[str]:
        return [str(self._file)]

    def data_files(self, _table: str) -> list[File]:
        return [File(self._file, self._rows)]

    def duckdb(self, _table: str, connection: Any) -> Any:
        return connection.read_parquet(str(self._file))


def people(number: int) -> list[tuple[str, str, str]]:
    return [(f"{n:032x}", "69" if n < COMMON else "38", "female" if n % 2 else "male") for n in range(number)]


def plan_of(folder: Path, *, cohort: Criterion = EVERYBODY, table: str = "patient") -> BuildPlan:
    columns = (Choice("patient_key", "study-key", "x"), Choice("departement", "rare", "x"))
    wanted = Specification(cohort, (TableChoice(table, columns),), DatePolicy.SHIFTED, "")
    terms = Terms(DatePolicy.SHIFTED, 2026)
    return BuildPlan(folder, wanted, TABLES, terms, 11, 256, lambda: PseudonymKey("k1", b"s" * 32))


def rows(folder: Path) -> list[tuple[Any, ...]]:
    return fetch(f"SELECT * FROM '{folder}/data/patient/*.parquet'")


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
