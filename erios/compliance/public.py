"""Checks of what the public can read and where it can write."""

from __future__ import annotations

from typing import Any

from erios.compliance.registry import check
from erios.compliance.studies import studies_in_force
from erios.governance.compliance import Finding, met, not_applicable, not_met
from erios.settings import Settings
from erios.studies.selectors import register


@check
def public_can_write(settings: Settings) -> Finding:
    """The data protection office's address on the public pages is a real one."""
    contact = settings.portal.contact
    if "@" not in contact or contact.endswith(("@localhost", ".example", "@example.org")):
        return not_met(
            "L'adresse du délégué à la protection des données n'est pas réglée (portal.contact).",
            "The data protection officer's address is not set (portal.contact).",
        )
    return met(f"Formulaire public, et adresse publiée : {contact}.", f"A public form, and the address: {contact}.")


@check
def register_is_public(_settings: Settings) -> Finding:
    """Each study in force is in the public register with a purpose that can be read."""
    shown = {study.number: study for study in register()}
    missing = [p.study.number for p in studies_in_force() if not _is_readable(shown.get(p.study.number))]
    if missing:
        names = ", ".join(missing)
        return not_met(f"Sans texte public : {names}.", f"Without a public text: {names}.")
    if not shown:
        return not_applicable("Aucune étude n'a encore été décidée.", "No study has been decided yet.")
    return met(
        f"{len(shown)} étude(s) au registre public, en clair et en format ouvert.",
        f"{len(shown)} study(ies) in the public register, in plain words and in an open format.",
    )


def _is_readable(shown: Any) -> bool:
    return shown is not None and bool(shown.title and shown.summary and shown.interest)
