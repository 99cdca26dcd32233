"""From criteria to one SQL query, in DuckDB's dialect or Spark's, over the tables of a release.

Every value a person gave travels as a bound parameter; the text holds only names written here and whole numbers. A
day is the first ten characters of the FHIR text, the day as the hospital wrote it (a partial date is its first day),
so no time zone of an engine has a say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from typing import Any

from erios.extracts.criteria.canonical import plain_number
from erios.extracts.criteria.model import (
    Age,
    And,
    Criterion,
    Diagnosis,
    Event,
    Laboratory,
    Leaf,
    Not,
    Or,
    Period,
    Procedure,
    Sex,
    Stay,
    Treatment,
    Within,
    leaves,
    steps,
)

RECORD_HEX = 15
"""Leading hex digits of a pseudonym that make its record key: 60 bits, a whole number both engines hold."""


@dataclass(frozen=True)
class Dialect:
    """How an engine quotes a name, reads 15 hex digits as a number, adds many of those, counts days between two."""

    name: str
    quote: str
    record_key: str
    sum_type: str
    days_between: str

    def column(self, name: str) -> str:
        return f"{self.quote}{name}{self.quote}"


DUCKDB = Dialect(
    "duckdb", '"', "CAST('0x' || left({key}, 15) AS BIGINT)", "HUGEINT", "date_diff('day', {since}, {until})"
)
SPARK = Dialect(
    "spark", "`", "CAST(conv(left({key}, 15), 16, 10) AS BIGINT)", "DECIMAL(38, 0)", "datediff({until}, {since})"
)


@dataclass(frozen=True)
class Query:
    """SQL text and the values of its question marks, in order."""

    sql: str
    parameters: tuple[Any, ...] = ()

    def __add__(self, other: Query | str) -> Query:
        other = other if isinstance(other, Query) else Query(other)
        return Query(self.sql + other.sql, self.parameters + other.parameters)

    def __radd__(self, other: str) -> Query:
        return Query(other) + self


def _join(glue: str, parts: Iterable[Query]) -> Query:
    found = list(parts)
    return reduce(lambda one, two: one + glue + two, found) if found else Query("")


def _both(*conditions: Query | str) -> Query:
    return _join(" AND ", (Query(c) if isinstance(c, str) else c for c in conditions if c not in ("", Query(""))))


def _any_of(values: Sequence[str], column: str) -> Query:
    return Query(f"{column} IN ({', '.join('?' * len(values))})", tuple(values))


def _day(*columns: str) -> str:
    """SQL of the day that the first of these FHIR dates that is there names."""
    text = columns[0] if len(columns) == 1 else f"coalesce({', '.join(columns)})"
    return f"TRY_CAST(left({text} || '-01-01', 10) AS DATE)"


def _not_status(column: str, *statuses: str) -> str:
    return f"coalesce({column}, '') NOT IN ({', '.join(repr(status) for status in statuses)})"


def _between(period: Period, start: str, end: str) -> Query:
    """What lies between two days touches the period."""
    first = Query(f"{end} >= CAST(? AS DATE)", (period.start.isoformat(),)) if period.start else Query("")
    last = Query(f"{start} <= CAST(? AS DATE)", (period.end.isoformat(),)) if period.end else Query("")
    return _both(first, last)


def _prefixed(codes: Sequence[str], column: str) -> Query:
    """The column's code is, or lies under, one of the codes; a range is of categories of three characters."""
    code = f"upper(replace({column}, '.', ''))"
    return "(" + _join(" OR ", (_under(one, code) for one in codes)) + ")"


def _under(code: str, column: str) -> Query:
    if "-" in code:
        return Query(f"left({column}, 3) BETWEEN ? AND ?", (code[:3], code[4:]))
    return Query(f"left({column}, {len(code)}) = ?", (code,))


_STAY_START = _day("period_start")
_STAY_END = (
    f"coalesce({_day('period_end')}, CASE WHEN status = 'in-progress' THEN DATE '9999-12-31' END, {_STAY_START})"
)
_OPENED = {
    "medication_request": (_day("authored_on"), ("cancelled", "draft", "entered-in-error")),
    "medication_administration": (
        _day("effective", "effective_period_start"),
        ("not-done", "entered-in-error", "unknown"),
    ),
    "medication_dispense": (
        _day("when_handed_over", "when_prepared"),
        ("cancelled", "declined", "entered-in-error", "preparation"),
    ),
    "medication_statement": (
        _day("effective", "effective_period_start", "date_asserted"),
        ("entered-in-error", "not-taken", "intended"),
    ),
}


def _stay(stay: Stay, dialect: Dialect) -> tuple[str, str, str, Query]:
    kinds = _any_of(stay.classes, dialect.column("class")) if stay.classes else Query("")
    seen = _not_status("status", "planned", "cancelled", "entered-in-error")
    return "encounter", _STAY_START, _STAY_END, _both(seen, kinds)


