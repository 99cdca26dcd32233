"""Checks of what the public can read and where it can write."""

from __future__ import annotations

from typing import Any

from erios.compliance.registry import check
from erios.compliance.studies import studies_in_force
from erios.governance.compliance import Finding, met, not_applicable, not_met
from erios.settings import Settings
from erios.studies.selectors import register
from erios.translation import mark


@check
def public_can_write(settings: Settings) -> Finding:
    """The data protection office's address on the public pages is a real one."""
    contact = settings.portal.contact
    if "@" not in contact or contact.endswith(("@localhost", ".example", "@example.org")):
        return not_met(mark("L'adresse du délégué à la protection des données n'est pas réglée (portal.contact)."))
    return met(mark("Formulaire public, et adresse publiée : {contact}."), contact=contact)


@check
def register_is_public(_settings: Settings) -> Finding:
    """Each study in force is in the public register with a purpose that can be read."""
    shown = {study.number: study for study in register()}
    missing = [p.study.number for p in studies_in_force() if not _is_readable(shown.get(p.study.number))]
    if missing:
        return not_met(mark("Sans texte public : {names}."), names=missing)
    if not shown:
        return not_applicable(mark("Aucune étude n'a encore été décidée."))
    return met(mark("{shown} étude(s) au registre public, en clair et en format ouvert."), shown=len(shown))


def _is_readable(shown: Any) -> bool:
    return shown is not None and bool(shown.title and shown.summary and shown.interest)
