"""Boundaries of partial and imprecise values, and dates as instants, in SQL.

``lowBoundary()`` and ``highBoundary()`` of FHIRPath (§ «lowBoundary», «highBoundary») for decimals, dates, times and
date-times: the least and the greatest value that a text can represent. A date-time without a zone may be anywhere
from +14:00 to -12:00. All SQL works on the text of the value, because only the text has the precision.
"""

from __future__ import annotations

TYPES = frozenset({"decimal", "integer", "date", "dateTime", "instant", "time"})
DECIMAL = "DECIMAL(38,22)"
_ZONE = r"(Z|[+-]\d\d:\d\d)$"


def result_type(fhir_type: str) -> str:
    """FHIR type of a boundary of a value of that type."""
    return "decimal" if fhir_type == "integer" else fhir_type


_LENGTHS = {
    "date": {4: 4, 6: 7, 8: 10},
    "time": {2: 2, 4: 5, 6: 8, 9: 12},
    "dateTime": {4: 4, 6: 7, 8: 10, 10: 13, 12: 16, 14: 19, 17: 23},
}
"""Type → digits of a precision → characters of text up to them."""


def sql(text: str, fhir_type: str, *, low: bool, precision: int | None = None) -> str:
    """SQL of the boundary of a value's text, cut to ``precision`` digits; NULL for NULL or unreadable text."""
    if fhir_type in ("decimal", "integer"):
        return _rounded(_decimal(text, "-" if low else "+"), low=low, digits=precision)
    if fhir_type == "date":
        return _cut(f"left({_day(text, low=low)}, 10)", fhir_type, precision)
    if fhir_type == "time":
        return _cut(_time(text, low=low), fhir_type, precision)
    return _cut(_date_time(text, low=low), "dateTime", precision)


def _cut(text: str, fhir_type: str, precision: int | None) -> str:
    """The text cut to a precision in digits; a date-time with a time keeps its zone."""
    if precision is None:
        return text
    if precision not in (lengths := _LENGTHS[fhir_type]):
        return "CAST(NULL AS VARCHAR)"
    zone = f" || regexp_extract({text}, '{_ZONE}', 1)" if fhir_type == "dateTime" and precision > 8 else ""
    return f"(left({text}, {lengths[precision]}){zone})"


def _rounded(value: str, *, low: bool, digits: int | None) -> str:
    """The value rounded down, or up, to a number of decimal places."""
    if digits is None or digits >= 18:
        return value
    unit = f"CAST('{'1' if digits == 0 else '0.' + '0' * (digits - 1) + '1'}' AS {DECIMAL})"
    rest = f"({value} % {unit})"
    if low:
        return f"({value} - {rest} - CASE WHEN {rest} < 0 THEN {unit} ELSE 0 END)"
    return f"({value} - {rest} + CASE WHEN {rest} > 0 THEN {unit} ELSE 0 END)"


def _decimal(text: str, sign: str) -> str:
    """Half a unit of the last digit written, below or above."""
    mantissa, exponent = (f"split_part(lower({text}), 'e', {part})" for part in (1, 2))
    digits = f"CASE WHEN contains({mantissa}, '.') THEN length(split_part({mantissa}, '.', 2)) ELSE 0 END"
    power = f"coalesce(TRY_CAST(nullif({exponent}, '') AS INTEGER), 0) - {digits} - 1"
    return f"(TRY_CAST({text} AS {DECIMAL}) {sign} TRY_CAST('5e' || ({power}) AS {DECIMAL}))"


def _day(text: str, *, low: bool) -> str:
    """The first or last day of a date of any precision, as text."""
    month_end = f"CAST(last_day(TRY_CAST({text} || '-01' AS DATE)) AS VARCHAR)"
    if low:
        return f"CASE length({text}) WHEN 4 THEN {text} || '-01-01' WHEN 7 THEN {text} || '-01' ELSE {text} END"
    return f"CASE length({text}) WHEN 4 THEN {text} || '-12-31' WHEN 7 THEN {month_end} ELSE {text} END"


