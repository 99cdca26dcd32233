"""Checks of the installation: zones, keys, secrets, telemetry, headers of pages, backups."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from erios.broker.client import is_listening
from erios.clock import days_since
from erios.compliance.registry import check
from erios.errors import KeyringError
from erios.governance.compliance import Finding, met, not_met
from erios.keys import list_keys
from erios.settings import ZONES, Settings
from erios.translation import mark
from experiments.sandbox.bubblewrap import obstacle


@check
def zones_are_apart(settings: Settings) -> Finding:
    """Each zone exists, the clear ones are their owner's alone, the others closed to strangers."""
    if wrong := [zone for zone, mode in ZONES.items() if _is_open(getattr(settings, zone), mode)]:
        return not_met(mark("Zone(s) absente(s) ou trop ouverte(s) : {names}."), names=wrong)
    return met(mark("Les six zones sont des dossiers séparés, fermés aux autres comptes du système."))


def _is_open(folder: Path, mode: int) -> bool:
    return not folder.is_dir() or bool(folder.stat().st_mode & 0o777 & ~mode)


@check
def keyring_is_private(settings: Settings) -> Finding:
    """The keyring is whole, lies in the identity zone, and only its owner reads it."""
    try:
        keys = list_keys(settings.keyring)
    except KeyringError as error:
        return not_met(mark("Le trousseau ne convient pas : {error}"), error=error)
    since = next(key.created for key in keys if key.current)[:10]
    return met(mark("Trousseau lisible de son seul propriétaire ; clé en cours depuis le {since}."), since=since)


@check
def secrets_are_private(settings: Settings) -> Finding:
    """Files of passwords are there, not empty, and their owner's alone; the settings themselves take no password."""
    files = [path for path in (settings.portal.mail.password_file, settings.portal.directory.secret_file) if path]
    if wrong := [path.name for path in files if not _is_private(path)]:
        return not_met(mark("Fichier(s) de secret absent(s) ou ouverts : {names}."), names=wrong)
    return met(
        mark("Aucun mot de passe dans les réglages ; {files} fichier(s) de secret, fermés aux autres."),
        files=len(files),
    )


def _is_private(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0 and not path.stat().st_mode & 0o077


@check
def nothing_calls_out(_settings: Settings) -> Finding:
    """The telemetry of every dependency is off in this process."""
    import erios

    if wrong := [name for name, value in erios.SILENCED.items() if os.environ.get(name) != value]:
        return not_met(mark("Télémétrie non coupée : {names}."), names=wrong)
    return met(
        mark("Télémétrie coupée pour les {silenced} familles de bibliothèques concernées."),
        silenced=len(erios.SILENCED),
    )


@check
def programs_are_walled(settings: Settings) -> Finding:
    """This machine can make the sandbox of a training; whether researchers' commands pass the broker is said too."""
    if obstacle():
        return not_met(mark("Cette machine ne peut pas faire de bac à sable ; `erios doctor` dit pourquoi."))
    if settings.broker is None:
        return met(
            mark("Bac à sable (bubblewrap) ; sans courtier : les comptes des chercheurs sont à l'hôpital de fermer.")
        )
    if not is_listening(settings.broker):
        return not_met(mark("Le courtier des réglages ne répond pas."))
    return met(mark("Bac à sable (bubblewrap) ; les commandes des chercheurs passent par le courtier."))


@check
def pages_are_secured(settings: Settings) -> Finding:
    """Named hosts, encrypted cookies, strict transport, no script from elsewhere."""
    from django.conf import settings as pages

    policy = pages.CONTENT_SECURITY_POLICY["DIRECTIVES"]
    faults = {
        "portal.hosts": "*" in settings.portal.hosts,
        "DEBUG": pages.DEBUG,
        "cookies": not (pages.SESSION_COOKIE_SECURE and pages.CSRF_COOKIE_SECURE and pages.SESSION_COOKIE_HTTPONLY),
        "HSTS": not pages.SECURE_HSTS_SECONDS,
        "CSP": any("unsafe" in str(source) for sources in policy.values() for source in sources),
    }
    if wrong := ", ".join(name for name, is_wrong in faults.items() if is_wrong):
        return not_met(mark("À corriger : {wrong}."), wrong=wrong)
    return met(mark("Témoins chiffrés seulement, transport strict, aucun script extérieur, noms d'hôte fermés."))


@check
def backup_is_recent(settings: Settings) -> Finding:
    """The file that the backup touches is recent."""
    stamp, limit = settings.compliance.backup_stamp, settings.compliance.backup_days
    if stamp is None:
        return not_met(mark("Aucun témoin de sauvegarde n'est déclaré (compliance.backup_stamp)."))
    if not stamp.is_file():
        return not_met(mark("Le témoin de sauvegarde est absent."))
    age = days_since(datetime.fromtimestamp(stamp.stat().st_mtime, UTC))
    answer = met if age <= limit else not_met
    return answer(mark("Dernière sauvegarde il y a {age} jour(s)."), age=age)
