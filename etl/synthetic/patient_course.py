"""The course of one invented patient: illnesses, stays, measurements, readmissions, death.

`etl.synthetic.records` renders a `Course` as FHIR. All draws come from the streams given, so that a course depends on
(seed, index) only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp
from random import Random
from typing import NamedTuple

from etl.synthetic.analytes import PANELS
from etl.synthetic.archetypes import (
    CANCERS,
    COMORBIDITIES,
    LONG_ILLNESSES,
    REASONS,
    RETURNS,
    WITH_NEED,
    Change,
    LongIllness,
    Reason,
)
from etl.synthetic.clock import DAYS_A_YEAR, MINUTES_A_DAY
from etl.synthetic.code_tables import ALLERGIES, VACCINES, Allergy, Vaccine
from etl.synthetic.people import Person, draw_person
from etl.synthetic.physiology import Body, ckd_epi, draw_body, strength_at
from etl.synthetic.readmission_risk import WINDOW_DAYS, Discharge, readmission_risk

WINDOW_YEARS = 5
_REASON_OF = {reason.key: reason for reason in REASONS}
_REPEATED = frozenset({"blood_count", "kidney", "inflammation", "shock"})
_IN_BED = frozenset({"emergency", "planned"})
_VITALS = ("systolic", "diastolic", "heart_rate", "respiratory_rate", "temperature", "spo2")


class Measures(NamedTuple):
    """Values taken together at one minute; keys are those of `etl.synthetic.physiology.ANALYTES`."""

    minute: int
    values: dict[str, float]


@dataclass(slots=True)
class Stay:
    """One contact with the hospital. Minutes are UTC since 1970; `end` is None while the stay lasts."""

    reason: Reason
    start: int
    end: int | None
    severity: float
    laboratory: list[Measures] = field(default_factory=list)
    vitals: list[Measures] = field(default_factory=list)
    drugs: list[str] = field(default_factory=list)
    acts: list[str] = field(default_factory=list)
    also: list[str] = field(default_factory=list)
    died: bool = False
    in_intensive_care: bool = False
    discharge: Discharge | None = None
    risk: float | None = None
    came_back: bool = False
    is_return: bool = False

    @property
    def in_bed(self) -> bool:
        """Whether the person stayed in a ward."""
        return self.reason.setting in _IN_BED


@dataclass(slots=True)
class Course:
    """A person with all that happens to them. `illnesses` maps a chronic illness to the day of its diagnosis."""

    person: Person
    illnesses: dict[str, int]
    kidney_stage: int
    body: Body
    home_drugs: list[str]
    allergies: list[Allergy]
    vaccines: list[tuple[Vaccine, int]]
    stays: list[Stay]
    death_minute: int | None = None


class Streams(NamedTuple):
    """Independent random streams of one person, so that a change in one part leaves the others alone."""

    person: Random
    course: Random
    records: Random
    faults: Random


def streams(seed: int, index: int) -> Streams:
    """The random streams of the `index`-th person of the hospital of `seed`."""
    start = (seed * 1_000_003 + index) * 8
    return Streams(*(Random(start + offset) for offset in range(4)))


def simulate(seed: int, index: int, today: int, rngs: Streams | None = None) -> Course:
    """The course of the `index`-th person up to the day `today`: a pure function of its arguments."""
    rngs = rngs or streams(seed, index)
    person = draw_person(rngs.person, index, seed, today)
    course = _newcomer(rngs.course, person, today)
    _live(rngs.course, course, today)
    return course


def long_illness(key: str) -> LongIllness:
    """The long illness of a key."""
    return next(illness for illness in LONG_ILLNESSES if illness.key == key)


def illness_code(course: Course, key: str) -> str:
    """CIM-10 code of a long illness in this course; kidney stages and diabetic nephropathy have their own."""
    if key == "kidney":
        return f"N18.{course.kidney_stage}"
    if key == "diabetes" and course.kidney_stage:
        return "E11.2"
    return long_illness(key).code


def _newcomer(rng: Random, person: Person, today: int) -> Course:
    illnesses = _draw_illnesses(rng, person, today)
    stage = rng.choices((3, 4, 5), (70, 22, 8))[0] if "kidney" in illnesses else 0
    age = person.age_at(today)
    body = draw_body(rng, age, person.is_female, illnesses, stage)
    drugs = dict.fromkeys(
        drug
        for illness in LONG_ILLNESSES
        if illness.key in illnesses
        for drug, chance in illness.drugs
        if rng.random() < chance
    )
    allergies = [allergy for allergy in ALLERGIES if rng.random() < 0.05]
    vaccines = [
        (vaccine, today - rng.randrange(30, int(min(age, 5) * 365) + 31))
        for vaccine in VACCINES
        if vaccine.youngest + 0.2 <= age <= vaccine.oldest and rng.random() < 0.55
    ]
    vaccines = [(vaccine, day) for vaccine, day in vaccines if day > person.birth_day + 55]
    return Course(person, illnesses, stage, body, list(drugs), allergies, vaccines, [])


def _draw_illnesses(rng: Random, person: Person, today: int) -> dict[str, int]:
    age, sex = person.age_at(today), "female" if person.is_female else "male"
    illnesses: dict[str, int] = {}
    for illness in LONG_ILLNESSES:
        chance = rng.random()
        if age < illness.youngest + 1 or illness.sex not in ("", sex):
            continue
        score = illness.at_sixty + illness.per_decade * (age - 60.0) / 10.0
        score += illness.if_female if person.is_female else 0.0
        score += sum(weight for other, weight in illness.with_.items() if other in illnesses)
        if chance < 1.0 / (1.0 + exp(-score)):
            since = rng.uniform(0.3, 1.0) * (age - illness.youngest)
            illnesses[illness.key] = today - int(max(0.2, age - illness.youngest - since) * DAYS_A_YEAR)
    return illnesses


def _live(rng: Random, course: Course, today: int) -> None:
    person = course.person
    first = max(person.birth_day + 20, today - WINDOW_YEARS * 365)
    if first >= today - 2:
        first = today - 3
    visits = 1 + min(9, int(rng.expovariate(1.0) * (0.75 + 0.42 * len(course.illnesses))))
    planned = sorted(rng.randrange(first, today) * MINUTES_A_DAY + _arrival(rng) for _ in range(visits))
    _draw_outside_death(rng, course, planned, today)
    free_from = 0
    for minute in planned:
        start = max(minute, free_from)
        if not _can_come(course, start, today):
            continue
        reason = _draw_reason(rng, course, start)
        free_from = _stay_and_returns(rng, course, reason, start, today)


def _stay_and_returns(rng: Random, course: Course, reason: Reason, start: int, today: int) -> int:
    """Add the stay and the readmissions that follow; returns the first minute of another contact."""
    is_return = False
    while True:
        stay = _draw_stay(rng, course, reason, start, today, is_return)
        course.stays.append(stay)
        end = stay.end if stay.end is not None else today * MINUTES_A_DAY
        comes_back = stay.risk is not None and rng.random() < stay.risk
        start = end + rng.randrange(2, WINDOW_DAYS - 1) * MINUTES_A_DAY - rng.randrange(0, 600)
        if not comes_back or not _can_come(course, start, today):
            stay.risk = None if _is_censored(stay, course, today) else stay.risk
            return end + (WINDOW_DAYS + 1) * MINUTES_A_DAY if stay.risk is not None else end + 2 * MINUTES_A_DAY
        stay.came_back, is_return = True, True
        choices = RETURNS.get(reason.key, (reason.key,))
        reason = _REASON_OF[choices[0] if rng.random() < 0.7 else choices[-1]]
        if reason.key in ("birth", "caesarean"):
            reason = _REASON_OF["sepsis"]


def _is_censored(stay: Stay, course: Course, today: int) -> bool:
    """Is the outcome of a discharge unknown, because the thirty days after it are not all observed?"""
    if stay.end is None:
        return True
    last = stay.end + WINDOW_DAYS * MINUTES_A_DAY
    return last > today * MINUTES_A_DAY or (course.death_minute is not None and course.death_minute < last)


def _can_come(course: Course, start: int, today: int) -> bool:
    if start >= today * MINUTES_A_DAY:
        return False
    return course.death_minute is None or start < course.death_minute - 10 * MINUTES_A_DAY


def _arrival(rng: Random) -> int:
    return min(1439, max(1, int(rng.gauss(780, 240))))


def _draw_outside_death(rng: Random, course: Course, planned: list[int], today: int) -> None:
    """A death at home after the first contact, by age and illnesses (Gompertz)."""
    first = planned[0] // MINUTES_A_DAY
    age = course.person.age_at(first)
    a_year = 0.00004 * exp(0.083 * age) * (1.0 + 0.3 * len(COMORBIDITIES & course.illnesses.keys()))
    after = rng.expovariate(min(1.5, a_year)) * 365
    if first + after + 25 < today:
        course.death_minute = int(first + after + 20) * MINUTES_A_DAY + rng.randrange(MINUTES_A_DAY)


def _weight(reason: Reason, course: Course, age: float, ill: set[str], day: int) -> float:
    youngest, oldest = reason.ages
    if not youngest <= age < oldest + 1:
        return 0.0
    if reason.sex and (reason.sex == "female") != course.person.is_female:
        return 0.0
    if any(need not in ill for need in reason.needs):
        return 0.0
    if reason.key in ("birth", "caesarean") and _recent_birth(course, day):
        return 0.0
    weight = reason.likely or WITH_NEED
    if reason.per_decade:
        weight *= exp(reason.per_decade * (age - 60.0) / 10.0)
    for illness, factor in reason.factors.items():
        if illness in ill:
            weight *= factor
    return weight


def _recent_birth(course: Course, day: int) -> bool:
    births = (stay for stay in course.stays if stay.reason.key in ("birth", "caesarean"))
    return any(day - stay.start // MINUTES_A_DAY < 330 for stay in births)


def _diagnosed(course: Course, day: int) -> set[str]:
    """Chronic illnesses diagnosed by a day, with the derived ones that reasons may need."""
    ill = {key for key, since in course.illnesses.items() if since <= day}
    if CANCERS & ill:
        ill.add("cancer")
    if "kidney" in ill and course.kidney_stage == 5:
        ill.add("kidney_5")
    return ill


def _draw_reason(rng: Random, course: Course, start: int) -> Reason:
    day = start // MINUTES_A_DAY
    age, ill = course.person.age_at(day), _diagnosed(course, day)
    weights = [_weight(reason, course, age, ill, day) for reason in REASONS]
    return rng.choices(REASONS, weights)[0]


def _draw_length(rng: Random, reason: Reason, severity: float, burden: int) -> int:
    """Minutes of a stay: log-normal days for stays in bed, hours else."""
    if reason.setting not in _IN_BED:
        return max(15, int(reason.days * MINUTES_A_DAY * rng.uniform(0.6, 1.6)))
    days: float = max(1.0, reason.days * (1 + 0.06 * burden) * severity**0.5 * exp(rng.gauss(-0.05, 0.4)))
    return min(60, round(days)) * MINUTES_A_DAY


def _draw_stay(rng: Random, course: Course, reason: Reason, start: int, today: int, is_return: bool) -> Stay:
    day = start // MINUTES_A_DAY
    ill = _diagnosed(course, day)
    burden = len(COMORBIDITIES & ill)
    severity = min(2.3, max(0.35, exp(rng.gauss(0.0, 0.35))))
    start = start - start % 5
    end = start + _draw_length(rng, reason, severity, burden)
    if reason.setting in _IN_BED:
        end += 60 * 11 - start % MINUTES_A_DAY + rng.randrange(0, 300, 5)
    stay = Stay(reason, start, end, severity, is_return=is_return)
    stay.in_intensive_care = reason.ward == "REA" or (reason.setting == "emergency" and severity > 1.75)
    _draw_care(rng, course, stay, ill)
    _draw_death(rng, course, stay, burden, day)
    if stay.end is not None and stay.end >= today * MINUTES_A_DAY:
        stay.end, stay.died, course.death_minute = None, False, None
    _measure(rng, course, stay, today)
    _discharge(course, stay, ill, burden)
    return stay


def _draw_care(rng: Random, course: Course, stay: Stay, ill: set[str]) -> None:
    reason = stay.reason
    drugs = [drug for drug, chance in reason.drugs if rng.random() < chance]
    if stay.in_bed:
        drugs += [drug for drug in course.home_drugs if rng.random() < 0.75]
    stay.drugs = list(dict.fromkeys(drugs))
    stay.acts = [act for act, chance in reason.acts if rng.random() < chance]
    if reason.key == "birth":
        stay.acts = [rng.choice(("JQGD010", "JQGD012"))] if not _births(course) else ["JQGD012"]
    stay.also = [code for code, chance in reason.also if rng.random() < chance]


def _births(course: Course) -> int:
    return sum(stay.reason.key in ("birth", "caesarean") for stay in course.stays)


def _draw_death(rng: Random, course: Course, stay: Stay, burden: int, day: int) -> None:
    chance = rng.random()
    if not stay.reason.death:
        return
    age = course.person.age_at(day)
    limit = 0.7 * stay.reason.death * exp(0.045 * (age - 70.0)) * stay.severity**2 * (1.0 + 0.15 * burden)
    if chance < min(0.6, limit):
        assert stay.end is not None
        stay.end = stay.start + max(240, int((stay.end - stay.start) * rng.uniform(0.2, 1.0)))
        stay.died, course.death_minute = True, stay.end


def _moments(stay: Stay, last: int, step_days: float) -> list[int]:
    """Minutes of measurement: soon after arrival, then in the morning every `step_days`, until `last`."""
    moments = [stay.start + 25]
    if stay.in_bed:
        morning = stay.start - stay.start % MINUTES_A_DAY + 6 * 60
        step = int(step_days * MINUTES_A_DAY)
        moments += range(morning + MINUTES_A_DAY, last, step)
        if last - moments[-1] > 900:
            moments.append(last - 240)
    return [moment for moment in moments if moment <= last]


def _measure(rng: Random, course: Course, stay: Stay, today: int) -> None:
    last = stay.end if stay.end is not None else today * MINUTES_A_DAY - 1
    age = course.person.age_at(stay.start // MINUTES_A_DAY)
    days = max(1.0, (last - stay.start) / MINUTES_A_DAY)
    halving = max(1.2, 0.45 * days) * (2.5 if stay.died else 1.0)
    panels = stay.reason.panels
    for number, minute in enumerate(_moments(stay, last, 2.0 if days < 12 else 3.0)):
        keys = [key for panel in panels if number == 0 or panel in _REPEATED for key in PANELS[panel]]
        if keys:
            values = _values(rng, course, stay, keys, minute, age, halving)
            stay.laboratory.append(Measures(minute, values))
    for number, minute in enumerate(_moments(stay, last, 1.0 if days < 5 else 2.0)):
        size = ("weight", "height") if number == 0 else ()
        stay.vitals.append(Measures(minute, _values(rng, course, stay, [*_VITALS, *size], minute, age, halving)))


def _values(
    rng: Random, course: Course, stay: Stay, keys: list[str], minute: int, age: float, halving: float
) -> dict[str, float]:
    days = (minute - stay.start) / MINUTES_A_DAY
    values: dict[str, float] = {}
    changes: dict[str, Change] = dict(stay.reason.changes)
    for key in keys:
        if key in ("egfr", "bmi"):
            continue
        strength = strength_at(key, stay.severity, days, halving) if key in changes else 0.0
        values[key] = course.body.measure(rng, key, age, changes, strength)
    if "egfr" in keys and age >= 18:
        values["egfr"] = min(140.0, ckd_epi(values["creat"], age, course.person.is_female))
    if "diastolic" in values:
        values["diastolic"] = min(values["diastolic"], values["systolic"] - 15.0)
    if "weight" in values and "height" in values and age >= 2:
        values["bmi"] = values["weight"] / (values["height"] / 100.0) ** 2
    return values


def _last(stay: Stay, key: str, otherwise: float) -> float:
    for measures in reversed(stay.laboratory):
        if key in measures.values:
            return measures.values[key]
    return otherwise


def _discharge(course: Course, stay: Stay, ill: set[str], burden: int) -> None:
    """Set the discharge and its risk of an inpatient stay that ended alive."""
    if not stay.in_bed or stay.died or stay.end is None:
        return
    since = stay.start - 365 * MINUTES_A_DAY
    stay.discharge = Discharge(
        age=course.person.age_at(stay.end // MINUTES_A_DAY),
        comorbidities=burden,
        days=(stay.end - stay.start) / MINUTES_A_DAY,
        stays_last_year=sum(other.in_bed and other.start >= since for other in course.stays),
        unplanned=stay.reason.setting == "emergency",
        haemoglobin=_last(stay, "hb", 13.0),
        sodium=_last(stay, "na", 140.0),
    )
    stay.risk = readmission_risk(stay.discharge)
