"""Observations (vital signs, laboratory, facts about the person), Specimens and laboratory DiagnosticReports."""

from __future__ import annotations

from collections.abc import Iterator

from orjson import Fragment

from etl.synthetic.analytes import BLOOD_PRESSURE, LABORATORY, VITALS, Analyte
from etl.synthetic.clock import instant
from etl.synthetic.code_tables import BACTERIA, LOINC, SNOMED, SPECIMENS, UCUM
from etl.synthetic.fhir import (
    HL7,
    RPPS,
    SAMPLE_NUMBER,
    TERMS,
    Json,
    coding,
    concept,
    frozen,
    logical,
    quantity,
    reference,
    unit_text,
)
from etl.synthetic.patient_course import Measures
from etl.synthetic.records.patient_record import PatientRecord, Visit

_LABORATORY = frozen([concept(f"{TERMS}/observation-category", "laboratory", "Laboratory")])
_VITAL = frozen([concept(f"{TERMS}/observation-category", "vital-signs", "Vital Signs")])
_SOCIAL = frozen([concept(f"{TERMS}/observation-category", "social-history", "Social History")])
_SURVEY = frozen([concept(f"{TERMS}/observation-category", "survey", "Survey")])
_INTERPRETATIONS = {
    "H": frozen([concept(f"{TERMS}/v3-ObservationInterpretation", "H", "High")]),
    "L": frozen([concept(f"{TERMS}/v3-ObservationInterpretation", "L", "Low")]),
    "N": frozen([concept(f"{TERMS}/v3-ObservationInterpretation", "N", "Normal")]),
}
_NOT_DONE = frozen(concept(f"{TERMS}/data-absent-reason", "not-performed", "Not Performed"))
_REPORT_KIND = frozen([concept(f"{TERMS}/v2-0074", "LAB", "Laboratory")])
_REPORT_CODE = frozen(concept(LOINC, "11502-2", "Laboratory report", "Compte rendu d'examens biologiques"))
_SAMPLES = {key: frozen(concept(SNOMED, code, name, text)) for key, (code, name, text) in SPECIMENS.items()}

_PROFILES = {
    "blood_pressure": f"{HL7}/bp",
    "heart_rate": f"{HL7}/heartrate",
    "respiratory_rate": f"{HL7}/resprate",
    "temperature": f"{HL7}/bodytemp",
    "spo2": f"{HL7}/oxygensat",
    "weight": f"{HL7}/bodyweight",
    "height": f"{HL7}/bodyheight",
    "bmi": f"{HL7}/bmi",
}


def _code(key: str, analyte: Analyte) -> Fragment:
    code = concept(LOINC, analyte.loinc, analyte.display, analyte.label)
    if key == "spo2":
        code["coding"].append(coding(LOINC, "2708-6", "Oxygen saturation in Arterial blood"))
    return frozen(code)


def _reference_range(analyte: Analyte, is_female: bool) -> Fragment | None:
    low, high = analyte.reference(is_female)
    if low is None and high is None:
        return None
    limits = {
        side: {
            "value": value,
            "unit": unit_text(analyte.unit),
            "system": UCUM,
            "code": analyte.unit,
        }
        for side, value in (("low", low), ("high", high))
        if value is not None
    }
    return frozen([limits])


_ALL = {**LABORATORY, **VITALS}
_CODES = {key: _code(key, analyte) for key, analyte in _ALL.items()}
_RANGES = {
    (key, is_female): _reference_range(analyte, is_female)
    for key, analyte in _ALL.items()
    for is_female in (False, True)
}
_PRESSURE = frozen(concept(LOINC, *BLOOD_PRESSURE))
_PAIN = frozen(
    concept(
        LOINC,
        "72514-3",
        "Pain severity - 0-10 verbal numeric rating [Score] - Reported",
        "Échelle numérique de la douleur",
    )
)
_SMOKING = frozen(concept(LOINC, "72166-2", "Tobacco smoking status", "Statut tabagique"))
_BLOOD_GROUP = frozen(concept(LOINC, "883-9", "ABO group [Type] in Blood", "Groupe ABO"))
_FASTING = frozen(concept(LOINC, "49541-6", "Fasting status - Reported", "À jeun"))
_URINE_COLOUR = frozen(concept(LOINC, "5778-6", "Color of Urine", "Couleur des urines"))
_CULTURES = {
    "blood": frozen(concept(LOINC, "600-7", "Bacteria identified in Blood by Culture", "Hémoculture")),
    "urine": frozen(concept(LOINC, "630-4", "Bacteria identified in Urine by Culture", "ECBU")),
    "swab": frozen(
        concept(
            LOINC,
            "94500-6",
            "SARS-CoV-2 (COVID-19) RNA [Presence] in Respiratory specimen by NAA with probe detection",
            "PCR SARS-CoV-2",
        )
    ),
}
_NO_GROWTH = frozen(concept(SNOMED, "264868006", "No growth", "Culture négative"))
_GROUPS = (("112144000", "Blood group A"), ("112149005", "Blood group B"), ("58460004", "Blood group O"))