def _time(text: str, *, low: bool) -> str:
    fill = "00:00:00.000" if low else "23:59:59.999"
    seconds = ".000" if low else ".999"
    minutes = ":00.000" if low else ":59.999"
    hours = ":00:00.000" if low else ":59:59.999"
    return (
        f"CASE length({text}) WHEN 0 THEN '{fill}' WHEN 2 THEN {text} || '{hours}'"
        f" WHEN 5 THEN {text} || '{minutes}' WHEN 8 THEN {text} || '{seconds}'"
        f" ELSE rpad({text}, CAST(greatest(length({text}), 12) AS INTEGER), '{'0' if low else '9'}') END"
    )


def _date_time(text: str, *, low: bool) -> str:
    clock = f"regexp_replace(split_part({text}, 'T', 2), '{_ZONE}', '')"
    zone = f"coalesce(nullif(regexp_extract({text}, 'T.*{_ZONE}', 1), ''), '{'+14:00' if low else '-12:00'}')"
    day = _day(f"split_part({text}, 'T', 1)", low=low)
    return f"({day} || 'T' || {_time(clock, low=low)} || {zone})"


def instant(text: str) -> str:
    """The first instant of a date or date-time of any precision as TIMESTAMP WITH TIME ZONE; UTC without a zone."""
    day = "T00:00:00Z"
    zoned = f"right({text}, 1) = 'Z' OR {text}[-6] IN ('+', '-')"
    return (
        f"TRY_CAST(CASE length({text}) WHEN 4 THEN {text} || '-01-01{day}' WHEN 7 THEN {text} || '-01{day}'"
        f" WHEN 10 THEN {text} || '{day}' ELSE CASE WHEN {zoned} THEN {text} ELSE {text} || 'Z' END END"
        " AS TIMESTAMP WITH TIME ZONE)"
    )


def compare_dates(left: str, right: str, compared: str, apart: str) -> str:
    """SQL of a comparison of two dates as text: NULL if the precision of one leaves the answer open.

    ``apart`` is the answer if the digits that both have differ (FHIRPath, «Date/Time Comparison»). Minutes and
    finer units are compared as instants.
    """
    shared = f"least(length({left}), length({right}))"
    open_ = f"(left({left}, {shared}) = left({right}, {shared}))"
    same = f"length({left}) = length({right}) OR {shared} > 10"
    return f"(CASE WHEN {same} THEN {compared} WHEN NOT {open_} THEN {apart} END)"


def is_valid(text: str, fhir_type: str) -> str:
    """SQL: does the text have the form of the FHIR type, and is its day in the calendar?

    The forms are those of FHIR R4 («Primitive Types»), but a dateTime may lack its seconds and its zone, which
    older systems omit; an instant may not.
    """
    if fhir_type == "time":
        return f"regexp_full_match({text}, '{_CLOCK}{_SECONDS}')"
    if fhir_type == "instant":
        return _matches_on_a_day(text, f"{_DAY}T{_CLOCK}{_SECONDS}{_OFFSET}")
    moment = f"(T{_CLOCK}({_SECONDS})?({_OFFSET})?)?" if fhir_type == "dateTime" else ""
    return _matches_on_a_day(text, f"\\d{{4}}(-(0[1-9]|1[0-2])(-\\d\\d{moment})?)?")


_DAY = r"\d{4}-\d\d-\d\d"
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d"
_SECONDS = r":([0-5]\d|60)(\.\d+)?"
_OFFSET = r"(Z|[+-]((0\d|1[0-3]):[0-5]\d|14:00))"


def _matches_on_a_day(text: str, pattern: str) -> str:
    """SQL: does the text match, and is its day, if it has one, in the calendar?"""
    day = f"length({text}) < 10 OR TRY_CAST(left({text}, 10) AS DATE) IS NOT NULL"
    return f"(regexp_full_match({text}, '{pattern}') AND ({day}))"