def _diagnosis(diagnosis: Diagnosis) -> tuple[str, str, str, Query]:
    day = _day("onset", "onset_period_start", "recorded_date")
    told = _not_status("verification_status", "refuted", "entered-in-error")
    return "condition", day, day, _both(told, _prefixed(diagnosis.codes, "code_icd10"))


def _laboratory(lab: Laboratory) -> tuple[str, str, str, Query]:
    day = _day("effective", "effective_period_start", "effective_instant")
    made = _not_status("status", "cancelled", "entered-in-error", "registered")
    return "observation", day, day, _both(Query("code_loinc = ?", (lab.loinc,)), made, _compared(lab))


def _compared(lab: Laboratory) -> Query:
    """A value that is itself a bound ("<5") meets a comparison of the same direction only."""
    if lab.op is None or lab.value is None:
        return Query("")
    bounds = {"<": ("<", "<="), "<=": ("<", "<="), ">": (">", ">="), ">=": (">", ">=")}.get(lab.op, ())
    exact = "value_comparator IS NULL"
    exact = f"({exact} OR value_comparator IN ({', '.join(map(repr, bounds))}))" if bounds else exact
    unit = Query("coalesce(value_unit_code, value_unit) = ?", (lab.unit,))
    value = Query(f"value_quantity {lab.op} CAST(? AS DECIMAL(18, 6))", (plain_number(lab.value),))
    return _both(unit, value, exact)


def _procedure(procedure: Procedure) -> tuple[str, str, str, Query]:
    day = _day("performed", "performed_period_start")
    done = _not_status("status", "not-done", "entered-in-error", "preparation")
    return "procedure", day, day, _both(done, _prefixed(procedure.ccam, "code_ccam"))


def _rows(event: Event, dialect: Dialect, *, dated: bool) -> Query:
    """SELECT of the event's rows: patient_key, and the first and last day where they are asked for."""
    if isinstance(event, Treatment):
        ways = (f"medication_{way}" for way in event.via)
        return _join(" UNION ALL ", (_treatment_rows(event, way, dated=dated) for way in ways))
    table, start, end, condition = _parts(event, dialect)
    condition = _both(condition, _between(event.period, start, end))
    return f"SELECT patient_key{_days(start, end, dated)} FROM {dialect.column(table)} WHERE " + condition


def _parts(event: Stay | Diagnosis | Laboratory | Procedure, dialect: Dialect) -> tuple[str, str, str, Query]:
    match event:
        case Stay():
            return _stay(event, dialect)
        case Diagnosis():
            return _diagnosis(event)
        case Laboratory():
            return _laboratory(event)
    return _procedure(event)


def _days(start: str, end: str, dated: bool) -> str:
    return f", {start} AS first_day, {end} AS last_day" if dated else ""


def _treatment_rows(treatment: Treatment, table: str, *, dated: bool) -> Query:
    """The ATC code is the row's own or that of the medication it points to."""
    day, statuses = _OPENED[table]
    given = _not_status("status", *statuses)
    refused = "NOT coalesce(do_not_perform, FALSE)" if table == "medication_request" else ""
    by_key = Query("medication_key IN (SELECT medication_key FROM medication WHERE ")
    by_key += _prefixed(treatment.atc, "code_atc") + ")"
    known = "(" + _prefixed(treatment.atc, "medication_atc") + " OR (medication_atc IS NULL AND " + by_key + "))"
    condition = _both(given, refused, known, _between(treatment.period, day, day))
    return f"SELECT patient_key{_days(day, day, dated)} FROM {table} WHERE " + condition


def _within(within: Within, dialect: Dialect) -> Query:
    event, of = (_rows(one, dialect, dated=True) for one in (within.event, within.of))
    after, before = (_gap(*pair, within.days, dialect) for pair in (("o", "e"), ("e", "o")))
    near = {"after": after, "before": before, "around": f"(({after}) OR ({before}))"}[within.direction]
    return (
        "SELECT DISTINCT e.patient_key FROM ("
        + event
        + ") e JOIN ("
        + of
        + f") o ON o.patient_key = e.patient_key WHERE {near}"
    )


def _gap(one: str, two: str, days: int, dialect: Dialect) -> str:
    """``two`` begins while ``one`` lasts, or at most so many days after its end."""
    apart = dialect.days_between.format(since=f"{one}.last_day", until=f"{two}.first_day")
    return f"{two}.first_day >= {one}.first_day AND {apart} <= {days}"


def _age_sql(birth: str, on: str) -> str:
    """Whole years from one day to another."""
    early = f"month({on}) * 100 + day({on}) < month({birth}) * 100 + day({birth})"
    return f"(year({on}) - year({birth}) - CASE WHEN {early} THEN 1 ELSE 0 END)"


def _age_condition(age: Age, birth: str, on: str) -> str:
    years = _age_sql(birth, on)
    low = f"{years} >= {int(age.min)}" if age.min is not None else ""
    high = f"{years} <= {int(age.max)}" if age.max is not None else ""
    return " AND ".join([*filter(None, (low, high)), f"{on} >= {birth}"])


