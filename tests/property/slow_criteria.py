"""Criteria in plain Python: who meets them, by loops over rows. Written from docs/criteria.md, without SQL."""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from erios.extracts.criteria import (
    Age,
    And,
    Criterion,
    Diagnosis,
    Laboratory,
    Not,
    Or,
    Procedure,
    Sex,
    Stay,
    Treatment,
    Within,
)

Row = Mapping[str, Any]
Tables = Mapping[str, Sequence[Row]]
DATES = {
    "medication_request": ("authored_on",),
    "medication_administration": ("effective", "effective_period_start"),
    "medication_dispense": ("when_handed_over", "when_prepared"),
    "medication_statement": ("effective", "effective_period_start", "date_asserted"),
}
VOID = {
    "encounter": {"planned", "cancelled", "entered-in-error"},
    "observation": {"cancelled", "entered-in-error", "registered"},
    "procedure": {"not-done", "entered-in-error", "preparation"},
    "medication_request": {"cancelled", "draft", "entered-in-error"},
    "medication_administration": {"not-done", "entered-in-error", "unknown"},
    "medication_dispense": {"cancelled", "declined", "entered-in-error", "preparation"},
    "medication_statement": {"entered-in-error", "not-taken", "intended"},
}


def day(text: str | None) -> date | None:
    """The day of a FHIR date or time as it is written; the first day of a partial one; None for no day at all."""
    if text is None:
        return None
    parts = [int(part) for part in text[:10].split("-")] + [1, 1]
    year, month, number = parts[:3]
    return date(year, month, number) if number <= calendar.monthrange(year, month)[1] else None


def first(row: Row, *names: str) -> date | None:
    """The day of the first of these that is there."""
    return next((day(row[name]) for name in names if row[name] is not None), None)


def members(criterion: Criterion, tables: Tables) -> set[str]:
    """Keys of the patients who meet the criterion."""
    return {p["patient_key"] for p in tables["patient"] if meets(p, criterion, tables)}


def meets(patient: Row, criterion: Criterion, tables: Tables) -> bool:
    """Does this patient?"""
    match criterion:
        case And(parts):
            return all(meets(patient, part, tables) for part in parts)
        case Or(parts):
            return any(meets(patient, part, tables) for part in parts)
        case Not(inner):
            return not meets(patient, inner, tables)
        case Sex(values):
            return patient["gender"] in values
        case Age(on=None):
            return any(_aged(patient, criterion, start) for start, _ in events(patient, Stay(), tables))
        case Age(on=on):
            return _aged(patient, criterion, on)
        case Within():
            return _near(patient, criterion, tables)
        case _:
            return any(True for _ in events(patient, criterion, tables))


def _aged(patient: Row, age: Age, on: date | None) -> bool:
    birth = patient["birth_on"]
    if birth is None or on is None or on < birth:
        return False
    years = on.year - birth.year - ((on.month, on.day) < (birth.month, birth.day))
    return (age.min is None or years >= age.min) and (age.max is None or years <= age.max)


def _near(patient: Row, within: Within, tables: Tables) -> bool:
    for one in events(patient, within.event, tables):
        for other in events(patient, within.of, tables):
            after, before = _follows(one, other, within.days), _follows(other, one, within.days)
            if {"after": after, "before": before, "around": after or before}[within.direction]:
                return True
    return False


def _follows(one: tuple[Any, Any], other: tuple[Any, Any], days: int) -> bool:
    """Does ``one`` begin while ``other`` lasts, or at most so many days after?"""
    if None in (*one, *other):
        return False
    return bool(other[0] <= one[0] and (one[0] - other[1]).days <= days)


def events(patient: Row, event: Any, tables: Tables) -> Iterator[tuple[date | None, date | None]]:
    """First and last day of each of the patient's events."""
    for row, table in _rows(patient, event, tables):
        if row.get("status") in VOID.get(table, ()):
            continue
        start, end = _days(row, table)
        if _matches(row, event, tables) and _touches(start, end, event):
            yield start, end


def _rows(patient: Row, event: Any, tables: Tables) -> Iterator[tuple[Row, str]]:
    names = {Stay: "encounter", Diagnosis: "condition", Laboratory: "observation", Procedure: "procedure"}
    for table in [f"medication_{way}" for way in event.via] if isinstance(event, Treatment) else [names[type(event)]]:
        for row in tables[table]:
            if row["patient_key"] == patient["patient_key"]:
                yield row, table


def _days(row: Row, table: str) -> tuple[date | None, date | None]:
    if table == "encounter":
        start, end = day(row["period_start"]), day(row["period_end"])
        if end is None:
            end = date.max if row["status"] == "in-progress" else start
        return start, end
    names = {
        "condition": ("onset", "onset_period_start", "recorded_date"),
        "observation": ("effective", "effective_period_start", "effective_instant"),
        "procedure": ("performed", "performed_period_start"),
        **DATES,
    }[table]
    found = first(row, *names)
    return found, found


def _touches(start: date | None, end: date | None, period: Any) -> bool:
    if period.start is not None and (end is None or end < period.start):
        return False
    return not (period.end is not None and (start is None or start > period.end))


def _matches(row: Row, event: Any, tables: Tables) -> bool:
    match event:
        case Stay(classes):
            return not classes or row["class"] in classes
        case Diagnosis(codes):
            return row["verification_status"] not in ("refuted", "entered-in-error") and _under(
                row["code_icd10"], codes
            )
        case Procedure(ccam):
            return _under(row["code_ccam"], ccam)
        case Treatment(atc):
            return not row.get("do_not_perform") and _under(_atc(row, tables), atc)
    return row["code_loinc"] == event.loinc and (event.op is None or _compares(row, event))


def _atc(row: Row, tables: Tables) -> str | None:
    if row["medication_atc"] is not None:
        return str(row["medication_atc"])
    found = [m["code_atc"] for m in tables["medication"] if m["medication_key"] == row["medication_key"]]
    return found[0] if found else None


def _under(code: str | None, wanted: Sequence[str]) -> bool:
    if code is None:
        return False
    plain = code.upper().replace(".", "")
    return any(w[:3] <= plain[:3] <= w[4:] if "-" in w else plain.startswith(w) for w in wanted)


def _compares(row: Row, lab: Laboratory) -> bool:
    value, limit = row["value_quantity"], lab.value
    unit = row["value_unit_code"] if row["value_unit_code"] is not None else row["value_unit"]
    if not isinstance(value, Decimal) or limit is None or unit != lab.unit:
        return False
    bound = row["value_comparator"]
    if bound is not None and (lab.op == "=" or bound[0] != (lab.op or "")[0]):
        return False
    outcomes = {"<": value < limit, "<=": value <= limit, "=": value == limit, ">=": value >= limit, ">": value > limit}
    return outcomes[lab.op or "="]
