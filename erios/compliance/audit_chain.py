"""Checks of the record: the audit chain and re-identifications."""

from __future__ import annotations

from collections.abc import Mapping

from erios.audit import Event, read_events
from erios.compliance.registry import check
from erios.governance.compliance import Finding, met, not_applicable, not_met
from erios.reidentification import ACTIONS, APPROVE, REQUEST
from erios.settings import Settings
from erios.translation import mark
from erios.workflows.record import verify_record


@check
def audit_chain_verifies(settings: Settings) -> Finding:
    """Every event is as written, in order, and the last one is the witnessed one."""
    verification = verify_record(settings)
    if verification.faults:
        return not_met(
            mark("La chaîne d'audit est rompue ({faults} anomalie(s)) : voir `erios audit verify`."),
            faults=len(verification.faults),
        )
    if not verification.events:
        return not_met(mark("Le journal est encore vide."))
    return met(mark("Chaîne vérifiée à l'instant : {events} événements, aucune anomalie."), events=verification.events)


@check
def reidentifications_by_two(settings: Settings) -> Finding:
    """Nobody approved a re-identification that they asked for themselves."""
    events = list(read_events(settings, actions=ACTIONS))
    asked = {event.parsed_details()["request"]: event for event in events if event.action == REQUEST}
    done = [event for event in events if event.action == APPROVE]
    if wrong := [event for event in done if not _is_by_another(event, asked)]:
        return not_met(
            mark("{wrong} ré-identification(s) sans demande motivée d'une autre personne."), wrong=len(wrong)
        )
    if not asked:
        return not_applicable(mark("Aucune ré-identification n'a été demandée."))
    return met(
        mark("{asked} demande(s), {done} accordée(s), chacune par une seconde personne."),
        asked=len(asked),
        done=len(done),
    )


def _is_by_another(event: Event, asked: Mapping[str, Event]) -> bool:
    request = asked.get(event.parsed_details()["request"])
    return request is not None and request.actor != event.actor and bool(request.reason)
