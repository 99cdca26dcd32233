"""Which series an extract takes: those of its form, of the cohort, of which it is known that they show no face."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from erios.checkout import PROJECT
from erios.extracts.build_plan import BuildPlan
from erios.extracts.criteria import And
from erios.extracts.generalisation.columns import FORMS, Kind, Terms
from erios.extracts.generalisation.dates import DatePolicy
from erios.extracts.images import _KINDS, BYTES_OF_A_TASK, _groups, chosen_series, image_sql, note_images
from erios.extracts.specification import Choice, Specification, TableChoice, warehouse_tables
from etl.privacy import PseudonymKey
from etl.sql import identifier

TABLES = warehouse_tables(PROJECT / "conf" / "views")
SERIES = [
    ("ct", "p1", "volume", False, None),
    ("head", "p1", "volume", True, None),
    ("unknown", "p1", "volume", None, None),
    ("labels of ct", "p1", "labels", False, "uid ct"),
    ("labels of x-ray", "p1", "labels", False, "uid x-ray"),
    ("x-ray", "p1", "radiograph", False, None),
    ("stranger's", "p2", "volume", False, None),
]


class Release:
    """A release of the table of series."""

    def __init__(self, folder: Path) -> None:
        self.warehouse, self._file = folder, folder / "series.parquet"
        types = TABLES["dicom_series"].column_types()
        with duckdb.connect() as sql:
            sql.execute(f"CREATE TABLE s ({', '.join(f'{identifier(name)} {kind}' for name, kind in types.items())})")
            sql.executemany(
                "INSERT INTO s (voxels_sha256, patient_key, kind, face_present, labels_of_uid_key, series_uid_key,"
                " voxels_bytes) VALUES (?, ?, ?, ?, ?, ?, 1)",
                [[*row, f"uid {row[0]}"] for row in SERIES],
            )
            sql.execute(f"COPY s TO '{self._file}' (FORMAT parquet)")

    def files(self, _table: str) -> list[str]:
        return [str(self._file)]


def plan_of(folder: Path, form: str) -> BuildPlan:
    table = TableChoice("dicom_series", (Choice("voxels_sha256", form, "x"),))
    wanted, terms = Specification(And(()), (table,), DatePolicy.MONTH, ""), Terms(DatePolicy.MONTH, 2026)
    (folder / "work").mkdir(parents=True)
    plan = BuildPlan(folder, wanted, TABLES, terms, 11, 256, lambda: PseudonymKey("k1", b"s" * 32))
    with duckdb.connect() as sql:
        sql.execute(f"COPY (SELECT 'p1' AS patient_key, 'k1' AS study_key, 1 AS shift) TO '{plan.cohort}'")
    return plan


@pytest.mark.parametrize(
    ("form", "taken"),
    [
        ("images", {"ct", "labels of ct", "labels of x-ray", "x-ray"}),
        ("images:volume", {"ct", "labels of ct"}),
        ("images:radiograph", {"x-ray"}),
    ],
)
def test_no_face_known_or_possible_is_among_the_series(tmp_path: Path, form: str, taken: set[str]) -> None:
    release: Any = Release(tmp_path)

    tasks = chosen_series(plan_of(tmp_path / "extract", form), release)

    assert {digest for task in tasks for digest, _patient in task.series} == taken
    assert {patient for task in tasks for _digest, patient in task.series} == {"k1"}


def test_every_form_of_images_has_its_series() -> None:
    assert tuple(_KINDS) == FORMS[Kind.IMAGES]


def test_a_task_has_series_until_it_is_full() -> None:
    half = BYTES_OF_A_TASK // 2
    series = [("a", "p", half), ("b", "p", half), ("c", "p", 1), ("d", "p", BYTES_OF_A_TASK + 1), ("e", "p", 1)]

    assert [[name for name, _patient in group] for group in _groups(series)] == [["a", "b"], ["c"], ["d"], ["e"]]


def test_a_row_names_the_extracts_file_and_none_that_was_not_copied(tmp_path: Path) -> None:
    plan = plan_of(tmp_path / "extract", "images")
    note_images(plan, [[("ct", "new name")], []])

    query = f"SELECT v, {image_sql(plan, 'v')} FROM (VALUES ('ct'), ('head')) t(v) ORDER BY v"
    with duckdb.connect() as sql:
        assert sql.execute(query).fetchall() == [("ct", "new name"), ("head", None)]
