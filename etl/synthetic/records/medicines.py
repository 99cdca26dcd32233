"""MedicationRequests, MedicationAdministrations, MedicationDispenses and MedicationStatements."""

from __future__ import annotations

from collections.abc import Iterator

from etl.synthetic.archetypes import LONG_ILLNESSES
from etl.synthetic.clock import MINUTES_A_DAY, day_text, instant
from etl.synthetic.code_tables import DRUGS, ROUTES, SNOMED, Drug
from etl.synthetic.fhir import FR_CORE, IPP, Json, concept, frozen, logical, quantity, reference, unit_text
from etl.synthetic.hospital import medicine_concept
from etl.synthetic.records.patient_record import PatientRecord, Visit

_CONCEPTS = {key: frozen(medicine_concept(drug)) for key, drug in DRUGS.items()}
_ROUTES = {key: frozen(concept(SNOMED, code, display)) for key, (code, display) in ROUTES.items()}
_GIVEN_DAYS = 3
_DOSES = {key: quantity(drug.dose, 1 if drug.dose % 1 else 0, drug.unit) for key, drug in DRUGS.items()}
_ILLNESS_OF = {drug: illness.key for illness in reversed(LONG_ILLNESSES) for drug, _ in illness.drugs}


def _dosage_text(drug: Drug) -> str:
    return f"{drug.dose:g} {unit_text(drug.unit)}, {drug.a_day} fois par jour"


def _dosages(key: str) -> list[Json]:
    drug = DRUGS[key]
    return [
        {
            "text": _dosage_text(drug),
            "timing": {"repeat": {"frequency": drug.a_day, "period": 1, "periodUnit": "d"}},
            "route": _ROUTES[drug.route],
            "doseAndRate": [{"doseQuantity": _DOSES[key]}],
        }
    ]


_DOSAGES = {key: frozen(_dosages(key)) for key in DRUGS}


def _add_medicine(record: PatientRecord, resource: Json, key: str) -> None:
    """The medicine as code, as reference to the formulary, or as a contained Medication (a ward's preparation)."""
    chance = record.rng.random()
    if chance < 0.7:
        resource["medicationCodeableConcept"] = _CONCEPTS[key]
    elif chance < 0.92:
        resource["medicationReference"] = reference("Medication", record.hospital.medicines[key])
    else:
        resource["contained"] = [
            {
                "resourceType": "Medication",
                "id": "preparation",
                "code": _CONCEPTS[key],
                "ingredient": [{"itemCodeableConcept": _CONCEPTS[key], "isActive": True}],
            }
        ]
        resource["medicationReference"] = {"reference": "#preparation"}


def home_medicines(record: PatientRecord) -> Iterator[Json]:
    """What the person takes at home, since the illness it treats was found."""
    course = record.course
    for key in course.home_drugs:
        since = course.illnesses.get(_ILLNESS_OF[key])
        minute = course.stays[0].start + 60 if course.stays else record.today_minute - MINUTES_A_DAY
        resource = record.head("MedicationStatement", record.new_id(), minute)
        resource |= {"status": "active", "medicationCodeableConcept": _CONCEPTS[key], "subject": record.who()}
        if since is not None:
            resource["effectivePeriod"] = {"start": day_text(since)[: record.rng.choice((4, 7, 10))]}
        resource["dateAsserted"] = instant(minute)
        if record.rng.random() < 0.1:
            resource["informationSource"] = logical("Patient", IPP, record.person.ipp)
        resource["dosage"] = _DOSAGES[key]
        yield resource


def stay_medicines(record: PatientRecord, visit: Visit) -> Iterator[Json]:
    """Each prescription of a stay with its first administrations, and the dispense some leave with."""
    for key in visit.stay.drugs:
        start = visit.stay.start + record.rng.randrange(20, 120, 5)
        start = min(start, visit.last - 5)
        order = record.new_id()
        yield _request(record, visit, key, order, start)
        yield from _administrations(record, visit, key, order, start)
        leaves = visit.stay.end is not None and not visit.stay.died
        if leaves and DRUGS[key].route == "oral" and record.rng.random() < 0.2:
            yield _dispense(record, visit, key, order)


def _request(record: PatientRecord, visit: Visit, key: str, identity: str, start: int) -> Json:
    resource = record.head("MedicationRequest", identity, start, f"{FR_CORE}/fr-core-medication-request")
    resource |= {
        "status": "active" if visit.stay.end is None else "completed",
        "intent": "order",
        "subject": record.who(),
        "encounter": visit.link,
        "authoredOn": instant(start),
        "requester": visit.doctor.link,
        "dosageInstruction": _DOSAGES[key],
    }
    _add_medicine(record, resource, key)
    if record.rng.random() < 0.4:
        resource["reasonReference"] = [reference("Condition", visit.diagnoses[0][0])]
    return resource


def _administrations(record: PatientRecord, visit: Visit, key: str, order: str, start: int) -> Iterator[Json]:
    if visit.stay.reason.setting == "visit":
        return
    for day in range(_GIVEN_DAYS):
        minute = start + 30 + day * MINUTES_A_DAY + record.rng.randrange(0, 60)
        if minute >= visit.last or (day and not visit.stay.in_bed):
            return
        resource = record.head("MedicationAdministration", record.new_id(), minute)
        resource |= {
            "status": "completed" if record.rng.random() < 0.97 else "not-done",
            "medicationCodeableConcept": _CONCEPTS[key],
            "subject": record.who(),
            "context": visit.link,
            "effectiveDateTime": instant(minute),
            "request": reference("MedicationRequest", order),
            "dosage": {"route": _ROUTES[DRUGS[key].route], "dose": _DOSES[key]},
        }
        yield resource


def _dispense(record: PatientRecord, visit: Visit, key: str, order: str) -> Json:
    resource = record.head("MedicationDispense", record.new_id(), visit.last)
    resource |= {
        "status": "completed",
        "medicationCodeableConcept": _CONCEPTS[key],
        "subject": record.who(),
        "context": visit.link,
        "authorizingPrescription": [reference("MedicationRequest", order)],
        "quantity": {"value": 7 * DRUGS[key].a_day, "unit": "prise"},
        "daysSupply": {"value": 7, "unit": "jour", "system": "http://unitsofmeasure.org", "code": "d"},
        "whenHandedOver": instant(visit.last),
        "dosageInstruction": _DOSAGES[key],
    }
    return resource
