"""Encounters (stays and movements), Conditions, Procedures, and ImagingStudies with their reports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from etl.synthetic.clock import MINUTES_A_DAY, day_text, instant
from etl.synthetic.code_tables import CCAM, CIM10, DIAGNOSES, LOINC, PROCEDURES
from etl.synthetic.fhir import (
    FR_CORE,
    HOUSE,
    RPPS,
    STAY_NUMBER,
    TERMS,
    Json,
    concept,
    frozen,
    logical,
    period,
    reference,
)
from etl.synthetic.patient_course import Stay, illness_code
from etl.synthetic.records.patient_record import PatientRecord, Visit

_CLASSES = {
    "IMP": frozen({"system": f"{TERMS}/v3-ActCode", "code": "IMP", "display": "inpatient encounter"}),
    "EMER": frozen({"system": f"{TERMS}/v3-ActCode", "code": "EMER", "display": "emergency"}),
    "AMB": frozen({"system": f"{TERMS}/v3-ActCode", "code": "AMB", "display": "ambulatory"}),
}
_CLASS_OF = {"emergency": "IMP", "planned": "IMP", "casualty": "EMER", "day": "AMB", "visit": "AMB"}
_VISIT_NUMBER = frozen(concept(f"{TERMS}/v2-0203", "VN", "Visit number"))
_ATTENDER = frozen([concept(f"{TERMS}/v3-ParticipationType", "ATND", "attender")])
_ADMITTER = frozen([concept(f"{TERMS}/v3-ParticipationType", "ADM", "admitter")])
_FROM_CASUALTY = frozen(
    concept(f"{TERMS}/admit-source", "emd", "From accident/emergency department", "Service des urgences")
)
_FROM_TOWN = frozen(
    concept(f"{TERMS}/admit-source", "gp", "General Practitioner referral", "Adressé par le médecin traitant")
)
_TO_HOME = frozen(concept(f"{TERMS}/discharge-disposition", "home", "Home", "Domicile"))
_TO_REHAB = frozen(concept(f"{TERMS}/discharge-disposition", "rehab", "Rehabilitation", "Soins de suite"))
_DECEASED = frozen(concept(f"{TERMS}/discharge-disposition", "exp", "Expired", "Décès"))
_MAIN = frozen(concept(f"{TERMS}/diagnosis-role", "DD", "Discharge diagnosis", "Diagnostic principal"))
_OTHER = frozen(concept(f"{TERMS}/diagnosis-role", "CM", "Comorbidity diagnosis", "Diagnostic associé significatif"))
_ACTIVE = frozen(concept(f"{TERMS}/condition-clinical", "active", "Active"))
_RESOLVED = frozen(concept(f"{TERMS}/condition-clinical", "resolved", "Resolved"))
_CONFIRMED = frozen(concept(f"{TERMS}/condition-ver-status", "confirmed", "Confirmed"))
_OF_STAY = frozen([concept(f"{TERMS}/condition-category", "encounter-diagnosis", "Encounter Diagnosis")])
_OF_LIST = frozen([concept(f"{TERMS}/condition-category", "problem-list-item", "Problem List Item")])
_DIAGNOSIS = {code: frozen(concept(CIM10, code, label, label)) for code, label in DIAGNOSES.items()}
_ACT = {code: frozen(concept(CCAM, code, label, label)) for code, label in PROCEDURES.items()}
_REPORT_KIND = frozen([concept(f"{TERMS}/v2-0074", "RAD", "Radiology")])
_REPORT_CODE = frozen(concept(LOINC, "18748-4", "Diagnostic imaging study", "Compte rendu d'imagerie"))


class Picture(NamedTuple):
    """How an imaging act is made: DICOM modality, number of series and of images a series, what it shows."""

    modality: str
    series: int
    images: int
    normal: str


_PICTURES = {
    "ZBQK002": Picture("DX", 1, 2, "Pas de foyer parenchymateux. Silhouette cardiaque de taille normale."),
    "ZBQH001": Picture("CT", 3, 240, "Pas d'embolie proximale. Pas d'adénopathie."),
    "ZCQH001": Picture("CT", 2, 320, "Pas d'épanchement. Organes pleins sans particularité."),
    "ACQK001": Picture("CT", 2, 160, "Pas d'hémorragie intracrânienne."),
    "DZQM006": Picture("US", 1, 24, "Cavités de taille normale. Fonction systolique conservée."),
}
_DICOM = "http://dicom.nema.org/resources/ontology/DCM"


def long_illnesses(record: PatientRecord) -> Iterator[Json]:
    """Problem-list Conditions; a third of their dates are known to the year or the month only."""
    for key, day in record.course.illnesses.items():
        resource = record.head("Condition", record.new_id(), day * MINUTES_A_DAY + 600, f"{FR_CORE}/fr-core-condition")
        chance = record.rng.random()
        cut = 4 if chance < 0.2 else 7 if chance < 0.35 else 10
        resource |= {
            "clinicalStatus": _ACTIVE,
            "verificationStatus": _CONFIRMED,
            "category": _OF_LIST,
            "code": _DIAGNOSIS[illness_code(record.course, key)],
            "subject": record.who(),
            "onsetDateTime": day_text(day)[:cut],
            "recordedDate": day_text(day),
        }
        if record.rng.random() < 0.3:
            resource["asserter"] = record.town_doctor.link
        yield resource


def stay_conditions(record: PatientRecord, visit: Visit) -> Iterator[Json]:
    """The diagnoses of a stay: the main one, what it brought, and the long illnesses that counted."""
    stay = visit.stay
    day = stay.start // MINUTES_A_DAY
    codes = [stay.reason.code, *stay.also]
    if stay.in_bed:
        diagnosed = (key for key, since in record.course.illnesses.items() if since <= day)
        codes += [illness_code(record.course, key) for key in diagnosed if record.rng.random() < 0.5]
    for rank, code in enumerate(dict.fromkeys(codes)):
        identity = record.new_id()
        visit.diagnoses.append((identity, code))
        resource = record.head("Condition", identity, visit.last, f"{FR_CORE}/fr-core-condition")
        resource |= {
            "clinicalStatus": _RESOLVED if rank == 0 and record.rng.random() < 0.5 else _ACTIVE,
            "verificationStatus": _CONFIRMED,
            "category": _OF_STAY,
            "code": _DIAGNOSIS[code],
            "subject": record.who(),
            "encounter": visit.link,
            "recordedDate": instant(visit.last),
            "recorder": visit.doctor.link,
        }
        if rank == 0:
            resource["onsetDateTime"] = day_text(day)
        yield resource


def encounters(record: PatientRecord, visit: Visit) -> Iterator[Json]:
    """The stay, then its movements through casualty, intensive care and the ward."""
    stay = visit.stay
    resource = _encounter(record, visit, visit.id, visit.ward, _CLASS_OF[stay.reason.setting], stay.start)
    resource["identifier"] = [{"type": _VISIT_NUMBER, "system": STAY_NUMBER, "value": visit.number}]
    resource["reasonCode"] = [_DIAGNOSIS[stay.reason.code]]
    resource["diagnosis"] = [
        {"condition": reference("Condition", identity), "use": _OTHER if rank else _MAIN, "rank": rank + 1}
        for rank, (identity, _) in enumerate(visit.diagnoses)
    ]
    if stay.in_bed:
        resource["hospitalization"] = _hospitalization(record, stay)
        if stay.end is not None:
            resource["length"] = {
                "value": round((stay.end - stay.start) / MINUTES_A_DAY, 2),
                "unit": "jour",
                "system": "http://unitsofmeasure.org",
                "code": "d",
            }
    yield resource
    yield from _movements(record, visit)


def _encounter(record: PatientRecord, visit: Visit, identity: str, ward: str, kind: str, start: int) -> Json:
    end = visit.stay.end
    resource = record.head("Encounter", identity, visit.last, f"{FR_CORE}/fr-core-encounter")
    resource |= {
        "status": "in-progress" if end is None else "finished",
        "class": _CLASSES[kind],
        "subject": record.who(),
        "participant": [{"type": _ATTENDER, "individual": _attender(record, visit)}],
        "period": period(start, end),
        "serviceProvider": reference("Organization", record.hospital.wards[ward]),
    }
    return resource


def _attender(record: PatientRecord, visit: Visit) -> Json:
    """The doctor in charge; one in ten is named by RPPS number only, one in ten with a display."""
    chance = record.rng.random()
    if chance < 0.1:
        return logical("Practitioner", RPPS, visit.doctor.rpps) | {"display": visit.doctor.called}
    return visit.doctor.link | {"display": visit.doctor.called} if chance < 0.2 else visit.doctor.link


def _hospitalization(record: PatientRecord, stay: Stay) -> Json:
    hospitalization: Json = {"admitSource": _FROM_CASUALTY if stay.reason.setting == "emergency" else _FROM_TOWN}
    if stay.is_return:
        hospitalization["reAdmission"] = concept(f"{TERMS}/v2-0092", "R", "Re-admission")
    if stay.died:
        hospitalization["dischargeDisposition"] = _DECEASED
    elif stay.end is not None:
        to_rehab = stay.reason.key in ("hip_fracture", "stroke") and record.rng.random() < 0.6
        hospitalization["dischargeDisposition"] = _TO_REHAB if to_rehab else _TO_HOME
    return hospitalization


def _legs(record: PatientRecord, stay: Stay) -> list[tuple[str, str, int, int | None]]:
    """Ward, class, start and end of each movement."""
    last = stay.end if stay.end is not None else record.today_minute
    legs: list[tuple[str, str, int, int | None]] = []
    start = stay.start
    if stay.reason.setting == "emergency":
        leave = min(start + record.rng.randrange(120, 600, 5), last - 60)
        if leave > start:
            legs.append(("URGENCES", "EMER", start, leave))
            start = leave
    if stay.in_intensive_care and stay.reason.ward != "REA" and last - start > 2 * MINUTES_A_DAY:
        leave = start + int((last - start) * record.rng.uniform(0.2, 0.5))
        legs.append(("REA", "IMP", start, leave))
        start = leave
    legs.append((stay.reason.ward, "IMP", start, stay.end))
    return legs


def _movements(record: PatientRecord, visit: Visit) -> Iterator[Json]:
    stay = visit.stay
    if not stay.in_bed:
        return
    for order, (ward, kind, start, end) in enumerate(_legs(record, stay), 1):
        resource = _encounter(record, visit, record.new_id(), ward, kind, start)
        resource["status"] = "in-progress" if end is None else "finished"
        resource["identifier"] = [{"system": f"{HOUSE}/mouvement", "value": f"{visit.number}-{order}"}]
        resource["period"] = period(start, end)
        bed = record.rng.choice(record.hospital.beds[ward])
        resource["location"] = [
            {
                "location": reference("Location", bed),
                "status": "active" if end is None else "completed",
                "period": period(start, end),
            }
        ]
        resource["partOf"] = visit.link
        if order == 1:
            resource["participant"].append({"type": _ADMITTER, "individual": visit.doctor.link})
        yield resource


def stay_acts(record: PatientRecord, visit: Visit) -> Iterator[Json]:
    """CCAM Procedures, and for imaging acts the study and its report."""
    stay = visit.stay
    for act in stay.acts:
        span = max(30, min(visit.last - stay.start - 20, 2 * MINUTES_A_DAY))
        start = stay.start + 15 + record.rng.randrange(0, span, 5)
        start = min(start, visit.last - 10)
        identity = record.new_id()
        resource = record.head("Procedure", identity, start, f"{FR_CORE}/fr-core-procedure")
        resource |= {
            "status": "completed",
            "code": _ACT[act],
            "subject": record.who(),
            "encounter": visit.link,
            "performedPeriod": period(start, min(start + record.rng.randrange(10, 95, 5), visit.last)),
            "performer": [{"actor": record.rng.choice(record.hospital.doctors[visit.ward]).link}],
            "reasonReference": [reference("Condition", visit.diagnoses[0][0])],
        }
        if record.rng.random() < 0.05:
            resource["note"] = [{"text": f"Réalisé par {visit.doctor.called}, patient {record.person.called}."}]
        yield resource
        if act in _PICTURES:
            yield from _imaging(record, visit, act, identity, start)


def _imaging(record: PatientRecord, visit: Visit, act: str, procedure: str, start: int) -> Iterator[Json]:
    picture, rng = _PICTURES[act], record.rng
    identity = record.new_id()
    uid = f"2.25.{rng.getrandbits(120)}"
    study = record.head("ImagingStudy", identity, start)
    study |= {
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}],
        "status": "available",
        "modality": [{"system": _DICOM, "code": picture.modality}],
        "subject": record.who(),
        "encounter": visit.link,
        "started": instant(start),
        "numberOfSeries": picture.series,
        "numberOfInstances": picture.series * picture.images,
        "procedureReference": reference("Procedure", procedure),
        "procedureCode": [_ACT[act]],
        "location": reference("Location", record.hospital.ward_locations["IMAGERIE"]),
        "series": [
            {
                "uid": f"{uid}.{number}",
                "number": number,
                "modality": {"system": _DICOM, "code": picture.modality},
                "numberOfInstances": picture.images,
                "started": instant(record.clip(start + number)),
            }
            for number in range(1, picture.series + 1)
        ],
    }
    yield study
    yield _imaging_report(record, visit, picture, identity, start)


def _imaging_report(record: PatientRecord, visit: Visit, picture: Picture, study: str, start: int) -> Json:
    report = record.head("DiagnosticReport", record.new_id(), start + 60)
    report |= {
        "status": "final",
        "category": _REPORT_KIND,
        "code": _REPORT_CODE,
        "subject": record.who(),
        "encounter": visit.link,
        "effectiveDateTime": instant(start),
        "issued": instant(record.clip(start + 75)),
        "performer": [reference("Organization", record.hospital.wards["IMAGERIE"])],
        "resultsInterpreter": [record.rng.choice(record.hospital.doctors["IMAGERIE"]).link],
        "imagingStudy": [reference("ImagingStudy", study)],
        "conclusion": picture.normal,
    }
    if record.rng.random() < 0.5:
        report["conclusion"] = f"{record.person.called} : {DIAGNOSES[visit.stay.reason.code].lower()}."
        report["conclusionCode"] = [_DIAGNOSIS[visit.stay.reason.code]]
    return report
