"""The demonstration hospital itself: legal entity, wards, beds, staff, formulary.

Depends on the seed only, not on patients, so that each worker process builds the same one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random

from etl.synthetic.clock import MINUTES_A_DAY
from etl.synthetic.code_tables import ATC, DRUGS, UCD, Drug
from etl.synthetic.fhir import (
    COMMUNE,
    FINESS,
    FR_CODES,
    FR_CORE,
    HOUSE,
    RPPS,
    TERMS,
    Json,
    coding,
    concept,
    extension,
    meta,
    reference,
)
from etl.synthetic.people import draw_family, draw_given, draw_line, draw_phone
from etl.synthetic.people_tables import HOME_TOWN

NAME = "CHU de démonstration"
WARDS = {
    "URGENCES": "Service d'accueil des urgences",
    "CARDIO": "Cardiologie",
    "PNEUMO": "Pneumologie",
    "NEPHRO": "Néphrologie et dialyse",
    "ENDOCRINO": "Endocrinologie et diabétologie",
    "CHIRDIG": "Chirurgie digestive",
    "ORTHO": "Chirurgie orthopédique et traumatologique",
    "MATERNITE": "Gynécologie-obstétrique",
    "PEDIATRIE": "Pédiatrie",
    "REA": "Réanimation polyvalente",
    "NEURO": "Neurologie vasculaire",
    "ONCO": "Oncologie médicale",
    "OPHTALMO": "Ophtalmologie",
    "MEDINT": "Médecine interne",
    "LABO": "Laboratoire de biologie médicale",
    "IMAGERIE": "Imagerie médicale",
}
BEDS_A_WARD = 8
DOCTORS_A_WARD = 5
TOWN_DOCTORS = 30
_PROFESSIONS = "https://mos.esante.gouv.fr/NOS/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante"


def luhn_digit(digits: str) -> str:
    """The check digit that makes `digits` pass Luhn's test (RPPS and FINESS use it)."""
    doubled = [int(digit) * (2 if position % 2 == 0 else 1) for position, digit in enumerate(reversed(digits))]
    return str(-sum(value - 9 if value > 9 else value for value in doubled) % 10)


@dataclass(frozen=True, slots=True)
class Doctor:
    """A practitioner: resource id, name, RPPS number."""

    id: str
    family: str
    given: str
    rpps: str
    phone: str

    @property
    def called(self) -> str:
        """As letters sign: Dr Jeanne MARTIN."""
        return f"Dr {self.given} {self.family}"

    @property
    def link(self) -> Json:
        """Literal reference."""
        return reference("Practitioner", self.id)


@dataclass(slots=True)
class Hospital:
    """Ids of the structure's resources and the resources themselves, in the order they are written."""

    seed: int
    opened: int
    legal: str = ""
    site: str = ""
    wards: dict[str, str] = field(default_factory=dict)
    ward_locations: dict[str, str] = field(default_factory=dict)
    beds: dict[str, list[str]] = field(default_factory=dict)
    doctors: dict[str, list[Doctor]] = field(default_factory=dict)
    town_doctors: list[Doctor] = field(default_factory=list)
    medicines: dict[str, str] = field(default_factory=dict)
    resources: list[Json] = field(default_factory=list)


def build_hospital(seed: int, today: int) -> Hospital:
    """The hospital of a seed, its resources dated well before every stay."""
    rng = Random(seed * 8 + 7)
    hospital = Hospital(seed, (today - 3650) * MINUTES_A_DAY + 480)
    _add_structure(rng, hospital)
    for ward, title in WARDS.items():
        _add_ward(rng, hospital, ward, title)
        hospital.doctors[ward] = [_add_doctor(rng, hospital, ward) for _ in range(DOCTORS_A_WARD)]
    hospital.town_doctors = [_add_doctor(rng, hospital, "") for _ in range(TOWN_DOCTORS)]
    for key, drug in DRUGS.items():
        hospital.medicines[key] = _add_medicine(rng, hospital, drug)
    return hospital


def medicine_concept(drug: Drug) -> Json:
    """A medicine as CodeableConcept: UCD presentation if known, and ATC class."""
    codings = [coding(UCD, drug.ucd, drug.ucd_label)] if drug.ucd else []
    return {"coding": [*codings, coding(ATC, drug.atc, drug.label)], "text": drug.label}


def new_id(rng: Random) -> str:
    """An opaque resource id of 16 hexadecimal characters."""
    return f"{rng.getrandbits(64):016x}"


def _keep(rng: Random, hospital: Hospital, resource: Json, profile: str = "") -> str:
    identity = new_id(rng)
    head: Json = {"resourceType": resource.pop("resourceType"), "id": identity}
    head["meta"] = meta(hospital.opened + rng.randrange(1000), 1, rng.randrange(60_000), profile)
    hospital.resources.append(head | resource)
    return identity


def _organization(kind: str, label: str, name: str) -> Json:
    return {
        "resourceType": "Organization",
        "active": True,
        "type": [concept(f"{FR_CODES}/fr-core-cs-v2-3307", kind, label)],
        "name": name,
    }


def _finess(seed: int, kind: str, number: int) -> Json:
    stem = f"99{(seed * 31 + number) % 1_000_000:06d}"
    return {
        "type": concept(f"{FR_CODES}/fr-core-cs-v2-0203", kind),
        "system": FINESS,
        "value": stem + luhn_digit(stem),
    }


