"""A criterion in plain words, French or English, for those who review it."""

from __future__ import annotations

from collections.abc import Mapping

from erios.extracts.criteria.model import And, Criterion, Leaf, Not, Or

_WORDS: Mapping[str, Mapping[str, str]] = {
    "fr": {
        "and": " et ",
        "or": " ou ",
        "not": "sauf : {0}",
        "everybody": "tous les patients",
        "day": "{2}/{1}/{0}",
        "age": "âge {bounds} {on}",
        "age both": "de {min} à {max} ans",
        "age min": "d’au moins {min} ans",
        "age max": "d’au plus {max} ans",
        "at stay": "au début d’un séjour",
        "at day": "au {0}",
        "sex": "sexe : {values}",
        "female": "femme",
        "male": "homme",
        "other": "autre",
        "unknown": "inconnu",
        "stay": "séjour{classes}{period}",
        "diagnosis": "diagnostic CIM-10 {codes}{period}",
        "laboratory": "résultat de laboratoire LOINC {loinc}{compared}{period}",
        "treatment": "traitement ATC {atc}{via}{period}",
        "procedure": "acte CCAM {ccam}{period}",
        "administration": "administré",
        "dispense": "dispensé",
        "request": "prescrit",
        "statement": "déclaré",
        "both": " du {start} au {end}",
        "from": " à partir du {start}",
        "to": " jusqu’au {end}",
        "after": "{event}, dans les {days} jours après : {of}",
        "before": "{event}, dans les {days} jours avant : {of}",
        "around": "{event}, à {days} jours au plus de : {of}",
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
        "label age": "Âge",
        "label sex": "Sexe",
        "label stay": "Séjour",
        "label diagnosis": "Diagnostic",
        "label laboratory": "Biologie",
        "label treatment": "Traitement",
        "label procedure": "Acte",
        "label json": "Critère composé",
        "label min": "de (ans)",
        "label max": "à (ans)",
        "label at": "au (vide : au début d’un séjour)",
        "label class": "Type (vide : tous)",
        "label codes": "CIM-10",
        "label loinc": "LOINC",
        "label op": "Valeur",
        "label value": "seuil",
        "label unit": "unité",
        "label atc": "ATC",
        "label via": "Voie (vide : toutes)",
        "label ccam": "CCAM",
        "label from": "du",
        "label to": "au",
        "label days": "N jours",
        "label direction": "Sens",
        "option after": "après",
        "option before": "avant",
        "option around": "avant ou après",
    },
    "en": {
        "and": " and ",
        "or": " or ",
        "not": "except: {0}",
        "everybody": "all patients",
        "day": "{0}-{1}-{2}",
        "age": "age {bounds} {on}",
        "age both": "from {min} to {max} years",
        "age min": "at least {min} years",
        "age max": "at most {max} years",
        "at stay": "at the start of a stay",
        "at day": "on {0}",
        "sex": "sex: {values}",
        "female": "female",
        "male": "male",
        "other": "other",
        "unknown": "unknown",
        "stay": "stay{classes}{period}",
        "diagnosis": "ICD-10 diagnosis {codes}{period}",
        "laboratory": "laboratory result LOINC {loinc}{compared}{period}",
        "treatment": "ATC treatment {atc}{via}{period}",
        "procedure": "CCAM procedure {ccam}{period}",
        "administration": "given",
        "dispense": "dispensed",
        "request": "prescribed",
        "statement": "stated",
        "both": " from {start} to {end}",
        "from": " from {start} on",
        "to": " until {end}",
        "after": "{event}, within {days} days after: {of}",
        "before": "{event}, within {days} days before: {of}",
        "around": "{event}, within {days} days of: {of}",
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
        "label age": "Age",
        "label sex": "Sex",
        "label stay": "Stay",
        "label diagnosis": "Diagnosis",
        "label laboratory": "Laboratory",
        "label treatment": "Treatment",
        "label procedure": "Procedure",
        "label json": "Combined criterion",
        "label min": "from (years)",
        "label max": "to (years)",
        "label at": "on (empty: at the start of a stay)",
        "label class": "Class (empty: all)",
        "label codes": "ICD-10",
        "label loinc": "LOINC",
        "label op": "Value",
        "label value": "threshold",
        "label unit": "unit",
        "label atc": "ATC",
        "label via": "Way (empty: all)",
        "label ccam": "CCAM",
        "label from": "from",
        "label to": "to",
        "label days": "N days",
        "label direction": "Direction",
        "option after": "after",
        "option before": "before",
        "option around": "before or after",
    },
}


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
        case Leaf():
            return criterion.describe(words)


def _inner(criterion: Criterion, lang: str) -> str:
    text = describe(criterion, lang)
    return f"({text})" if isinstance(criterion, And | Or) else text


def label(name: str, lang: str = "fr") -> str:
    """The name of a criterion or of one of its fields, as a form shows it."""
    return _WORDS[lang][f"label {name}"]


def option_label(option: str, lang: str = "fr") -> str:
    """A choice of a field, as a form shows it."""
    words = _WORDS[lang]
    return words.get(f"option {option}") or words.get(option, option)