def _observation(record: PatientRecord, category: Fragment, code: Fragment, minute: int, profile: str = "") -> Json:
    resource = record.head("Observation", record.new_id(), minute, profile)
    resource |= {
        "status": "final",
        "category": category,
        "code": code,
        "subject": record.who(),
        "effectiveDateTime": instant(minute),
    }
    return resource


def interpretation(value: float, low: float | None, high: float | None) -> str:
    """L, N or H of a value beside its reference limits."""
    if low is not None and value < low:
        return "L"
    return "H" if high is not None and value > high else "N"


def vital_signs(record: PatientRecord, visit: Visit) -> Iterator[Json]:
    """Blood pressure with its components, the other vital signs, and pain."""
    for measures in visit.stay.vitals:
        nurse = record.rng.choice(record.hospital.doctors[visit.ward]).link
        yield _blood_pressure(record, visit, measures, nurse)
        for key, value in measures.values.items():
            if key in ("systolic", "diastolic"):
                continue
            analyte = VITALS[key]
            observation = _observation(record, _VITAL, _CODES[key], measures.minute, _PROFILES[key])
            observation["encounter"] = visit.link
            observation["performer"] = [nurse]
            observation["valueQuantity"] = quantity(value, analyte.digits, analyte.unit)
            yield observation
        if visit.stay.in_bed and record.rng.random() < 0.35:
            yield _pain(record, visit, measures.minute)


def _blood_pressure(record: PatientRecord, visit: Visit, measures: Measures, nurse: Json) -> Json:
    observation = _observation(record, _VITAL, _PRESSURE, measures.minute, _PROFILES["blood_pressure"])
    observation["encounter"] = visit.link
    observation["performer"] = [nurse]
    missing = record.rng.random() < 0.01
    components: list[Json] = []
    for key in ("systolic", "diastolic"):
        component: Json = {"code": _CODES[key]}
        if missing:
            component["dataAbsentReason"] = _NOT_DONE
        else:
            component["valueQuantity"] = quantity(measures.values[key], 0, "mm[Hg]")
        components.append(component)
    observation["component"] = components
    return observation


def _pain(record: PatientRecord, visit: Visit, minute: int) -> Json:
    observation = _observation(record, _SURVEY, _PAIN, minute)
    observation["encounter"] = visit.link
    observation["valueInteger"] = min(10, int(record.rng.expovariate(0.45)))
    return observation


def laboratory_reports(record: PatientRecord, visit: Visit) -> Iterator[Json]:
    """Each sample with its results and the report that lists them; then the culture if one was taken."""
    for order, measures in enumerate(visit.stay.laboratory, 1):
        yield from _sample(record, visit, measures, f"{visit.number}{order:02d}")
    if visit.stay.reason.culture and visit.stay.laboratory:
        yield from _culture(record, visit)


def _specimen(record: PatientRecord, identity: str, kind: str, number: str, minute: int) -> Json:
    resource = record.head("Specimen", identity, minute)
    resource |= {
        "identifier": [{"system": SAMPLE_NUMBER, "value": number}],
        "status": "available",
        "type": _SAMPLES[kind],
        "subject": record.who(),
        "receivedTime": instant(record.clip(minute + 35)),
        "collection": {"collectedDateTime": instant(minute)},
    }
    return resource


def _contained_specimen(minute: int) -> Json:
    return {
        "resourceType": "Specimen",
        "id": "prelevement",
        "type": _SAMPLES["blood"],
        "collection": {"collectedDateTime": instant(minute)},
    }


def _sample(record: PatientRecord, visit: Visit, measures: Measures, number: str) -> Iterator[Json]:
    sample = record.new_id()
    inside = record.rng.random() < 0.06
    if not inside:
        yield _specimen(record, sample, "blood", number, measures.minute)
    results: list[Json] = []
    for key, value in measures.values.items():
        observation = _result(record, visit, key, value, measures.minute)
        if not inside:
            observation["specimen"] = reference("Specimen", sample)
        results.append(reference("Observation", observation["id"]))
        yield observation
    report = _report(record, visit, measures.minute, results)
    if inside:
        report["contained"] = [_contained_specimen(measures.minute)]
        report["specimen"] = [{"reference": "#prelevement"}]
    else:
        report["specimen"] = [reference("Specimen", sample)]
    yield report


