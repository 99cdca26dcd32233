"""The summary of stays: one row a stay in bed, of what happened before, during and after it, in numbers alone.

Owns the two tables that no record holds and an extract may: ``stay_summary``, and ``laboratory_summary``, a row a stay
and analysis with mean, least and greatest result. They stand for event tables whose dates, order and values would tell
patients apart; each of their columns has levels, finest first, that the proposals of a risk report climb.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from etl.sql import identifier

if TYPE_CHECKING:
    from etl.tables import WarehouseTable

STAYS, LABORATORY = "stay_summary", "laboratory_summary"
SOURCES = ("encounter", "patient", "condition", "medication_request", "observation")
"""Tables of the warehouse that the summaries are made of."""
RETURN_DAYS, YEAR_DAYS = 30, 365


@dataclass(frozen=True)
class SummaryColumn:
    """A column: DuckDB type, meaning, its forms from the finest on, and the warehouse columns that it is made of.

    ``outcome``: what a study of stays asks about; proposals never leave it out.
    """

    name: str
    sql_type: str
    meaning: str
    forms: tuple[str, ...]
    needs: tuple[str, ...]
    outcome: bool = False


_STAY = ("encounter.class", "encounter.period_start", "encounter.period_end")
COLUMNS: Mapping[str, tuple[SummaryColumn, ...]] = {
    STAYS: (
        SummaryColumn(
            "returned",
            "INTEGER",
            "1: a visit to the emergency department within thirty days of the end; else 0",
            ("keep",),
            _STAY,
            outcome=True,
        ),
        SummaryColumn(
            "age",
            "INTEGER",
            "Age at the end of the stay, in years",
            ("keep", "band:5", "band:10", "steps:0,18,50,65,75,85", "steps:0,50,75", "steps:0,60"),
            ("patient.birth_date", *_STAY),
        ),
        SummaryColumn("gender", "VARCHAR", "Administrative gender", ("keep",), ("patient.gender", *_STAY)),
        SummaryColumn(
            "unplanned", "INTEGER", "1: the stay began in the emergency department; else 0", ("keep",), _STAY
        ),
        SummaryColumn(
            "days",
            "INTEGER",
            "Length of the stay in days",
            ("keep", "steps:0,1,2,3,5,7,10,14,21,30", "steps:0,2,5,10,20", "steps:0,5,12", "steps:0,6"),
            _STAY,
        ),
        SummaryColumn(
            "stays_last_year",
            "INTEGER",
            "Stays in bed that began in the year before this one began, this one included",
            ("keep", "steps:1,2,3,5,8", "steps:1,2,3", "steps:1,2"),
            _STAY,
        ),
        SummaryColumn(
            "long_illnesses",
            "INTEGER",
            "Different diagnoses (categories) of no stay that were recorded until the end",
            ("keep", "steps:0,1,2,3,4,6,8", "steps:0,1,2,4", "steps:0,2,4", "steps:0,3"),
            ("condition.code_icd10", "condition.recorded_date", *_STAY),
        ),
        SummaryColumn(
            "treatments",
            "INTEGER",
            "Different medicines (ATC) prescribed in the stay",
            ("keep", "steps:0,1,2,3,5,8", "steps:0,1,3,6", "steps:0,3", "steps:0,1"),
            ("medication_request.medication_atc", *_STAY),
        ),
    ),
    LABORATORY: (
        SummaryColumn("code_loinc", "VARCHAR", "Analysis", ("keep", "rare"), ("observation.code_loinc", *_STAY)),
        *(
            SummaryColumn(
                name,
                "DOUBLE",
                f"{words} result of the stay",
                ("keep", "analyte", "analyte:3"),
                ("observation.code_loinc", "observation.value_quantity", *_STAY),
            )
            for name, words in (("mean", "Mean"), ("least", "Least"), ("greatest", "Greatest"))
        ),
    ),
}


def forms_of_summary(table: str, column: str) -> tuple[str, ...] | None:
    """The forms of a summary's column; None for any other column."""
    found = (entry.forms for entry in COLUMNS.get(table, ()) if entry.name == column)
    return next(found, None)


def needs_of(table: str, column: str) -> tuple[str, ...]:
    """The columns of the warehouse that a summary's column is made of; none for another table's."""
    return next((entry.needs for entry in COLUMNS.get(table, ()) if entry.name == column), ())


@cache
def summary_tables() -> Mapping[str, WarehouseTable]:
    """The summaries, described as tables of the warehouse are."""
    return {name: _described(name) for name in COLUMNS}


def _described(name: str) -> WarehouseTable:
    from etl.tables import WarehouseTable
    from etl.views import Column
    from etl.views.compiled_view import CompiledView

    keys = [
        Column(key, key, "string", "VARCHAR", False, {"erios/privacy": "pseudonym"})
        for key in ("encounter_key", "patient_key")
    ]
    values = [
        Column(entry.name, entry.name, "string", entry.sql_type, False, {"erios/privacy": "keep"}, entry.meaning)
        for entry in COLUMNS[name]
    ]
    view = CompiledView(name, "Encounter", (*keys, *values), {}, None, ())  # type: ignore[arg-type] # never run
    return WarehouseTable(name, view, "encounter_key")


