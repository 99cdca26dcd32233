"""How far weekday, holiday, clock change and the ends of the data narrow the days by which dates were moved.

The attacker has the shifted stays and procedures, the hospital's true profile of weekdays and holidays, the calendar of
clock changes, and the first and last day of the data. Of each of the 364 shifts it asks how likely the patient's true
days would be; the answer is a posterior, whose size (exponential of its entropy) is how many candidates are left.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from erios.checkout import PROJECT
from erios.clock import ZONE
from erios.extracts.build import SHIFT_DAYS
from erios.extracts.generalisation.columns import Terms, column_sql
from erios.extracts.generalisation.dates import ClockPrecision, DatePolicy
from erios.extracts.risk.figures import wilson
from erios.extracts.specification import warehouse_tables
from etl.synthetic import generate

SHIFTS = np.array([*range(-SHIFT_DAYS, 0), *range(1, SHIFT_DAYS + 1)])
FIXED_HOLIDAYS = {(1, 1), (5, 1), (5, 8), (7, 14), (8, 15), (11, 1), (11, 11), (12, 25)}
PATIENTS = 300


@dataclass(frozen=True)
class Event:
    """A true instant of a patient, and what kind of event it is."""

    patient: int
    kind: str
    written: str


@dataclass(frozen=True)
class Gain:
    """``left``: median of candidates left of 364; ``right``: of ``n`` patients, those whose likeliest one is true."""

    left: float
    right: int
    n: int


def read(folder: Path) -> list[Event]:
    places: dict[str, int] = {}
    return [
        Event(places.setdefault(record["subject"]["reference"], len(places)), kind, when)
        for record in _records(folder)
        for kind, when in _instants(record)
    ]


def _records(folder: Path) -> Iterator[dict[str, Any]]:
    for name in ("Encounter", "Procedure"):
        for path in sorted(folder.glob(f"{name}*.ndjson")):
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    yield json.loads(line)
                except ValueError:  # planted by the generator
                    continue


def _instants(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if record["resourceType"] == "Encounter":
        kind, period = record.get("class", {}).get("code", ""), record.get("period", {})
        yield from ((f"{kind} {end}", period[end]) for end in ("start", "end") if "T" in str(period.get(end, "")))
    elif "T" in str(record.get("performedDateTime", "")):
        yield "procedure", record["performedDateTime"]


def shifted(events: list[Event], shifts: list[int], clock: ClockPrecision) -> list[str]:
    """What an extract holds of the events: the build's own SQL."""
    column = next(
        c for c in warehouse_tables(PROJECT / "conf" / "views")["encounter"].view.columns if c.name == "period_start"
    )
    sql = column_sql("encounter", column, "policy", Terms(DatePolicy.SHIFTED, 2026, clock))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE TABLE e (n INTEGER, period_start VARCHAR, shift INTEGER)")
        columns = {
            "n": list(range(len(events))),
            "w": [e.written for e in events],
            "s": [shifts[e.patient] for e in events],
        }
        connection.execute("INSERT INTO e SELECT unnest($n), unnest($w), unnest($s)", columns)
        rows = connection.execute(
            f"SELECT {sql} FROM e t JOIN (SELECT n AS i, shift FROM e) m ON m.i = t.n ORDER BY t.n"
        )
        return [text for (text,) in rows.fetchall()]


def is_holiday(day: date) -> bool:
    return (day.month, day.day) in FIXED_HOLIDAYS or day - _easter(day.year) in (
        timedelta(1),
        timedelta(39),
        timedelta(50),
    )


def _easter(year: int) -> date:
    """Gauss's rule, for the years of the generated hospital."""
    a, b, c = year % 19, year % 4, year % 7
    d = (19 * a + 24) % 30
    e = (2 * b + 4 * c + 6 * d + 5) % 7
    return date(year, 3, 22) + timedelta(d + e)


def class_of(day: date) -> int:
    return 7 if is_holiday(day) else day.weekday()


