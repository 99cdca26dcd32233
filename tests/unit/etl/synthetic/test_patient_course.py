"""Courses make clinical sense: age, sex, illness, results, treatment and return go together."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from statistics import mean

import pytest

from etl.synthetic import Discharge, readmission_risk
from etl.synthetic.archetypes import LONG_ILLNESSES, REASONS, RETURNS
from etl.synthetic.code_tables import DIAGNOSES, DRUGS, PROCEDURES
from etl.synthetic.physiology import ckd_epi, creatinine_of


def values(courses, key, keep):
    return [
        measures.values[key]
        for course in courses
        for stay in course.stays
        for measures in stay.laboratory
        if key in measures.values and keep(course, stay)
    ]


def has(illness):
    return lambda course, stay: course.illnesses.get(illness, 10**9) * 1440 < stay.start


def lacks(illness):
    return lambda course, stay: illness not in course.illnesses


@pytest.mark.parametrize(
    ("key", "illness", "times"),
    [("glucose", "diabetes", 1.25), ("creat", "kidney", 1.5), ("ntprobnp", "heart_failure", 3.0)],
)
def test_results_are_higher_with_the_illness_that_raises_them(courses, key, illness, times):
    assert mean(values(courses, key, has(illness))) > times * mean(values(courses, key, lacks(illness)))


def test_hba1c_of_diabetics_is_above_the_diagnostic_threshold(courses):
    assert mean(values(courses, "hba1c", has("diabetes"))) > 6.5


def test_infection_raises_crp_and_it_falls_under_treatment(courses):
    falls = [
        (stay.laboratory[0].values["crp"], stay.laboratory[-1].values["crp"])
        for course in courses
        for stay in course.stays
        if stay.reason.key in ("sepsis", "pneumonia") and len(stay.laboratory) > 2 and not stay.died
    ]
    assert mean(first for first, _ in falls) > 80
    assert mean(last for _, last in falls) < 0.5 * mean(first for first, _ in falls)


def test_sex_and_age_fit_the_reason_of_every_stay(courses):
    for course in courses:
        for stay in course.stays:
            age = course.person.age_at(stay.start // 1440)
            assert stay.reason.sex in ("", "female" if course.person.is_female else "male")
            if not stay.is_return:
                assert stay.reason.ages[0] <= age < stay.reason.ages[1] + 1
        assert not ("prostate_cancer" in course.illnesses and course.person.is_female)
        assert not ("breast_cancer" in course.illnesses and not course.person.is_female)


def test_treatment_fits_the_illness(courses):
    diabetics = [course for course in courses if "diabetes" in course.illnesses]
    assert mean("metformine" in course.home_drugs for course in diabetics) > 0.8
    others = [course for course in courses if "diabetes" not in course.illnesses]
    assert not any("metformine" in course.home_drugs for course in others)


def test_nothing_happens_before_birth_after_death_or_twice_at_once(courses):
    for course in courses:
        last = course.person.birth_day * 1440
        for stay in course.stays:
            assert stay.start > last
            last = stay.end if stay.end is not None else 10**12
            for measures in (*stay.laboratory, *stay.vitals):
                assert stay.start <= measures.minute <= last
        if course.death_minute is not None:
            assert all(stay.end is not None and stay.end <= course.death_minute for stay in course.stays)


def test_the_risk_tells_returns_from_others(courses):
    pairs = [(stay.risk, stay.came_back) for course in courses for stay in course.stays if stay.risk is not None]
    back = [risk for risk, came in pairs if came]
    stayed = sorted(risk for risk, came in pairs if not came)
    wins = sum((bisect_left(stayed, risk) + bisect_right(stayed, risk)) / 2 for risk in back)
    assert len(back) > 100
    assert wins / (len(back) * len(stayed)) > 0.7


def test_returns_begin_within_thirty_days(courses):
    for course in courses:
        for before, after in zip(course.stays, course.stays[1:], strict=False):
            if before.came_back:
                assert after.is_return
                assert after.start - before.end <= 30 * 1440


def test_risk_formula_at_a_worked_point():
    discharge = Discharge(
        age=70,
        comorbidities=2,
        days=10,
        stays_last_year=2,
        unplanned=True,
        haemoglobin=11.0,
        sodium=134.0,
    )
    # -3.65 + 0.20 + 0.70 + 0.40 + 0.40 + 0.55 + 0.18 + 0.18 = -1.04
    assert readmission_risk(discharge) == pytest.approx(0.26115, abs=1e-4)


@pytest.mark.parametrize("is_female", [False, True])
@pytest.mark.parametrize("rate", [8, 30, 60, 95, 120])
def test_ckd_epi_turns_round(rate, is_female):
    assert ckd_epi(creatinine_of(rate, 64, is_female), 64, is_female) == pytest.approx(rate)


def test_ckd_epi_at_a_published_point():
    assert ckd_epi(88.4, 50, False) == pytest.approx(87.4, abs=0.3)


def test_every_code_that_is_used_is_in_the_tables():
    for reason in REASONS:
        assert {reason.code, *(code for code, _ in reason.also)} <= DIAGNOSES.keys()
        assert {act for act, _ in reason.acts} <= PROCEDURES.keys()
        assert {drug for drug, _ in reason.drugs} <= DRUGS.keys()
    for illness in LONG_ILLNESSES:
        assert illness.code in DIAGNOSES
        assert {drug for drug, _ in illness.drugs} <= DRUGS.keys()
    keys = {reason.key for reason in REASONS}
    assert RETURNS.keys() | {key for chain in RETURNS.values() for key in chain} <= keys
