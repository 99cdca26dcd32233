"""Renders a course as FHIR R4 resources, in the manner of the French core profiles.

The course is not changed, and all draws come from the records' stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from etl.synthetic.fhir import Json
from etl.synthetic.hospital import Hospital
from etl.synthetic.patient_course import Course
from etl.synthetic.records.identity import patient
from etl.synthetic.records.letters import letter
from etl.synthetic.records.measures import laboratory_reports, patient_facts, vital_signs
from etl.synthetic.records.medicines import home_medicines, stay_medicines
from etl.synthetic.records.patient_record import PatientRecord
from etl.synthetic.records.prevention import allergies, immunizations
from etl.synthetic.records.stays import encounters, long_illnesses, stay_acts, stay_conditions

__all__ = ["records_of"]


def records_of(course: Course, hospital: Hospital, rng: Random) -> Iterator[Json]:
    """Every resource of one person, the Patient first."""
    record = PatientRecord.open(course, hospital, rng)
    yield patient(record)
    yield from long_illnesses(record)
    yield from allergies(record)
    yield from immunizations(record)
    yield from home_medicines(record)
    yield from patient_facts(record)
    for stay in course.stays:
        visit = record.visit(stay)
        yield from stay_conditions(record, visit)
        yield from encounters(record, visit)
        yield from stay_acts(record, visit)
        yield from vital_signs(record, visit)
        yield from laboratory_reports(record, visit)
        yield from stay_medicines(record, visit)
        yield from letter(record, visit)
