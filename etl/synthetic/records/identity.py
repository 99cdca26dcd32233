"""Patients (FR Core Patient, with INS traits for four of five)."""

from __future__ import annotations

from etl.synthetic.clock import MINUTES_A_DAY, day_text, instant
from etl.synthetic.fhir import (
    COMMUNE,
    FR_CODES,
    FR_CORE,
    HL7,
    INS_NIR,
    IPP,
    RPPS,
    TERMS,
    Json,
    coding,
    concept,
    extension,
    logical,
    reference,
)
from etl.synthetic.people import Person
from etl.synthetic.people_tables import Town
from etl.synthetic.records.patient_record import PatientRecord


def patient(record: PatientRecord) -> Json:
    """The Patient."""
    person, rng = record.person, record.rng
    qualified = rng.random() < 0.82
    first = record.course.stays[0].start if record.course.stays else record.today_minute - MINUTES_A_DAY
    profile = f"{FR_CORE}/fr-core-patient-ins" if qualified else f"{FR_CORE}/fr-core-patient"
    resource = record.head("Patient", record.patient_id, first - 60, profile)
    resource["extension"] = _extensions(person, qualified)
    resource["identifier"] = _identifiers(person, qualified)
    resource["active"] = True
    resource["name"] = _names(person)
    resource["telecom"] = _telecoms(person)
    resource["gender"] = "female" if person.is_female else "male"
    resource["birthDate"] = person.birth_text
    _add_death(record, resource)
    resource["address"] = [_address(record, person)]
    if person.age_at(record.today_minute // MINUTES_A_DAY) > 18:
        status = ("M", "Married") if person.usual_family or rng.random() < 0.4 else ("S", "Never Married")
        resource["maritalStatus"] = concept(f"{TERMS}/v3-MaritalStatus", *status)
    if person.contact:
        resource["contact"] = [_contact(person)]
    doctor = record.town_doctor
    resource["generalPractitioner"] = [
        logical("Practitioner", RPPS, doctor.rpps) if rng.random() < 0.3 else doctor.link
    ]
    resource["managingOrganization"] = reference("Organization", record.hospital.legal)
    return resource


def _insee(town: Town) -> list[Json]:
    return [extension(f"{FR_CORE}/fr-core-address-insee-code", "Coding", coding(COMMUNE, town.insee))]


def _extensions(person: Person, qualified: bool) -> list[Json]:
    status = ("VALI", "Identité validée") if qualified else ("PROV", "Identité provisoire")
    reliability = {
        "url": f"{FR_CORE}/fr-core-identity-reliability",
        "extension": [extension("identityStatus", "Coding", coding(f"{FR_CODES}/fr-core-cs-v2-0445", *status))],
    }
    birth_place = {"extension": _insee(person.birth_place), "city": person.birth_place.name}
    if person.birth_place.insee.startswith("99"):
        birth_place = {"extension": _insee(person.birth_place), "country": person.birth_place.name}
    return [reliability, extension(f"{HL7}/patient-birthPlace", "Address", birth_place)]


def _identifiers(person: Person, qualified: bool) -> list[Json]:
    internal = {
        "use": "usual",
        "type": concept(f"{TERMS}/v2-0203", "PI", "Patient internal identifier"),
        "system": IPP,
        "value": person.ipp,
    }
    if not qualified:
        return [internal]
    national = {
        "use": "official",
        "type": concept(f"{FR_CODES}/fr-core-cs-v2-0203", "INS-NIR", "NIR définitif"),
        "system": INS_NIR,
        "value": person.nir,
    }
    return [national, internal]


def _names(person: Person) -> list[Json]:
    born: Json = {
        "extension": [extension(f"{FR_CORE}/fr-core-patient-birth-list-given-name", "String", " ".join(person.givens))],
        "use": "official",
        "family": person.family,
        "given": [person.givens[0]],
    }
    if not person.usual_family:
        return [born]
    return [
        born,
        {
            "use": "usual",
            "text": person.called,
            "family": person.usual_family,
            "given": [person.givens[0]],
        },
    ]


def _telecoms(person: Person) -> list[Json]:
    telecoms: list[Json] = [{"system": "phone", "value": value, "use": use} for use, value in person.phones]
    if person.email:
        telecoms.append({"system": "email", "value": person.email, "use": "home"})
    return telecoms


def _address(record: PatientRecord, person: Person) -> Json:
    address: Json = {
        "extension": _insee(person.town),
        "use": "home",
        "type": "both",
        "line": [person.line],
        "city": person.town.name,
        "postalCode": person.town.postcode,
        "country": "FR",
    }
    if record.rng.random() < 0.3:
        address["text"] = f"{person.line}, {person.town.postcode} {person.town.name}"
    return address


def _add_death(record: PatientRecord, resource: Json) -> None:
    minute = record.course.death_minute
    if minute is None:
        if record.rng.random() < 0.4:
            resource["deceasedBoolean"] = False
        return
    in_hospital = any(stay.died for stay in record.course.stays)
    resource["deceasedDateTime"] = (
        instant(minute) if in_hospital or record.rng.random() < 0.3 else day_text(minute // MINUTES_A_DAY)
    )
    death_place = "Hôpital" if in_hospital else "Domicile"
    resource["extension"].append(extension(f"{FR_CORE}/fr-core-patient-death-place", "String", death_place))


def _contact(person: Person) -> Json:
    contact = person.contact
    assert contact is not None
    return {
        "relationship": [
            concept(f"{TERMS}/v3-RoleCode", contact.relation, "", contact.relation_label),
            concept(f"{TERMS}/v2-0131", "C", "Emergency Contact"),
        ],
        "name": {"family": contact.family, "given": [contact.given]},
        "telecom": [{"system": "phone", "value": contact.phone, "use": "mobile"}],
    }
