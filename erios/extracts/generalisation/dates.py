"""What the dates of an extract keep, as SQL: exact, moved by a constant of the patient's, of a month, of a year.

Owns the rule that a moved instant says nothing of its true day: its UTC offset, which tells summer from winter, goes,
and its clock time is cut to what the specification says. Text and typed twins are cut alike, on the hospital's clock.
"""

from __future__ import annotations

from enum import StrEnum

from erios.clock import ZONE

BLOCK_DAYS = 30
"""Days of a block of time; where blocks begin follows from the patient's shift."""
PART_HOURS = 6
"""Hours of a part of the day: night, morning, afternoon, evening."""
_INSTANT = r"T\d{2}:\d{2}"


class DatePolicy(StrEnum):
    """What the dates of an extract keep; ``SHIFTED``: moved by a constant of the patient's, so intervals stay;
    ``BLOCKS``: moved so and cut to blocks of 30 days, which begin on another day for each patient."""

    EXACT = "exact"
    SHIFTED = "shifted"
    BLOCKS = "blocks"
    MONTH = "month"
    YEAR = "year"


MOVED = (DatePolicy.SHIFTED, DatePolicy.BLOCKS)
"""Policies under which a date is not the true one."""


class ClockPrecision(StrEnum):
    """What of the clock time a shifted instant keeps; ``PART``: the part of the day, by its first hour."""

    DAY = "day"
    PART = "part"
    HOUR = "hour"


def date_sql(value: str, policy: DatePolicy, clock: ClockPrecision, sql_type: str, fhir_type: str) -> str:
    """SQL of a date, an instant or a time of day under a policy; ``m.shift`` is by how many days it moves."""
    if policy is DatePolicy.EXACT:
        return value
    if fhir_type == "time":
        return _time_of_day(value, policy, clock)
    if policy is DatePolicy.BLOCKS:
        return _block(value, sql_type)
    if policy is DatePolicy.SHIFTED:
        return _shifted_text(value, clock) if sql_type == "VARCHAR" else _shifted(value, clock, sql_type)
    if sql_type == "VARCHAR":
        return f"left({value}, {7 if policy is DatePolicy.MONTH else 4})"
    return f"CAST(date_trunc('{policy}', {value}) AS {sql_type})"


def _local(instant: str) -> str:
    """The hospital's clock and calendar at an instant, without zone."""
    return f"timezone('{ZONE.key}', {instant})"


def _cut(local: str, clock: ClockPrecision) -> str:
    """A local time cut to its day, part of day or hour."""
    match clock:
        case ClockPrecision.DAY:
            return f"date_trunc('day', {local})"
        case ClockPrecision.HOUR:
            return f"date_trunc('hour', {local})"
    return f"date_trunc('day', {local}) + to_hours(CAST({PART_HOURS} * (hour({local}) // {PART_HOURS}) AS BIGINT))"


def _shifted(value: str, clock: ClockPrecision, sql_type: str) -> str:
    """A typed date keeps its day; a typed instant becomes the cut local time, written as if it were UTC."""
    if sql_type == "DATE":
        return f"CAST({value} + to_days(m.shift) AS DATE)"
    moved = f"{_cut(_local(f'CAST({value} AS TIMESTAMPTZ)'), clock)} + to_days(m.shift)"
    return f"CAST(timezone('UTC', {moved}) AS {sql_type})"


def _shifted_text(value: str, clock: ClockPrecision) -> str:
    """FHIR date text keeps its precision, an instant at most ``clock``; a partial date is moved from its middle."""
    form = "%Y-%m-%d" if clock is ClockPrecision.DAY else "%Y-%m-%dT%H:%M"
    local = f"coalesce({_local(f'TRY_CAST({value} AS TIMESTAMPTZ)')}, TRY_CAST(left({value}, 16) AS TIMESTAMP))"
    instant = f"strftime({_cut(local, clock)} + to_days(m.shift), '{form}')"
    day = f"strftime(TRY_CAST(left({value}, 10) AS DATE) + to_days(m.shift), '%Y-%m-%d')"
    month = f"strftime(TRY_CAST({value} || '-15' AS DATE) + to_days(m.shift), '%Y-%m')"
    year = f"strftime(TRY_CAST({value} || '-07-02' AS DATE) + to_days(m.shift), '%Y')"
    return (
        f"CASE length({value}) WHEN 4 THEN {year} WHEN 7 THEN {month} ELSE"
        f" CASE WHEN regexp_matches({value}, '{_INSTANT}') THEN coalesce({instant}, {day}) ELSE {day} END END"
    )


def _block(value: str, sql_type: str) -> str:
    """The first day of the block that a moved day lies in; of a text that is less precise than a day, nothing."""
    text = f"CAST({_local(f'CAST({value} AS TIMESTAMPTZ)')} AS DATE)" if sql_type.startswith("TIMESTAMP") else value
    day = f"coalesce(CAST({_local(f'TRY_CAST({value} AS TIMESTAMPTZ)')} AS DATE), TRY_CAST(left({value}, 10) AS DATE))"
    moved = f"({day if sql_type == 'VARCHAR' else text} + m.shift)"
    first = f"DATE '1970-01-01' + CAST({BLOCK_DAYS} * floor(({moved} - DATE '1970-01-01') / {BLOCK_DAYS}) AS INTEGER)"
    if sql_type == "VARCHAR":
        return f"CASE WHEN length({value}) >= 10 THEN strftime({first}, '%Y-%m-%d') END"
    return f"CAST({first} AS {sql_type})"


def _time_of_day(value: str, policy: DatePolicy, clock: ClockPrecision) -> str:
    """A clock time by itself is as precise as those of instants: nothing of it where they are cut to the day."""
    if policy is not DatePolicy.SHIFTED or clock is ClockPrecision.DAY:
        return "CAST(NULL AS VARCHAR)"
    hours = 1 if clock is ClockPrecision.HOUR else PART_HOURS
    return f"lpad(CAST({hours} * (TRY_CAST(left({value}, 2) AS INTEGER) // {hours}) AS VARCHAR), 2, '0') || ':00'"
