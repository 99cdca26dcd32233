"""Checks of the record: the audit chain and re-identifications."""

from __future__ import annotations

from collections.abc import Mapping

from erios.audit import Event, read_events, verify
from erios.compliance.registry import check
from erios.governance.compliance import Finding, met, not_applicable, not_met
from erios.reidentification import ACTIONS, APPROVE, REQUEST
from erios.settings import Settings


@check
def audit_chain_verifies(settings: Settings) -> Finding:
    """Every event is as written, in order, and the last one is the witnessed one."""
    verification = verify(settings)
    if verification.faults:
        return not_met(
            f"La chaîne d'audit est rompue ({len(verification.faults)} anomalie(s)) : voir `erios audit verify`.",
            f"The audit chain is broken ({len(verification.faults)} fault(s)): see `erios audit verify`.",
        )
    if not verification.events:
        return not_met("Le journal est encore vide.", "The record is still empty.")
    return met(
        f"Chaîne vérifiée à l'instant : {verification.events} événements, aucune anomalie.",
        f"Chain verified just now: {verification.events} events, no fault.",
    )


@check
def reidentifications_by_two(settings: Settings) -> Finding:
    """Nobody approved a re-identification that they asked for themselves."""
    events = list(read_events(settings, actions=ACTIONS))
    asked = {event.known()["request"]: event for event in events if event.action == REQUEST}
    done = [event for event in events if event.action == APPROVE]
    if wrong := [event for event in done if not _is_by_another(event, asked)]:
        return not_met(
            f"{len(wrong)} ré-identification(s) sans demande motivée d'une autre personne.",
            f"{len(wrong)} re-identification(s) without a reasoned request by somebody else.",
        )
    if not asked:
        return not_applicable("Aucune ré-identification n'a été demandée.", "No re-identification has been asked for.")
    return met(
        f"{len(asked)} demande(s), {len(done)} accordée(s), chacune par une seconde personne.",
        f"{len(asked)} request(s), {len(done)} granted, each by a second person.",
    )


def _is_by_another(event: Event, asked: Mapping[str, Event]) -> bool:
    request = asked.get(event.known()["request"])
    return request is not None and request.actor != event.actor and bool(request.reason)
