"""AllergyIntolerances and Immunizations."""

from __future__ import annotations

from collections.abc import Iterator

from etl.synthetic.clock import MINUTES_A_DAY, day_text
from etl.synthetic.code_tables import ATC, ROUTES, SNOMED, Vaccine
from etl.synthetic.fhir import RPPS, TERMS, Json, concept, frozen, logical
from etl.synthetic.records.patient_record import PatientRecord

_ACTIVE = frozen(concept(f"{TERMS}/allergyintolerance-clinical", "active", "Active"))
_CONFIRMED = frozen(concept(f"{TERMS}/allergyintolerance-verification", "confirmed", "Confirmed"))
_RASH = frozen([{"manifestation": [concept(SNOMED, "271807003", "Eruption of skin", "Éruption cutanée")]}])


def allergies(record: PatientRecord) -> Iterator[Json]:
    """The person's allergies; recorded by the town doctor, sometimes known by number only."""
    person, rng = record.person, record.rng
    for allergy in record.course.allergies:
        minute = record.course.stays[0].start if record.course.stays else record.today_minute - MINUTES_A_DAY
        resource = record.head("AllergyIntolerance", record.new_id(), minute)
        resource |= {
            "clinicalStatus": _ACTIVE,
            "verificationStatus": _CONFIRMED,
            "type": "allergy",
            "category": [allergy.category],
            "criticality": rng.choice(("low", "high", "unable-to-assess")),
            "code": concept(SNOMED, allergy.code, allergy.display, allergy.label),
            "patient": record.who(),
            "recordedDate": day_text(minute // MINUTES_A_DAY),
            "recorder": logical("Practitioner", RPPS, record.town_doctor.rpps)
            if rng.random() < 0.4
            else record.town_doctor.link,
        }
        if rng.random() < 0.5:
            year = int(day_text(person.birth_day)[:4]) + max(1, int(person.age_at(minute // MINUTES_A_DAY) * 0.6))
            first_seen = int(day_text(minute // MINUTES_A_DAY)[:4])
            resource["onsetDateTime"] = str(min(year, first_seen))
            resource["reaction"] = _RASH
        yield resource


def immunizations(record: PatientRecord) -> Iterator[Json]:
    """The vaccines given."""
    for vaccine, day in record.course.vaccines:
        yield _immunization(record, vaccine, day)


def _immunization(record: PatientRecord, vaccine: Vaccine, day: int) -> Json:
    rng = record.rng
    cut = 7 if rng.random() < 0.15 else 10
    resource = record.head("Immunization", record.new_id(), day * MINUTES_A_DAY + 900)
    resource |= {
        "status": "completed",
        "vaccineCode": concept(ATC, vaccine.atc, vaccine.label, vaccine.label),
        "patient": record.who(),
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
        "performer": [{"actor": logical("Practitioner", RPPS, record.town_doctor.rpps)}],
    }
    return resource