def _age_at_stay(age: Age, dialect: Dialect) -> Query:
    stays = _rows(Stay(), dialect, dated=True)
    condition = _age_condition(age, "b.birth_on", "s.first_day")
    return (
        "SELECT DISTINCT s.patient_key FROM ("
        + stays
        + f") s JOIN patient b ON b.patient_key = s.patient_key WHERE {condition}"
    )


def _of_patient(leaf: Leaf) -> Query | None:
    """A leaf that the patient's own row answers, as a condition on ``p``."""
    if isinstance(leaf, Sex):
        return "coalesce(" + _any_of(leaf.values, "p.gender") + ", FALSE)"
    if isinstance(leaf, Age) and leaf.on:
        return Query(f"coalesce({_age_condition(leaf, 'p.birth_on', _literal(leaf.on))}, FALSE)")
    return None


def _literal(day: date) -> str:
    return f"DATE '{day.isoformat()}'"


def _members(leaf: Leaf, dialect: Dialect) -> Query:
    """SELECT of the patients, each once, whom a leaf holds."""
    if isinstance(leaf, Within):
        return _within(leaf, dialect)
    if isinstance(leaf, Age):
        return _age_at_stay(leaf, dialect)
    assert not isinstance(leaf, Sex)
    return "SELECT DISTINCT patient_key FROM (" + _rows(leaf, dialect, dated=False) + ") rows_of_patient"


def _flags(found: Sequence[Leaf], dialect: Dialect) -> Query:
    """SELECT of every patient with a flag a leaf: patient_key, record_key, leaf_0, leaf_1, …"""
    own = {place: _of_patient(leaf) for place, leaf in enumerate(found)}
    joined = [place for place, condition in own.items() if condition is None]
    parts = [f"leaf_{n} AS (" + _members(found[n], dialect) + ")" for n in joined]
    columns = [
        (condition or Query(f"j{place}.patient_key IS NOT NULL")) + f" AS leaf_{place}"
        for place, condition in own.items()
    ]
    key = dialect.record_key.format(key="p.patient_key")
    select = _join(", ", [Query("p.patient_key"), Query(f"{key} AS record_key"), *columns])
    joins = " ".join(f"LEFT JOIN leaf_{n} j{n} ON j{n}.patient_key = p.patient_key" for n in joined)
    opening = "WITH " + _join(", ", parts) + " " if parts else Query("")
    return opening + "SELECT " + select + f" FROM patient p {joins}"


def leaves_query(found: Sequence[Leaf], dialect: Dialect = DUCKDB) -> Query:
    """One query for the patients whom at least one leaf holds: record_key, then a flag for each leaf in order."""
    names = [f"leaf_{n}" for n in range(len(found))]
    flags = _flags(found, dialect)
    return f"SELECT record_key, {', '.join(names)} FROM (" + flags + f") flags WHERE {' OR '.join(names)}"


def _boolean(criterion: Criterion, found: Sequence[Leaf]) -> str:
    match criterion:
        case And(parts):
            return "(" + " AND ".join(_boolean(part, found) for part in parts) + ")" if parts else "TRUE"
        case Or(parts):
            return "(" + " OR ".join(_boolean(part, found) for part in parts) + ")"
        case Not(inner):
            return f"(NOT {_boolean(inner, found)})"
        case _:
            return f"leaf_{found.index(criterion)}"


def cohort_query(criterion: Criterion, dialect: Dialect = DUCKDB) -> Query:
    """One query for the pseudonyms of a cohort: patient_key."""
    found = list(dict.fromkeys(leaves(criterion)))
    return "SELECT patient_key FROM (" + _flags(found, dialect) + f") flags WHERE {_boolean(criterion, found)}"


def counts_query(criterion: Criterion, dialect: Dialect = DUCKDB) -> Query:
    """One query, one row: for everybody and after each step, how many patients (n_0, …) and the exact sum of their
    record keys (k_0, …). The last pair is the whole cohort's."""
    found = list(dict.fromkeys(leaves(criterion)))
    parts = steps(criterion)
    columns = []
    for n in range(len(parts) + 1):
        kept = _boolean(And(parts[:n]), found)
        columns += [
            f"count(*) FILTER (WHERE {kept}) AS n_{n}",
            f"coalesce(sum(CAST(record_key AS {dialect.sum_type})) FILTER (WHERE {kept}), 0) AS k_{n}",
        ]
    return f"SELECT {', '.join(columns)} FROM (" + _flags(found, dialect) + ") flags"


def tables(found: Iterable[Leaf]) -> set[str]:
    """Names of the tables that the leaves read."""
    names = {"patient"}
    for leaf in found:
        names |= _tables(leaf)
    return names


def _tables(leaf: Leaf) -> set[str]:
    match leaf:
        case Within(event, of):
            return _tables(event) | _tables(of)
        case Treatment(via=via):
            return {"medication", *(f"medication_{way}" for way in via)}
        case Stay():
            return {"encounter"}
        case Age(on=on):
            return set() if on else {"encounter"}
        case Diagnosis():
            return {"condition"}
        case Laboratory():
            return {"observation"}
        case Procedure():
            return {"procedure"}
    return set()