def _result(record: PatientRecord, visit: Visit, key: str, value: float, minute: int) -> Json:
    analyte, is_female = LABORATORY[key], record.person.is_female
    observation = _observation(record, _LABORATORY, _CODES[key], minute)
    observation["encounter"] = visit.link
    observation["issued"] = instant(record.clip(minute + 80))
    observation["performer"] = [reference("Organization", record.hospital.wards["LABO"])]
    limits = _RANGES[key, is_female]
    if record.rng.random() < 0.004:
        observation["dataAbsentReason"] = _NOT_DONE
        return observation
    rounded = round(value, analyte.digits)
    observation["valueQuantity"] = quantity(rounded, analyte.digits, analyte.unit)
    if limits is not None:
        observation["interpretation"] = _INTERPRETATIONS[interpretation(rounded, *analyte.reference(is_female))]
        observation["referenceRange"] = limits
    if record.rng.random() < 0.006:
        name = record.person.called
        observation["note"] = [
            {"text": f"Résultat de {name} téléphoné au {visit.doctor.called} ({visit.doctor.phone})."}
        ]
    return observation


def _report(record: PatientRecord, visit: Visit, minute: int, results: list[Json]) -> Json:
    report = record.head("DiagnosticReport", record.new_id(), minute + 85)
    signer = record.rng.choice(record.hospital.doctors["LABO"])
    by_number = record.rng.random() < 0.1
    report |= {
        "status": "final",
        "category": _REPORT_KIND,
        "code": _REPORT_CODE,
        "subject": record.who(),
        "encounter": visit.link,
        "effectiveDateTime": instant(minute),
        "issued": instant(record.clip(minute + 85)),
        "performer": [logical("Practitioner", RPPS, signer.rpps) if by_number else signer.link],
        "result": results,
    }
    return report


def _culture(record: PatientRecord, visit: Visit) -> Iterator[Json]:
    kind, rng = visit.stay.reason.culture, record.rng
    minute = visit.stay.laboratory[0].minute + 5
    issued = minute + (300 if kind == "swab" else 2900)
    if issued > record.today_minute:
        return
    sample = record.new_id()
    yield _specimen(record, sample, kind, f"{visit.number}90", minute)
    observation = _observation(record, _LABORATORY, _CULTURES[kind], minute)
    observation["encounter"] = visit.link
    observation["specimen"] = reference("Specimen", sample)
    observation["issued"] = instant(issued)
    if kind == "swab":
        detected = visit.stay.reason.key == "covid"
        code, name = ("260373001", "Detected") if detected else ("260415000", "Not detected")
        observation["valueCodeableConcept"] = concept(SNOMED, code, name, "Positif" if detected else "Négatif")
    elif rng.random() < (0.8 if kind == "urine" else 0.35):
        germ = BACTERIA[0] if kind == "urine" and rng.random() < 0.75 else rng.choice(BACTERIA)
        observation["valueCodeableConcept"] = concept(SNOMED, *germ)
    else:
        observation["valueCodeableConcept"] = _NO_GROWTH
    yield observation
    yield _report(record, visit, minute, [reference("Observation", observation["id"])])
    if kind == "urine":
        colour = _observation(record, _LABORATORY, _URINE_COLOUR, minute)
        colour["encounter"] = visit.link
        colour["valueString"] = rng.choice(("jaune clair", "jaune foncé", "trouble"))
        yield colour


def patient_facts(record: PatientRecord) -> Iterator[Json]:
    """Facts about the person that are no measure: tobacco, blood group, fasting before the first sample."""
    if not record.course.stays:
        return
    rng, minute = record.rng, record.course.stays[0].start + 45
    if record.person.age_at(minute // 1440) >= 15:
        smoking = _observation(record, _SOCIAL, _SMOKING, minute)
        smoking["valueCodeableConcept"] = concept(LOINC, *_smoking_status(record))
        yield smoking
    if rng.random() < 0.3:
        group = _observation(record, _LABORATORY, _BLOOD_GROUP, minute)
        group["valueCodeableConcept"] = concept(SNOMED, *rng.choices(_GROUPS, (44, 10, 46))[0])
        yield group
    if record.course.stays[0].laboratory and rng.random() < 0.5:
        fasting = _observation(record, _LABORATORY, _FASTING, minute)
        fasting["valueBoolean"] = rng.random() < 0.7
        yield fasting


def _smoking_status(record: PatientRecord) -> tuple[str, str]:
    if "smoking" in record.course.illnesses:
        return ("LA18976-3", "Current every day smoker")
    if record.rng.random() < 0.25:
        return ("LA15920-4", "Former smoker")
    return ("LA18978-9", "Never smoker")
