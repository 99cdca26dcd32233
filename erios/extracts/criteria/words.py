"""A criterion in plain words, in the current language, for those who review it."""

from __future__ import annotations

from collections.abc import Mapping

from erios.extracts.criteria.model import And, Criterion, Leaf, Not, Or
from erios.translation import gettext, language, mark, using

_WORDS: Mapping[str, str] = {
    "and": mark(" et "),
    "or": mark(" ou "),
    "not": mark("sauf : {0}"),
    "everybody": mark("tous les patients"),
    "age": mark("âge {bounds} {on}"),
    "age both": mark("de {min} à {max} ans"),
    "age min": mark("d’au moins {min} ans"),
    "age max": mark("d’au plus {max} ans"),
    "at stay": mark("au début d’un séjour"),
    "at day": mark("au {0}"),
    "sex": mark("sexe : {values}"),
    "female": mark("femme"),
    "male": mark("homme"),
    "other": mark("autre"),
    "unknown": mark("inconnu"),
    "stay": mark("séjour{classes}{period}"),
    "diagnosis": mark("diagnostic CIM-10 {codes}{period}"),
    "laboratory": mark("résultat de laboratoire LOINC {loinc}{compared}{period}"),
    "treatment": mark("traitement ATC {atc}{via}{period}"),
    "procedure": mark("acte CCAM {ccam}{period}"),
    "administration": mark("administré"),
    "dispense": mark("dispensé"),
    "request": mark("prescrit"),
    "statement": mark("déclaré"),
    "both": mark(" du {start} au {end}"),
    "from": mark(" à partir du {start}"),
    "to": mark(" jusqu’au {end}"),
    "after": mark("{event}, dans les {days} jours après : {of}"),
    "before": mark("{event}, dans les {days} jours avant : {of}"),
    "around": mark("{event}, à {days} jours au plus de : {of}"),
    "IMP": mark("hospitalisation"),
    "AMB": mark("consultation ou soins externes"),
    "EMER": mark("urgences"),
    "ACUTE": mark("soins aigus"),
    "NONAC": mark("soins non aigus"),
    "SS": mark("séjour court"),
    "HH": mark("à domicile"),
    "VR": mark("à distance"),
    "FLD": mark("sur le terrain"),
    "OBSENC": mark("observation"),
    "PRENC": mark("préadmission"),
    "label age": mark("Âge"),
    "label sex": mark("Sexe"),
    "label stay": mark("Séjour"),
    "label diagnosis": mark("Diagnostic"),
    "label laboratory": mark("Biologie"),
    "label treatment": mark("Traitement"),
    "label procedure": mark("Acte"),
    "label json": mark("Critère composé"),
    "label min": mark("de (ans)"),
    "label max": mark("à (ans)"),
    "label at": mark("au (vide : au début d’un séjour)"),
    "label class": mark("Type (vide : tous)"),
    "label codes": mark("CIM-10"),
    "label loinc": mark("LOINC"),
    "label op": mark("Valeur"),
    "label value": mark("seuil"),
    "label unit": mark("unité"),
    "label atc": mark("ATC"),
    "label via": mark("Voie (vide : toutes)"),
    "label ccam": mark("CCAM"),
    "label from": mark("du"),
    "label to": mark("au"),
    "label days": mark("N jours"),
    "label direction": mark("Sens"),
    "option after": mark("après"),
    "option before": mark("avant"),
    "option around": mark("avant ou après"),
}


def describe(criterion: Criterion, code: str | None = None) -> str:
    """The criterion in a sentence without capital or full stop, in the language of this code or the current one."""
    with using(code or language()):
        return _describe(criterion, {name: gettext(text) for name, text in _WORDS.items()})


def _describe(criterion: Criterion, words: Mapping[str, str]) -> str:
    match criterion:
        case And(parts):
            return words["and"].join(_inner(part, words) for part in parts) or words["everybody"]
        case Or(parts):
            return words["or"].join(_inner(part, words) for part in parts)
        case Not(inner):
            return words["not"].format(_inner(inner, words))
        case Leaf():
            return criterion.describe(words)


def _inner(criterion: Criterion, words: Mapping[str, str]) -> str:
    text = _describe(criterion, words)
    return f"({text})" if isinstance(criterion, And | Or) else text


def label(name: str) -> str:
    """The name of a criterion or of one of its fields, as a form shows it."""
    return gettext(_WORDS[f"label {name}"])


def option_label(option: str) -> str:
    """A choice of a field, as a form shows it."""
    return gettext(_WORDS.get(f"option {option}") or _WORDS.get(option, option))
