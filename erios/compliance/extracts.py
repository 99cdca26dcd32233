"""Checks of extracts: approval, expiry, signatures, destruction."""

from __future__ import annotations

from typing import Any

from erios.clock import days_since, hospital_day
from erios.compliance.registry import check
from erios.extracts.manifest import check_signed
from erios.governance.compliance import Finding, met, not_applicable, not_met
from erios.governance.extract import BUILT_STATES, WORKFLOW, Action, State
from erios.settings import Settings
from erios.studies.extract_selectors import extract_facts, folder_of, workshop_of
from erios.studies.models import Extract
from erios.translation import mark


def _extracts(*states: str) -> list[Any]:
    return list(Extract.objects.filter(state__in=states).select_related("study").order_by("number"))


@check
def extracts_stay_within_approval(_settings: Settings) -> Finding:
    """No extract that holds data has a table, a column or a cohort that its study was not approved for."""
    made = _extracts(*BUILT_STATES)
    if not made:
        return not_applicable(mark("Aucun extrait n'est construit."))
    if more := [extract.number for extract in made if extract_facts(extract).beyond]:
        return not_met(mark("Extraits plus larges que leur étude : {names}."), names=more)
    return met(mark("{made} extrait(s) construits, aucun ne dépasse ce que son étude a justifié."), made=len(made))


@check
def extracts_expire(_settings: Settings) -> Finding:
    """No extract stays readable after its last day."""
    released, today = _extracts(State.RELEASED), hospital_day()
    if not released:
        return not_applicable(mark("Aucun extrait n'est diffusé."))
    if late := [extract.number for extract in released if extract.expires is None or extract.expires < today]:
        return not_met(mark("Échéance dépassée : {names} ; le programme de nuit ne tourne pas."), names=late)
    return met(mark("{released} extrait(s) diffusé(s), chacun jusqu'à une date."), released=len(released))


@check
def extracts_are_as_cleared(settings: Settings) -> Finding:
    """The signed manifest in each released extract's folder is that of what was cleared."""
    released = _extracts(State.RELEASED)
    for extract in released:
        check_signed(folder_of(extract, settings), extract.public_key, extract.root)
    if not released:
        return not_applicable(mark("Aucun extrait n'est diffusé."))
    return met(
        mark("{released} extrait(s) diffusé(s), signés, tels qu'autorisés ; chaque lecture vérifie les octets."),
        released=len(released),
    )


@check
def dead_extracts_are_destroyed(settings: Settings) -> Finding:
    """What is over is deleted within thirty days, and nothing is left of what is said to be destroyed."""
    ends = {state for row in WORKFLOW.transitions if row.action is Action.DESTROY for state in row.sources}
    over, gone = _extracts(*ends), _extracts(State.DESTROYED)
    if left := [extract.number for extract in gone if _has_files(extract, settings)]:
        return not_met(mark("Détruits selon le registre, mais des fichiers restent : {names}."), names=left)
    if late := [extract.number for extract in over if days_since(extract.since) > 30]:
        return not_met(mark("À détruire depuis plus de 30 jours : {names}."), names=late)
    if not over and not gone:
        return not_applicable(mark("Aucun extrait n'est échu."))
    return met(
        mark("{over} extrait(s) échu(s) depuis moins de 30 jours ; {gone} détruit(s), sans fichier restant."),
        over=len(over),
        gone=len(gone),
    )


def _has_files(extract: Any, settings: Settings) -> bool:
    released = settings.studies / extract.study.number / extract.number
    return any(folder.exists() for folder in (released, workshop_of(extract.number, settings)))
