"""The structure of an extract, shown on an invented person."""

from __future__ import annotations

import pytest

from erios.checkout import PROJECT
from erios.extracts.generalisation.columns import FORMS, Terms, kind_of
from erios.extracts.generalisation.dates import DatePolicy
from erios.extracts.invented_sample import STUDY_KEY, sample_of
from etl.tables import WarehouseTable, load_tables

TABLES = {table.name: table for table in load_tables(PROJECT / "conf" / "views")}


def shown(table: str, name: str, form: str, dates: DatePolicy = DatePolicy.SHIFTED) -> str:
    column = next(one for one in TABLES[table].view.columns if one.name == name)
    return sample_of(table, column, form, Terms(dates, 2026))


@pytest.mark.parametrize(
    ("table", "name", "form", "expected"),
    [
        ("patient", "patient_key", "study-key", STUDY_KEY),
        ("patient", "birth_date", "years:10", "1950"),
        ("patient", "birth_date", "month", "1957-03"),
        ("patient", "departement", "region", "Auvergne-Rhône-Alpes"),
        ("condition", "code_icd10", "category", "I50"),
        ("medication_request", "medication_atc", "atc:3", "C09"),
        ("encounter", "period_start", "month", "2025-06"),
        ("encounter", "period_start", "year", "2025"),
        ("dicom_series", "voxels_sha256", "images", "…"),
    ],
)
def test_an_invented_value_goes_through_the_form(table: str, name: str, form: str, expected: str) -> None:
    assert shown(table, name, form) == expected


def test_a_shifted_date_is_another_day_and_an_exact_one_the_same() -> None:
    assert shown("encounter", "period_start", "policy", DatePolicy.EXACT).startswith("2025-06-14")
    assert not shown("encounter", "period_start", "policy").startswith("2025-06-14")


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_column_can_be_shown_in_each_of_its_forms(table: WarehouseTable) -> None:
    for column in table.view.columns:
        for form in FORMS[kind_of(table.name, column)]:
            assert sample_of(table.name, column, form, Terms(DatePolicy.SHIFTED, 2026))
