"""Owns the rendering of a course as FHIR R4 resources, in the manner of the French core profiles.

Must never change the course, nor draw from any stream but the records' one.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from etl.synthetic.course import Course
from etl.synthetic.fhir import Json
from etl.synthetic.hospital import Hospital
from etl.synthetic.records.folder import Folder
from etl.synthetic.records.identity import patient
from etl.synthetic.records.letters import letter
from etl.synthetic.records.measures import laboratory_reports, patient_facts, vital_signs
from etl.synthetic.records.medicines import home_medicines, stay_medicines
from etl.synthetic.records.prevention import allergies, immunizations
from etl.synthetic.records.stays import encounters, long_illnesses, stay_acts, stay_conditions

__all__ = ["records_of"]


def records_of(course: Course, hospital: Hospital, rng: Random) -> Iterator[Json]:
    """Every resource of one person, the Patient first."""
    folder = Folder.open(course, hospital, rng)
    yield patient(folder)
    yield from long_illnesses(folder)
    yield from allergies(folder)
    yield from immunizations(folder)
    yield from home_medicines(folder)
    yield from patient_facts(folder)
    for stay in course.stays:
        visit = folder.visit(stay)
        yield from stay_conditions(folder, visit)
        yield from encounters(folder, visit)
        yield from stay_acts(folder, visit)
        yield from vital_signs(folder, visit)
        yield from laboratory_reports(folder, visit)
        yield from stay_medicines(folder, visit)
        yield from letter(folder, visit)