def attack(events: list[Event], texts: list[str], shifts: list[int], ways: set[str]) -> Gain:
    """The posterior over shifts of every patient, from the ways in which the attacker looks."""
    true = [datetime.fromisoformat(e.written).astimezone(ZONE).date() for e in events]
    first, last = min(true), max(true)
    span = [first - timedelta(400) + timedelta(n) for n in range((last - first).days + 800)]
    classes = np.array([class_of(day) for day in span])
    summer = np.array([bool(datetime(d.year, d.month, d.day, 12, tzinfo=ZONE).dst()) for d in span])
    kinds = sorted({e.kind for e in events})
    frequency = np.ones((len(kinds), 8))
    for event, day in zip(events, true, strict=True):
        frequency[kinds.index(event.kind), class_of(day)] += 1
    days_of_class = np.bincount([class_of(first + timedelta(n)) for n in range((last - first).days + 1)], minlength=8)
    rate = frequency / np.maximum(days_of_class, 1)
    logs = np.log(rate / rate.sum(axis=1, keepdims=True))
    scores = np.zeros((max(e.patient for e in events) + 1, len(SHIFTS)))
    for event, text in zip(events, texts, strict=True):
        at = (date.fromisoformat(text[:10]) - span[0]).days - SHIFTS
        if "profile" in ways:
            scores[event.patient] += logs[kinds.index(event.kind), classes[at]]
        if "ends" in ways:
            inside = (at >= (first - span[0]).days) & (at <= (last - span[0]).days)
            scores[event.patient] += np.where(inside, 0, -1e9)
        if "clock" in ways and text[-6:] in ("+01:00", "+02:00"):
            scores[event.patient] += np.where(summer[at] == (text[-6:] == "+02:00"), 0, -1e9)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    posterior = weights / weights.sum(axis=1, keepdims=True)
    entropy = -np.sum(np.where(posterior > 0, posterior * np.log(np.maximum(posterior, 1e-300)), 0), axis=1)
    chooser = np.random.default_rng(3)
    guesses = [int(SHIFTS[chooser.choice(np.flatnonzero(row >= row.max() - 1e-12))]) for row in posterior]
    return Gain(
        float(np.median(np.exp(entropy))), sum(g == s for g, s in zip(guesses, shifts, strict=True)), len(shifts)
    )


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Event], list[int]]:
    folder = tmp_path_factory.mktemp("hospital") / "export"
    generate(folder, PATIENTS, 4)
    events, draw = read(folder), random.Random(11)
    return events, [int(draw.choice(SHIFTS.tolist())) for _ in range(max(e.patient for e in events) + 1)]


def test_a_shifted_instant_says_neither_summer_nor_winter_nor_the_hour(hospital: tuple[list[Event], list[int]]) -> None:
    events, shifts = hospital

    texts = shifted(events, shifts, ClockPrecision.DAY)

    assert {len(text) for text in texts} == {10}
    assert attack(events, texts, shifts, {"clock"}).left == pytest.approx(len(SHIFTS))


@pytest.mark.parametrize(("clock", "length"), [(ClockPrecision.PART, 4), (ClockPrecision.HOUR, 24)])
def test_a_clock_time_that_is_asked_for_has_no_offset(
    hospital: tuple[list[Event], list[int]], clock: ClockPrecision, length: int
) -> None:
    events, shifts = hospital

    texts = shifted(events, shifts, clock)

    assert {text[13:] for text in texts} == {":00"}
    assert len({text[11:13] for text in texts}) <= length


def test_all_that_narrows_a_shift_together_leaves_most_patients_hidden(
    hospital: tuple[list[Event], list[int]],
) -> None:
    """What docs/privacy-model.md says of weekdays, holidays, clock changes and the ends of the data."""
    events, shifts = hospital
    texts = shifted(events, shifts, ClockPrecision.DAY)

    alone = {way: attack(events, texts, shifts, {way}).left for way in ("clock", "ends", "profile")}
    together = attack(events, texts, shifts, {"clock", "ends", "profile"})

    assert min(alone.values()) > 300
    assert together.left > 300
    assert wilson(together.right, together.n)[2] < 0.05