def summary_sql(name: str, relations: Mapping[str, str], cohort: str) -> str:
    """SELECT of a summary of the patients of ``cohort`` (a relation with patient_key), from SQL of the warehouse's
    tables; a table that the release lacks counts as empty."""
    own = {table: relations.get(table) or _EMPTY[table] for table in SOURCES}
    parts = ", ".join(
        f"{identifier('of_' + table)} AS (SELECT * FROM ({sql}) SEMI JOIN {cohort} USING (patient_key))"
        for table, sql in own.items()
    )
    return f"WITH {parts}, {_COMMON} {_STAYS_SELECT if name == STAYS else _LABORATORY_SELECT}"


def _empty(columns: Collection[str]) -> str:
    return "SELECT " + ", ".join(f"NULL::VARCHAR AS {column}" for column in columns) + " WHERE FALSE"


_EMPTY = {
    "encounter": _empty(
        ("patient_key", "encounter_key", "part_of_key", "class", "status", "period_start", "period_end")
    ),
    "patient": _empty(("patient_key", "birth_date", "gender")),
    "condition": _empty(("patient_key", "encounter_key", "code_icd10", "recorded_date")),
    "medication_request": _empty(("patient_key", "encounter_key", "medication_atc")),
    "observation": _empty(("patient_key", "encounter_key", "code_loinc", "value_quantity")),
}
_COMMON = f"""
visit AS (
    SELECT patient_key, encounter_key, part_of_key, class, TRY_CAST(period_start AS TIMESTAMPTZ) AS starts,
        TRY_CAST(period_end AS TIMESTAMPTZ) AS ends
    FROM of_encounter
    WHERE period_start IS NOT NULL AND coalesce(status, '') NOT IN ('planned', 'cancelled', 'entered-in-error')
),
stay AS (SELECT * FROM visit WHERE class = 'IMP' AND part_of_key IS NULL AND ends IS NOT NULL AND starts IS NOT NULL),
within AS (SELECT encounter_key, coalesce(part_of_key, encounter_key) AS stay_key FROM visit),
emergency AS (SELECT patient_key, starts, ends FROM visit WHERE class = 'EMER'),
before AS (
    SELECT s.encounter_key, count(*) AS stays FROM stay s JOIN stay o USING (patient_key)
    WHERE o.starts <= s.starts AND o.starts >= s.starts - INTERVAL {YEAR_DAYS} DAY GROUP BY 1
),
arrived AS (
    SELECT DISTINCT s.encounter_key FROM stay s JOIN emergency e USING (patient_key)
    WHERE e.starts BETWEEN s.starts - INTERVAL 1 DAY AND s.starts + INTERVAL 1 HOUR
),
came_back AS (
    SELECT DISTINCT s.encounter_key FROM stay s JOIN emergency e USING (patient_key)
    WHERE e.starts > s.ends AND e.starts <= s.ends + INTERVAL {RETURN_DAYS} DAY
),
illness AS (
    SELECT s.encounter_key, count(DISTINCT left(c.code_icd10, 3)) AS illnesses
    FROM stay s JOIN of_condition c USING (patient_key)
    WHERE c.encounter_key IS NULL AND left(c.recorded_date, 10) <= strftime(s.ends, '%Y-%m-%d') GROUP BY 1
),
treatment AS (
    SELECT stay_key AS encounter_key, count(DISTINCT medication_atc) AS medicines
    FROM of_medication_request JOIN within USING (encounter_key) GROUP BY 1
)
"""
_STAYS_SELECT = """
SELECT s.encounter_key, s.patient_key, (r.encounter_key IS NOT NULL)::INTEGER AS returned,
    year(s.ends) - TRY_CAST(left(p.birth_date, 4) AS INTEGER) AS age, p.gender,
    (a.encounter_key IS NOT NULL)::INTEGER AS unplanned,
    date_diff('day', s.starts, s.ends)::INTEGER AS days, b.stays::INTEGER AS stays_last_year,
    coalesce(i.illnesses, 0)::INTEGER AS long_illnesses, coalesce(t.medicines, 0)::INTEGER AS treatments
FROM stay s LEFT JOIN of_patient p USING (patient_key) LEFT JOIN came_back r USING (encounter_key)
LEFT JOIN arrived a USING (encounter_key) LEFT JOIN before b USING (encounter_key)
LEFT JOIN illness i USING (encounter_key) LEFT JOIN treatment t USING (encounter_key)
"""
_LABORATORY_SELECT = """
SELECT s.encounter_key, s.patient_key, o.code_loinc, avg(o.value_quantity::DOUBLE) AS mean,
    min(o.value_quantity::DOUBLE) AS least, max(o.value_quantity::DOUBLE) AS greatest
FROM of_observation o JOIN within w ON w.encounter_key = o.encounter_key JOIN stay s ON s.encounter_key = w.stay_key
WHERE o.code_loinc IS NOT NULL AND o.value_quantity IS NOT NULL GROUP BY ALL
"""
