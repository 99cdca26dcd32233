"""A typed column in its form: the oldest share one age and one year of birth, dates keep what their policy says."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from erios.checkout import PROJECT
from erios.extracts.generalisation.columns import FORMS, Terms, check_form, column_sql, kind_of
from erios.extracts.generalisation.dates import ClockPrecision, DatePolicy
from erios.extracts.generalisation.vocabulary import split_level
from erios.extracts.specification import warehouse_tables
from etl.privacy import PseudonymKey, bind_key
from etl.sql import identifier
from etl.views.compiled_view import Column

TABLES = warehouse_tables(PROJECT / "conf" / "views")
YEAR = 2026
"""Of the release: who was born in 1936 turns ninety."""


def column_of(table: str, name: str) -> Column:
    return next(one for one in TABLES[table].view.columns if one.name == name)


def written(
    table: str,
    name: str,
    form: str,
    value: str,
    dates: DatePolicy = DatePolicy.MONTH,
    clock: ClockPrecision = ClockPrecision.DAY,
) -> Any:
    """What the build writes for a value of a column; the patient's dates are moved by a week."""
    column = column_of(table, name)
    sql = column_sql(table, column, form, Terms(dates, YEAR, clock))
    source = f"(SELECT CAST(? AS {column.sql_type}) AS {identifier(name)}) t, (SELECT 'k' AS study_key, 7 AS shift) m"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        ((answer,),) = connection.execute(f"SELECT CAST({sql} AS VARCHAR) FROM {source}", [value]).fetchall()
    return answer


def rekeyed(name: str, value: Any, study: bytes) -> Any:
    """What an extract of a study writes for a code of the warehouse."""
    column = column_of("observation", name)
    sql = column_sql("observation", column, "", Terms(DatePolicy.MONTH, YEAR, ClockPrecision.DAY))
    source = f"(SELECT CAST(? AS {column.sql_type}) AS {identifier(name)}) t"
    with duckdb.connect() as connection:
        bind_key(connection, PseudonymKey("k1", study * 32))
        ((answer,),) = connection.execute(f"SELECT {sql} FROM {source}", [value]).fetchall()
    return answer


@pytest.mark.parametrize("name", ["code", "code_all", "code_system", "value_unit_code"])
def test_two_studies_share_no_pseudonym_of_a_local_code_and_each_keeps_what_is_equal(name: str) -> None:
    is_list = column_of("observation", name).collection
    local, listed = "local-" + "0" * 32, "718-7"

    def written_for(study: bytes, *codes: str) -> list[Any]:
        return [rekeyed(name, [code] if is_list else code, study) for code in codes]

    first, same, known = written_for(b"a", local, local, listed)
    (other,) = written_for(b"b", local)

    assert known == ([listed] if is_list else listed)
    assert first == same != other
    for answer in (first, other):
        (text,) = answer if is_list else [answer]
        assert text.startswith("local-")
        assert len(text) == len(local)
        assert text != local


@pytest.mark.parametrize(
    ("form", "born", "shown"),
    [
        ("year", "1935-12-31", "1936"),
        ("year", "1936-01-01", "1936"),
        ("year", "1937-01-01", "1937"),
        ("month", "1935-06-15", "1936"),
        ("month", "1936-06-15", "1936"),
        ("month", "1937-06-15", "1937-06"),
        ("years:5", "1920-06-15", "1935"),
        ("years:5", "1944-06-15", "1940"),
        ("years:10", "1936-06-15", "1930"),
    ],
)
def test_the_oldest_share_one_year_of_birth(form: str, born: str, shown: str) -> None:
    assert written("patient", "birth_date", form, born) == shown
    assert written("patient", "birth_on", form, born) == f"{shown}-01-01"[:10]


@pytest.mark.parametrize(
    ("form", "age", "shown"), [("keep", 89, 89), ("keep", 90, 90), ("keep", 91, 90), ("band:5", 104, 90)]
)
def test_the_oldest_share_one_age(form: str, age: int, shown: int) -> None:
    table, name = next(
        (table.name, column.name)
        for table in TABLES.values()
        for column in table.view.columns
        if kind_of(table.name, column) == "age" and not column.collection
    )
    assert float(written(table, name, form, str(age))) == shown


@pytest.mark.parametrize(
    ("dates", "shown"),
    [
        (DatePolicy.EXACT, "2024-01-30"),
        (DatePolicy.SHIFTED, "2024-02-06"),
        (DatePolicy.MONTH, "2024-01"),
        (DatePolicy.YEAR, "2024"),
    ],
)
def test_a_date_keeps_what_its_policy_says(dates: DatePolicy, shown: str) -> None:
    assert written("encounter", "period_start", "policy", "2024-01-30", dates) == shown


@pytest.mark.parametrize(
    ("clock", "text", "typed"),
    [
        (ClockPrecision.DAY, "2024-02-07", "2024-02-07 00:00:00+00"),
        (ClockPrecision.PART, "2024-02-07T00:00", "2024-02-07 00:00:00+00"),
        (ClockPrecision.HOUR, "2024-02-07T02:00", "2024-02-07 02:00:00+00"),
    ],
)
def test_a_shifted_instant_is_cut_on_the_hospitals_clock(clock: ClockPrecision, text: str, typed: str) -> None:
    """01:45 UTC of 31 January is 02:45 in France: text and typed twin say no more than the specification."""
    for written_as in ("2024-01-31T01:45:10.5Z", "2024-01-31T02:45:10.5+01:00", "2024-01-30T20:45:10.5-05:00"):
        assert written("encounter", "period_start", "policy", written_as, DatePolicy.SHIFTED, clock) == text
        assert written("encounter", "period_start_at", "policy", written_as, DatePolicy.SHIFTED, clock) == typed


@pytest.mark.parametrize(
    ("clock", "shown"), [(ClockPrecision.DAY, None), (ClockPrecision.PART, "12:00"), (ClockPrecision.HOUR, "14:00")]
)
def test_a_time_of_day_says_no_more_than_an_instant(clock: ClockPrecision, shown: str | None) -> None:
    assert written("observation", "value_time", "policy", "14:37:05", DatePolicy.SHIFTED, clock) == shown


@pytest.mark.parametrize(("form", "shown"), [("month", "2024-01-01"), ("year", "2024-01-01")])
def test_a_typed_date_of_a_month_or_year_is_its_first_day(form: str, shown: str) -> None:
    assert written("patient", "deceased_on", form, "2024-01-30") == shown


def test_a_birth_date_takes_the_form_of_an_earlier_version() -> None:
    assert check_form(TABLES["patient"], column_of("patient", "birth_date"), "band:5") == "years:5"


def test_every_form_is_a_generalisation() -> None:
    forms = {form for of_kind in FORMS.values() for form in of_kind} - {"policy"}

    assert [form for form in sorted(forms) if split_level(form)[0] is None] == []
