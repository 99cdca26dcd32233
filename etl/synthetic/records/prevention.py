"""Owns AllergyIntolerance and Immunization."""

from __future__ import annotations

from collections.abc import Iterator

from etl.synthetic.clock import MINUTES_A_DAY, day_text
from etl.synthetic.code_tables import ATC, ROUTES, SNOMED, Vaccine
from etl.synthetic.fhir import RPPS, TERMS, Json, concept, frozen, logical
from etl.synthetic.records.folder import Folder

_ACTIVE = frozen(concept(f"{TERMS}/allergyintolerance-clinical", "active", "Active"))
_CONFIRMED = frozen(concept(f"{TERMS}/allergyintolerance-verification", "confirmed", "Confirmed"))
_RASH = frozen([{"manifestation": [concept(SNOMED, "271807003", "Eruption of skin", "Éruption cutanée")]}])


def allergies(folder: Folder) -> Iterator[Json]:
    """The person's allergies; recorded by the town doctor, sometimes known by number only."""
    person, rng = folder.person, folder.rng
    for allergy in folder.course.allergies:
        minute = folder.course.stays[0].start if folder.course.stays else folder.today_minute - MINUTES_A_DAY
        resource = folder.head("AllergyIntolerance", folder.new_id(), minute)
        resource |= {
            "clinicalStatus": _ACTIVE,
            "verificationStatus": _CONFIRMED,
            "type": "allergy",
            "category": [allergy.category],
            "criticality": rng.choice(("low", "high", "unable-to-assess")),
            "code": concept(SNOMED, allergy.code, allergy.display, allergy.label),
            "patient": folder.who(),
            "recordedDate": day_text(minute // MINUTES_A_DAY),
            "recorder": logical("Practitioner", RPPS, folder.town_doctor.rpps)
            if rng.random() < 0.4
            else folder.town_doctor.link,
        }
        if rng.random() < 0.5:
            year = int(day_text(person.birth_day)[:4]) + max(1, int(person.age_at(minute // MINUTES_A_DAY) * 0.6))
            first_seen = int(day_text(minute // MINUTES_A_DAY)[:4])
            resource["onsetDateTime"] = str(min(year, first_seen))
            resource["reaction"] = _RASH
        yield resource


def immunizations(folder: Folder) -> Iterator[Json]:
    """The vaccines given."""
    for vaccine, day in folder.course.vaccines:
        yield _immunization(folder, vaccine, day)


def _immunization(folder: Folder, vaccine: Vaccine, day: int) -> Json:
    rng = folder.rng
    cut = 7 if rng.random() < 0.15 else 10
    resource = folder.head("Immunization", folder.new_id(), day * MINUTES_A_DAY + 900)
    resource |= {
        "status": "completed",
        "vaccineCode": concept(ATC, vaccine.atc, vaccine.label, vaccine.label),
        "patient": folder.who(),
        "occurrenceDateTime": day_text(day)[:cut],
        "primarySource": rng.random() < 0.7,
        "lotNumber": f"L{rng.randrange(100_000):05d}",
        "route": concept(SNOMED, *ROUTES["im"]),
        "doseQuantity": {
            "value": 0.5,
            "unit": "mL",
            "system": "http://unitsofmeasure.org",
            "code": "mL",
        },
        "performer": [{"actor": logical("Practitioner", RPPS, folder.town_doctor.rpps)}],
    }
    return resource
