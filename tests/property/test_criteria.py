"""DuckDB, Spark and plain loops give one answer to any criteria over any rows: counts, key sums and cohorts."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erios.extracts.criteria import DUCKDB, SPARK, canonical, cohort_query, leaves, leaves_query, parse
from erios.extracts.criteria.sql import RECORD_HEX
from erios.extracts.differencing import evaluate
from tests.property.slow_criteria import DATES, members
from tests.sampling import examples

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NUMBER, TEXT = pa.decimal128(38, 22), pa.string()
MEDICATION = {"patient_key": TEXT, "status": TEXT, "medication_atc": TEXT, "medication_key": TEXT}
SCHEMAS: dict[str, dict[str, Any]] = {
    "patient": {"patient_key": TEXT, "gender": TEXT, "birth_on": pa.date32()},
    "encounter": dict.fromkeys(["patient_key", "class", "status", "period_start", "period_end"], TEXT),
    "condition": dict.fromkeys(
        ["patient_key", "code_icd10", "verification_status", "onset", "onset_period_start", "recorded_date"], TEXT
    ),
    "observation": {
        **dict.fromkeys(["patient_key", "code_loinc", "status", "value_unit", "value_unit_code"], TEXT),
        "value_comparator": TEXT,
        "value_quantity": NUMBER,
        **dict.fromkeys(["effective", "effective_period_start", "effective_instant"], TEXT),
    },
    "procedure": dict.fromkeys(["patient_key", "code_ccam", "status", "performed", "performed_period_start"], TEXT),
    "medication": {"medication_key": TEXT, "code_atc": TEXT},
    **{table: {**MEDICATION, **dict.fromkeys(names, TEXT)} for table, names in DATES.items()},
}
SCHEMAS["medication_request"]["do_not_perform"] = pa.bool_()
DAYS = ["2023", "2023-03", "2023-03-01", "2023-02-30", "2023-03-05T23:30:00+01:00", "2023-03-31", "2024-02-29", None]
VALUES: dict[str, list[Any]] = {
    "gender": ["female", "male", "unknown", None],
    "birth_on": [date(1950, 3, 1), date(1990, 12, 1), date(2023, 3, 5), None],
    "class": ["IMP", "EMER", "AMB", None],
    "status": ["finished", "in-progress", "completed", "cancelled", "not-done", "entered-in-error", None],
    "code_icd10": ["E11.9", "E119", "I10", "i15.0", "E1", None],
    "verification_status": ["confirmed", "refuted", None],
    "code_loinc": ["718-7", "2345-7"],
    "value_unit": ["g/dL", None],
    "value_unit_code": ["g/dL", "g/L", None],
    "value_comparator": [None, None, "<", ">="],
    "value_quantity": [Decimal("9"), Decimal("9.5"), Decimal("12"), None],
    "code_ccam": ["HHFA016", "DEQP003", None],
    "medication_key": ["m0", "m1", None],
    "medication_atc": ["A10BA02", "N02BE01", None, None],
    "code_atc": ["A10BA02", "C07AB07", None],
    "do_not_perform": [True, False, None],
}
EVENTS: list[dict[str, Any]] = [
    {"stay": {}},
    {"stay": {"class": ["IMP", "EMER"]}},
    {"diagnosis": {"codes": ["E11"]}},
    {"diagnosis": {"codes": ["I10-I15", "E11.9"]}},
    {"laboratory": {"loinc": "718-7"}},
    *({"laboratory": {"loinc": "718-7", "op": op, "value": 9.5, "unit": "g/dL"}} for op in ("<", "<=", "=", ">=", ">")),
    {"treatment": {"atc": ["A10"]}},
    {"treatment": {"atc": ["N02BE01", "C"], "via": ["request", "statement"]}},
    {"procedure": {"ccam": ["HHFA"]}},
]
PERIODS: list[dict[str, str]] = [
    {},
    {"from": "2023-03-05"},
    {"to": "2023-03-01"},
    {"from": "2023-03-01", "to": "2023-03-31"},
]
PATIENTS: list[dict[str, Any]] = [
    {"sex": ["female"]},
    {"age": {"min": 33, "max": 73, "at": "2024-03-01"}},
    {"age": {"max": 32, "at": "stay"}},
    {"age": {"min": 0, "at": "stay"}},
]
Choose = Callable[[list[Any]], Any]


def any_tables(choose: Choose) -> dict[str, list[dict[str, Any]]]:
    """Some rows of every table; two patients have the same record key but for digits beyond it."""
    keys = [f"{n:0{RECORD_HEX}x}".replace("0", "f", 3) + "0" * 17 for n in range(choose([1, 3, 6]))]
    tables = {name: [_row(name, keys, choose) for _ in range(choose([0, 2, 6]))] for name in SCHEMAS}
    tables["patient"] = [{**_row("patient", keys, choose), "patient_key": key} for key in keys]
    tables["medication"] = [{"medication_key": key, "code_atc": choose(VALUES["code_atc"])} for key in ("m0", "m1")]
    return tables


def _row(table: str, keys: list[str], choose: Choose) -> dict[str, Any]:
    """A column of no list of values is a date."""
    return {
        name: choose([*keys, "nobody"]) if name == "patient_key" else choose(VALUES.get(name, DAYS))
        for name in SCHEMAS[table]
    }


def any_criterion(choose: Choose, depth: int = 2) -> dict[str, Any]:
    """JSON of a criterion."""
    kind = choose(["leaf", "leaf", "within", "and", "or", "not"] if depth else ["leaf", "within"])
    if kind == "not":
        return {"not": any_criterion(choose, depth - 1)}
    if kind in ("and", "or"):
        return {kind: [any_criterion(choose, depth - 1) for _ in range(choose([1, 2, 3]))]}
    if kind == "within":
        days, direction = choose([0, 4, 30, 400]), choose(["after", "around", "before"])
        return {"within": {"event": _event(choose), "days": days, "of": _event(choose), "direction": direction}}
    found: dict[str, Any] = choose([choose(PATIENTS), _event(choose), _event(choose)])
    return found


def _event(choose: Choose) -> dict[str, Any]:
    ((kind, fields),) = choose(EVENTS).items()
    return {kind: {**fields, **choose(PERIODS)}}


def _arrow(tables: dict[str, list[dict[str, Any]]]) -> dict[str, pa.Table]:
    return {name: pa.Table.from_pylist(rows, schema=pa.schema(SCHEMAS[name])) for name, rows in tables.items()}


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect() as connection:
        yield connection


def _fill(connection: duckdb.DuckDBPyConnection, tables: dict[str, list[dict[str, Any]]]) -> None:
    for name, table in _arrow(tables).items():
        connection.register("arrow_rows", table)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM arrow_rows")
        connection.unregister("arrow_rows")


@st.composite
def _cases(draw: Any) -> Any:
    choose = lambda options: draw(st.sampled_from(options))  # noqa: E731
    return any_tables(choose), parse(any_criterion(choose))


@settings(max_examples=examples(120))
@given(case=_cases())
def test_duckdb_agrees_with_plain_loops(case, connection):
    tables, criterion = case
    _fill(connection, tables)

    for asked in (criterion, canonical(criterion)):
        cohort = cohort_query(asked)
        found = connection.execute(cohort.sql, cohort.parameters).fetchall()
        assert sorted(key for (key,) in found) == sorted(members(asked, tables))


@settings(max_examples=examples(40))
@given(case=_cases())
def test_flags_of_leaves_give_the_cohort(case, connection):
    tables, criterion = case
    _fill(connection, tables)
    found = list(dict.fromkeys(leaves(criterion)))
    query = leaves_query(found)
    rows = connection.execute(query.sql, query.parameters).fetchnumpy()

    everybody = sorted(int(p["patient_key"][:RECORD_HEX], 16) for p in tables["patient"])
    places = {key: place for place, key in enumerate(everybody)}
    flags = {leaf: _flags(rows, n, places) for n, leaf in enumerate(found)}
    who = evaluate(criterion, flags, _flags(rows, None, places))

    keys = {int(key[:RECORD_HEX], 16) for key in members(criterion, tables)}
    assert {key for key, place in places.items() if who[place]} == keys


def _flags(rows: Any, leaf: int | None, places: dict[int, int]) -> Any:
    import numpy as np

    flags = np.full(len(places), leaf is None)
    if leaf is not None:
        for key, flag in zip(rows["record_key"], rows[f"leaf_{leaf}"], strict=True):
            flags[places[int(key)]] = flag
    return flags


FIXED = [
    {"and": [{"sex": "female"}, *EVENTS[:4]]},
    {"or": [EVENTS[6], {"not": EVENTS[10]}, {"age": {"max": 40, "at": "stay"}}]},
    {"within": {"event": EVENTS[1], "days": 30, "of": EVENTS[2], "direction": "after"}},
]


@pytest.mark.slow
@pytest.mark.slow
def test_spark_agrees_with_duckdb(spark: SparkSession, connection: duckdb.DuckDBPyConnection) -> None:
    draw = random.Random(11)
    tables = any_tables(lambda options: options[-1] if options == [1, 3, 6] else draw.choice(options))
    _fill(connection, tables)
    for name, table in _arrow(tables).items():
        spark.createDataFrame(table).createOrReplaceTempView(name)

    for value in [*FIXED, *(any_criterion(draw.choice) for _ in range(9))]:
        criterion = parse(value)
        for query in (cohort_query, lambda asked, dialect: leaves_query(list(dict.fromkeys(leaves(asked))), dialect)):
            duck, jvm = query(criterion, DUCKDB), query(criterion, SPARK)
            rows = [tuple(row) for row in spark.sql(jvm.sql, args=list(jvm.parameters)).collect()]
            assert sorted(rows) == sorted(connection.execute(duck.sql, duck.parameters).fetchall())
