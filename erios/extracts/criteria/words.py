"""A criterion in plain words, French or English, for those who review it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from erios.extracts.criteria.canonical import plain_number
from erios.extracts.criteria.model import (
    VIA,
    Age,
    And,
    Criterion,
    Diagnosis,
    Event,
    Laboratory,
    Not,
    Or,
    Period,
    Procedure,
    Sex,
    Stay,
    Treatment,
    Within,
)

_WORDS: Mapping[str, Mapping[str, str]] = {
    "fr": {
        "and": " et ",
        "or": " ou ",
        "not": "sauf : {0}",
        "everybody": "tous les patients",
        "age": "âge {0} {1}",
        "age both": "de {0} à {1} ans",
        "age min": "d’au moins {0} ans",
        "age max": "d’au plus {0} ans",
        "at stay": "au début d’un séjour",
        "at day": "au {0}",
        "sex": "sexe : {0}",
        "female": "femme",
        "male": "homme",
        "other": "autre",
        "unknown": "inconnu",
        "stay": "séjour{0}",
        "diagnosis": "diagnostic CIM-10 {0}",
        "laboratory": "résultat de laboratoire LOINC {0}",
        "treatment": "traitement ATC {0}",
        "procedure": "acte CCAM {0}",
        "via": " ({0})",
        "administration": "administré",
        "dispense": "dispensé",
        "request": "prescrit",
        "statement": "déclaré",
        "both": " du {0} au {1}",
        "from": " à partir du {0}",
        "to": " jusqu’au {0}",
        "after": "{0}, dans les {1} jours après : {2}",
        "before": "{0}, dans les {1} jours avant : {2}",
        "around": "{0}, à {1} jours au plus de : {2}",
        "IMP": "hospitalisation",
        "AMB": "consultation ou soins externes",
        "EMER": "urgences",
        "ACUTE": "soins aigus",
        "NONAC": "soins non aigus",
        "SS": "séjour court",
        "HH": "à domicile",
        "VR": "à distance",
        "FLD": "sur le terrain",
        "OBSENC": "observation",
        "PRENC": "préadmission",
    },
    "en": {
        "and": " and ",
        "or": " or ",
        "not": "except: {0}",
        "everybody": "all patients",
        "age": "age {0} {1}",
        "age both": "from {0} to {1} years",
        "age min": "at least {0} years",
        "age max": "at most {0} years",
        "at stay": "at the start of a stay",
        "at day": "on {0}",
        "sex": "sex: {0}",
        "female": "female",
        "male": "male",
        "other": "other",
        "unknown": "unknown",
        "stay": "stay{0}",
        "diagnosis": "ICD-10 diagnosis {0}",
        "laboratory": "laboratory result LOINC {0}",
        "treatment": "ATC treatment {0}",
        "procedure": "CCAM procedure {0}",
        "via": " ({0})",
        "administration": "given",
        "dispense": "dispensed",
        "request": "prescribed",
        "statement": "stated",
        "both": " from {0} to {1}",
        "from": " from {0} on",
        "to": " until {0}",
        "after": "{0}, within {1} days after: {2}",
        "before": "{0}, within {1} days before: {2}",
        "around": "{0}, within {1} days of: {2}",
        "IMP": "inpatient",
        "AMB": "outpatient",
        "EMER": "emergency",
        "ACUTE": "acute care",
        "NONAC": "non-acute care",
        "SS": "short stay",
        "HH": "at home",
        "VR": "virtual",
        "FLD": "in the field",
        "OBSENC": "observation",
        "PRENC": "pre-admission",
    },
}
_SIGNS = {"<": "<", "<=": "≤", "=": "=", ">=": "≥", ">": ">"}


def describe(criterion: Criterion, lang: str = "fr") -> str:
    """The criterion in a sentence without capital or full stop; ``lang`` is "fr" or "en"."""
    words = _WORDS[lang]
    match criterion:
        case And(parts):
            return words["and"].join(_inner(part, lang) for part in parts) or words["everybody"]
        case Or(parts):
            return words["or"].join(_inner(part, lang) for part in parts)
        case Not(inner):
            return words["not"].format(_inner(inner, lang))
        case Age():
            return _age(criterion, words)
        case Sex(values):
            return words["sex"].format(_listed(values, words))
        case Within(event, of, days, direction):
            return words[direction].format(_event(event, words), days, _event(of, words))
    return _event(criterion, words)


def _inner(criterion: Criterion, lang: str) -> str:
    text = describe(criterion, lang)
    return f"({text})" if isinstance(criterion, And | Or) else text


def _listed(values: Iterable[str], words: Mapping[str, str]) -> str:
    return words["or"].join(words.get(value, value) for value in values)


def _age(age: Age, words: Mapping[str, str]) -> str:
    both = age.min is not None and age.max is not None
    form = words["age both" if both else "age min" if age.max is None else "age max"]
    bounds = form.format(*(n for n in (age.min, age.max) if n is not None))
    return words["age"].format(bounds, words["at day"].format(_day(age.on, words)) if age.on else words["at stay"])


def _day(day: object, words: Mapping[str, str]) -> str:
    year, month, number = str(day).split("-")
    return f"{number}/{month}/{year}" if words is _WORDS["fr"] else str(day)


def _period(period: Period, words: Mapping[str, str]) -> str:
    days = [_day(day, words) for day in (period.start, period.end) if day]
    form = "both" if len(days) == 2 else "from" if period.start else "to"
    return words[form].format(*days) if days else ""


def _event(event: Event, words: Mapping[str, str]) -> str:
    match event:
        case Stay(classes):
            text = words["stay"].format(f" ({_listed(classes, words)})" if classes else "")
        case Diagnosis(codes):
            text = words["diagnosis"].format(_listed(codes, words))
        case Laboratory():
            text = words["laboratory"].format(event.loinc) + _compared(event)
        case Treatment(atc, via):
            ways = "" if set(via) == set(VIA) else words["via"].format(_listed(via, words))
            text = words["treatment"].format(_listed(atc, words)) + ways
        case Procedure(ccam):
            text = words["procedure"].format(_listed(ccam, words))
    return text + _period(event.period, words)


def _compared(lab: Laboratory) -> str:
    return f" {_SIGNS[lab.op]} {plain_number(lab.value)} {lab.unit}" if lab.op and lab.value is not None else ""