def _add_structure(rng: Random, hospital: Hospital) -> None:
    address = {
        "extension": [extension(f"{FR_CORE}/fr-core-address-insee-code", "Coding", coding(COMMUNE, HOME_TOWN.insee))],
        "line": ["1 rue de la Démonstration"],
        "city": HOME_TOWN.name,
        "postalCode": HOME_TOWN.postcode,
        "country": "FR",
    }
    legal = _organization("LEGAL-ENTITY", "Entité légale", NAME)
    legal |= {"identifier": [_finess(hospital.seed, "FINEJ", 1)], "address": [address]}
    hospital.legal = _keep(rng, hospital, legal, f"{FR_CORE}/fr-core-organization")
    site = _organization("GEOGRAPHICAL-ENTITY", "Entité géographique", f"{NAME}, site principal")
    site |= {"identifier": [_finess(hospital.seed, "FINEG", 2)], "address": [address]}
    site["partOf"] = reference("Organization", hospital.legal)
    hospital.site = _keep(rng, hospital, site, f"{FR_CORE}/fr-core-organization")


def _add_ward(rng: Random, hospital: Hospital, ward: str, title: str) -> None:
    unit = _organization("UF", "Unité fonctionnelle", title)
    unit["extension"] = [extension(f"{FR_CORE}/fr-core-organization-short-name", "String", ward)]
    unit["identifier"] = [{"system": f"{HOUSE}/uf", "value": f"{4000 + len(hospital.wards)}"}]
    unit["partOf"] = reference("Organization", hospital.site)
    hospital.wards[ward] = _keep(rng, hospital, unit, f"{FR_CORE}/fr-core-organization")
    location = _location(f"{title}, bâtiment A", "wa", "Ward", hospital.wards[ward])
    hospital.ward_locations[ward] = _keep(rng, hospital, location, f"{FR_CORE}/fr-core-location")
    hospital.beds[ward] = []
    if ward not in ("LABO", "IMAGERIE"):
        for number in range(1, BEDS_A_WARD + 1):
            bed = _location(f"{ward} lit {number:02d}", "bd", "Bed", hospital.wards[ward])
            bed["partOf"] = reference("Location", hospital.ward_locations[ward])
            hospital.beds[ward].append(_keep(rng, hospital, bed, f"{FR_CORE}/fr-core-location"))


def _location(name: str, kind: str, display: str, owner: str) -> Json:
    return {
        "resourceType": "Location",
        "status": "active",
        "name": name,
        "mode": "instance",
        "physicalType": concept(f"{TERMS}/location-physical-type", kind, display),
        "managingOrganization": reference("Organization", owner),
    }


def _rpps(hospital: Hospital) -> str:
    stem = f"8999{(len(hospital.resources) * 7_919 + hospital.seed) % 1_000_000:06d}"
    return stem + luhn_digit(stem)


def _add_doctor(rng: Random, hospital: Hospital, ward: str) -> Doctor:
    is_female = rng.random() < 0.5
    profession = ("50", "Sage-femme") if ward == "MATERNITE" and rng.random() < 0.4 else ("10", "Médecin")
    unnamed = Doctor("", draw_family(rng), draw_given(rng, is_female), _rpps(hospital), draw_phone(rng, False))
    resource = _practitioner(rng, unnamed, "female" if is_female else "male", profession)
    doctor = replace(unnamed, id=_keep(rng, hospital, resource, f"{FR_CORE}/fr-core-practitioner"))
    if ward:
        _keep(rng, hospital, _role(hospital, doctor, ward, profession))
    return doctor


def _role(hospital: Hospital, doctor: Doctor, ward: str, profession: tuple[str, str]) -> Json:
    return {
        "resourceType": "PractitionerRole",
        "active": True,
        "practitioner": doctor.link,
        "organization": reference("Organization", hospital.wards[ward]),
        "code": [concept(_PROFESSIONS, *profession)],
        "specialty": [{"text": WARDS[ward]}],
        "location": [reference("Location", hospital.ward_locations[ward])],
    }


def _practitioner(rng: Random, doctor: Doctor, gender: str, profession: tuple[str, str]) -> Json:
    return {
        "resourceType": "Practitioner",
        "identifier": [
            {
                "use": "official",
                "type": concept(f"{FR_CODES}/fr-core-cs-v2-0203", "RPPS", "N° RPPS"),
                "system": RPPS,
                "value": doctor.rpps,
            }
        ],
        "active": True,
        "name": [{"use": "official", "family": doctor.family, "given": [doctor.given], "prefix": ["DR"]}],
        "telecom": [{"system": "phone", "value": doctor.phone, "use": "work"}],
        "address": [{"use": "work", "line": [draw_line(rng)], "city": HOME_TOWN.name, "country": "FR"}],
        "gender": gender,
        "qualification": [{"code": concept(_PROFESSIONS, *profession)}],
    }


def _add_medicine(rng: Random, hospital: Hospital, drug: Drug) -> str:
    medicine: Json = {"resourceType": "Medication", "code": medicine_concept(drug), "status": "active"}
    return _keep(rng, hospital, medicine)


def structure(hospital: Hospital) -> Iterator[Json]:
    """The hospital's own resources, in writing order."""
    yield from hospital.resources
