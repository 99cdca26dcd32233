"""Live evidence for the compliance page: each check looks at the running system and answers in a sentence.

Owns the checks, by name, and nothing of what they are evidence for: that is ``conf/compliance.toml``. A check reads and
never repairs; what stops it from looking is itself a finding. Django must be ready.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erios.clock import hospital_day
from erios.errors import EriosError, KeyringError, UsageError
from erios.governance.compliance import (
    Finding,
    Framework,
    Requirement,
    Status,
    met,
    not_applicable,
    not_met,
    read_frameworks,
)
from erios.settings import ZONES, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from erios.audit import Event

Check = Callable[[Settings], Finding]
CHECKS: dict[str, Check] = {}
"""Name → check, in the order of this file."""


def check(function: Check) -> Check:
    """Make a check known by its name."""
    CHECKS[function.__name__] = function
    return function


@dataclass(frozen=True)
class Line:
    """A requirement with what stands behind it now; ``finding`` is None where the hospital's organisation does."""

    requirement: Requirement
    status: Status
    finding: Finding | None


@dataclass(frozen=True)
class Standing:
    """A framework as it is met now."""

    framework: Framework
    lines: tuple[Line, ...]

    def count(self, status: Status) -> int:
        return sum(line.status is status for line in self.lines)


def standing(settings: Settings) -> tuple[Standing, ...]:
    """Every requirement with its evidence of this moment; a check that several name is made once."""
    frameworks = read_frameworks(settings.requirements, tuple(CHECKS))
    named = {one.check for framework in frameworks for one in framework.requirements if one.check}
    found = {name: look(name, settings) for name in sorted(named)}
    return tuple(Standing(one, tuple(_line(asked, found) for asked in one.requirements)) for one in frameworks)


def _line(asked: Requirement, found: Mapping[str, Finding]) -> Line:
    finding = found.get(asked.check)
    return Line(asked, finding.status if finding else Status.ORGANISATIONAL, finding)


def look(name: str, settings: Settings) -> Finding:
    """What a check finds; a fault that stops it is a requirement not met, in its own sentence."""
    from etl.errors import EtlError

    try:
        return CHECKS[name](settings)
    except (EriosError, EtlError) as error:
        return not_met(f"Le contrôle n'a pas abouti : {error}", f"The check could not be made: {error}")
    except OSError as error:
        return not_met(
            f"Le contrôle n'a pas abouti : {error.strerror}", f"The check could not be made: {error.strerror}"
        )


# --- the record ---


@check
def audit_chain_verifies(settings: Settings) -> Finding:
    """Every event is as written, in order, and the last one is the witnessed one."""
    from erios.audit import verify

    seen = verify(settings)
    if seen.faults:
        return not_met(
            f"La chaîne d'audit est rompue ({len(seen.faults)} anomalie(s)) : voir `erios audit verify`.",
            f"The audit chain is broken ({len(seen.faults)} fault(s)): see `erios audit verify`.",
        )
    if not seen.events:
        return not_met("Le journal est encore vide.", "The record is still empty.")
    return met(
        f"Chaîne vérifiée à l'instant : {seen.events} événements, aucune anomalie.",
        f"Chain verified just now: {seen.events} events, no fault.",
    )


@check
def reidentifications_by_two(settings: Settings) -> Finding:
    """Nobody approved a re-identification that they asked for themselves."""
    from erios.audit import read_events
    from erios.reidentification import ACTIONS, APPROVE, REQUEST

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


# --- zones, keys, secrets ---


@check
def zones_are_apart(settings: Settings) -> Finding:
    """Each zone exists, the clear ones are their owner's alone, the others closed to strangers."""
    wrong = [zone for zone, mode in ZONES.items() if _is_open(getattr(settings, zone), mode)]
    if wrong:
        names = ", ".join(wrong)
        return not_met(f"Zone(s) absente(s) ou trop ouverte(s) : {names}.", f"Zone(s) missing or too open: {names}.")
    return met(
        "Les six zones sont des dossiers séparés, fermés aux autres comptes du système.",
        "The six zones are separate folders, closed to the system's other accounts.",
    )


def _is_open(folder: Path, mode: int) -> bool:
    return not folder.is_dir() or bool(folder.stat().st_mode & 0o777 & ~mode)


@check
def keyring_is_private(settings: Settings) -> Finding:
    """The keyring is whole, lies in the identity zone, and only its owner reads it."""
    from erios.keys import list_keys

    try:
        keys = list_keys(settings.keyring)
    except KeyringError as error:
        return not_met(f"Le trousseau ne convient pas : {error}", f"The keyring will not do: {error}")
    since = next(key.created for key in keys if key.current)[:10]
    return met(
        f"Trousseau lisible de son seul propriétaire ; clé en cours depuis le {since}.",
        f"The keyring is readable by its owner alone; its current key is of {since}.",
    )


@check
def secrets_are_private(settings: Settings) -> Finding:
    """Files of passwords are there, not empty, and their owner's alone; the settings themselves take no password."""
    files = [path for path in (settings.portal.mail.password_file, settings.portal.directory.secret_file) if path]
    if wrong := [path.name for path in files if not _is_private(path)]:
        names = ", ".join(wrong)
        return not_met(
            f"Fichier(s) de secret absent(s) ou ouverts : {names}.", f"Secret file(s) missing or open: {names}."
        )
    return met(
        f"Aucun mot de passe dans les réglages ; {len(files)} fichier(s) de secret, fermés aux autres.",
        f"No password in the settings; {len(files)} secret file(s), closed to others.",
    )


def _is_private(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0 and not path.stat().st_mode & 0o077


@check
def nothing_calls_out(_settings: Settings) -> Finding:
    """The telemetry of every dependency is off in this process."""
    import erios

    wrong = [name for name, value in erios.SILENCED.items() if os.environ.get(name) != value]
    if wrong:
        names = ", ".join(wrong)
        return not_met(f"Télémétrie non coupée : {names}.", f"Telemetry not switched off: {names}.")
    return met(
        f"Télémétrie coupée pour les {len(erios.SILENCED)} familles de bibliothèques concernées.",
        f"Telemetry is off for the {len(erios.SILENCED)} families of libraries that have any.",
    )


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
        return not_met(f"À corriger : {wrong}.", f"To mend: {wrong}.")
    return met(
        "Témoins chiffrés seulement, transport strict, aucun script extérieur, noms d'hôte fermés.",
        "Cookies over encryption only, strict transport, no script from elsewhere, closed list of host names.",
    )


@check
def backup_is_recent(settings: Settings) -> Finding:
    """The file that the backup touches is recent."""
    stamp, limit = settings.compliance.backup_stamp, settings.compliance.backup_days
    if stamp is None:
        return not_met(
            "Aucun témoin de sauvegarde n'est déclaré (compliance.backup_stamp).",
            "No stamp of a backup is configured (compliance.backup_stamp).",
        )
    if not stamp.is_file():
        return not_met("Le témoin de sauvegarde est absent.", "The stamp of the backup is missing.")
    age = _days_since(datetime.fromtimestamp(stamp.stat().st_mtime, UTC))
    answer = met if age <= limit else not_met
    return answer(f"Dernière sauvegarde il y a {age} jour(s).", f"Last backup {age} day(s) ago.")


def _days_since(instant: datetime) -> int:
    return (datetime.now(UTC) - instant).days


# --- accounts ---


def _open_accounts() -> list[Any]:
    from erios.accounts.models import User

    return [user for user in User.objects.filter(is_active=True).order_by("username") if user.roles]


@check
def second_factor_is_asked(settings: Settings) -> Finding:
    """No local account gets past its first page without a one-time code."""
    from allauth.mfa.models import Authenticator
    from django.conf import settings as pages

    if _SECOND_FACTOR not in pages.MIDDLEWARE:
        return not_met("Aucune page ne demande le second facteur.", "No page asks for the second factor.")
    if not settings.portal.second_factor:
        return _left_to_directory(settings)
    having = Authenticator.objects.filter(type=Authenticator.Type.TOTP, user__is_active=True).count()
    return met(
        f"Code à usage unique exigé avant toute page ; {having} compte(s) l'ont activé.",
        f"A one-time code is asked for before any page; {having} account(s) have set it up.",
    )


_SECOND_FACTOR = "erios.portal.middleware.SecondFactorMiddleware"


def _left_to_directory(settings: Settings) -> Finding:
    """Where the portal asks for no code itself: the directory may, of those who come from there alone."""
    if not settings.portal.directory.issuer:
        return not_met(
            "Le second facteur est désactivé (portal.second_factor) et aucun annuaire ne le demande.",
            "The second factor is switched off (portal.second_factor) and no directory asks for one.",
        )
    if local := [user.username for user in _open_accounts() if user.has_usable_password()]:
        return not_met(
            f"Compte(s) ouverts par un seul mot de passe, sans l'annuaire : {', '.join(local[:5])}.",
            f"Account(s) that a password alone opens, past the directory: {', '.join(local[:5])}.",
        )
    return Finding(
        Status.ORGANISATIONAL,
        "Le second facteur est confié à l'annuaire : à vérifier là-bas, le portail ne le voit pas.",
        "The second factor is left to the directory: look there, the portal does not see it.",
    )


@check
def roles_are_apart(_settings: Settings) -> Finding:
    """Nobody holds two roles that exclude each other."""
    from erios.governance.roles import check_roles

    accounts = _open_accounts()
    try:
        for user in accounts:
            check_roles(user.roles)
    except UsageError as error:
        return not_met(f"Rôles incompatibles réunis : {error}", f"Roles that exclude each other: {error}")
    return met(
        f"{len(accounts)} compte(s) ouvert(s), aucun ne cumule des rôles incompatibles.",
        f"{len(accounts)} open account(s), none holds roles that exclude each other.",
    )


@check
def pages_say_whom_they_are_for(_settings: Settings) -> Finding:
    """Each page is public, for staff, or opened by one permission; there is none that nobody decided on."""
    from django.urls import URLPattern, get_resolver

    pages = [page for page in get_resolver().url_patterns if isinstance(page, URLPattern)]
    if open_to_all := [str(page.name) for page in pages if not hasattr(page.callback, "audience")]:
        names = ", ".join(open_to_all)
        return not_met(f"Pages sans public désigné : {names}.", f"Pages that say not whom they are for: {names}.")
    return met(
        f"{len(pages)} pages, chacune réservée à ceux qu'elle concerne.",
        f"{len(pages)} pages, each kept to those whom it is for.",
    )


@check
def access_is_reviewed(settings: Settings) -> Finding:
    """Somebody took the access review within the year."""
    from erios.accounts.actions import REVIEW
    from erios.audit import last_event

    last, limit = last_event(settings, REVIEW), settings.compliance.review_days
    if last is None:
        return not_met(
            "Aucune revue des accès n'est au journal : Comptes, « Revue des accès ».",
            "No access review is on record: Accounts, 'Access review'.",
        )
    age = _days_since(datetime.fromisoformat(last.time))
    answer = met if age <= limit else not_met
    return answer(
        f"Dernière revue des accès il y a {age} jour(s), par {last.actor} (limite : {limit}).",
        f"Last access review {age} day(s) ago, by {last.actor} (limit: {limit}).",
    )


@check
def accounts_are_used(settings: Settings) -> Finding:
    """No open account has been asleep for long."""
    limit = settings.compliance.dormant_days
    before = datetime.now(UTC) - timedelta(days=limit)
    asleep = [user.username for user in _open_accounts() if (user.last_login or user.date_joined) < before]
    if asleep:
        return not_met(
            f"{len(asleep)} compte(s) sans connexion depuis {limit} jours : {', '.join(asleep[:5])}.",
            f"{len(asleep)} account(s) unused for {limit} days: {', '.join(asleep[:5])}.",
        )
    return met(f"Aucun compte ouvert ne dort depuis {limit} jours.", f"No open account unused for {limit} days.")


# --- studies and extracts ---


def _in_force() -> Iterable[Any]:
    from erios.governance.study import State
    from erios.studies.models import Proposal

    states = [State.ACTIVE, State.SUSPENDED]
    return Proposal.objects.filter(state__in=states).select_related("study").order_by("study__number")


@check
def studies_have_an_end(_settings: Settings) -> Finding:
    """Each study in force has an end and a retention within its legal route."""
    from erios.studies.selectors import legal_routes

    limits = {route.code: route.max_retention_years for route in legal_routes()}
    studies = list(_in_force())
    if not studies:
        return not_applicable("Aucune étude n'est en cours.", "No study is in force.")
    if wrong := [one.study.number for one in studies if not _is_bounded(one, limits)]:
        names = ", ".join(wrong[:5])
        return not_met(
            f"Sans fin ou conservées trop longtemps : {names}.", f"Without an end, or kept too long: {names}."
        )
    return met(
        f"{len(studies)} étude(s) en cours, chacune avec sa fin et sa durée de conservation.",
        f"{len(studies)} study(ies) in force, each with an end and a retention.",
    )


def _is_bounded(proposal: Any, limits: Mapping[str, int]) -> bool:
    years, limit = proposal.content.get("retention_years"), limits.get(proposal.content.get("route", ""), 0)
    return proposal.ends is not None and bool(years) and (not limit or int(years) <= limit)


@check
def studies_were_decided_by_three(_settings: Settings) -> Finding:
    """Behind each study in force stand a vote, a visa and a decision, by people who are not on its team."""
    studies = list(_in_force())
    if not studies:
        return not_applicable("Aucune étude n'est en cours.", "No study is in force.")
    if wrong := [one.study.number for one in studies if not _was_decided(one)]:
        names = ", ".join(wrong[:5])
        return not_met(f"Décision incomplète : {names}.", f"Decision not complete: {names}.")
    return met(
        f"{len(studies)} étude(s) en cours : vote du comité, visa et décision, par des personnes distinctes.",
        f"{len(studies)} study(ies) in force: committee's vote, visa and decision, by different people.",
    )


def _was_decided(proposal: Any) -> bool:
    """In favour, all three, and nobody twice; the quorum of the day of the vote is not today's, so one vote will do."""
    from erios.governance.study import Opinion, State
    from erios.studies.selectors import facts_of

    facts = replace(facts_of(proposal), quorum=1)
    parts = list(proposal.parts.values_list("kind", "person_id", "opinion"))
    decisions = {opinion for kind, _person, opinion in parts if kind == "decision"}
    in_favour = facts.outcome is Opinion.FAVOURABLE and facts.visa and facts.visa[1] is Opinion.FAVOURABLE
    is_approved = bool(decisions) and decisions <= {State.APPROVED, State.CONDITIONAL}
    return bool(in_favour) and is_approved and len({person for _kind, person, _opinion in parts}) == len(parts)


@check
def purposes_are_permitted(_settings: Settings) -> Finding:
    """What each study in force says of itself is put to the rules on forbidden purposes once more."""
    from erios.governance.proposal import declarations
    from erios.governance.purposes import FORBIDDEN, forbidden

    studies = list(_in_force())
    if not studies:
        return not_applicable("Aucune étude n'est en cours.", "No study is in force.")
    if wrong := [one.study.number for one in studies if any(map(forbidden, declarations(one.content)))]:
        names = ", ".join(wrong[:5])
        return not_met(f"Finalité interdite, déclarée ou évoquée : {names}.", f"A forbidden purpose: {names}.")
    return met(
        f"{len(studies)} étude(s) en cours relues : aucune des {len(FORBIDDEN)} finalités interdites.",
        f"{len(studies)} study(ies) in force read again: none of the {len(FORBIDDEN)} forbidden purposes.",
    )


@check
def columns_are_justified(_settings: Settings) -> Finding:
    """Each column that a study in force asked for says why."""
    studies = list(_in_force())
    if not studies:
        return not_applicable("Aucune étude n'est en cours.", "No study is in force.")
    asked = [(one.study.number, column) for one in studies for column in _columns(one.content)]
    if not asked:
        return not_applicable("Aucune colonne n'est demandée.", "No column is asked for.")
    if bare := sorted({number for number, column in asked if not column.get("why", "").strip()}):
        return not_met(
            f"Colonnes sans justification : {', '.join(bare)}.", f"Columns without a reason: {', '.join(bare)}."
        )
    return met(
        f"{len(asked)} colonne(s) demandée(s) par les études en cours, toutes justifiées.",
        f"{len(asked)} column(s) asked for by the studies in force, each with its reason.",
    )


def _columns(content: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    for table in content.get("data") or ():
        yield from table["columns"]


def _extracts(*states: str) -> list[Any]:
    from erios.studies.models import Extract

    return list(Extract.objects.filter(state__in=states).select_related("study").order_by("number"))


@check
def extracts_stay_within_approval(_settings: Settings) -> Finding:
    """No extract that holds data has a table, a column or a cohort that its study was not approved for."""
    from erios.governance.extract import BUILT_STATES
    from erios.studies.extract_selectors import extract_facts

    made = _extracts(*BUILT_STATES)
    if not made:
        return not_applicable("Aucun extrait n'est construit.", "No extract is built.")
    if more := [one.number for one in made if extract_facts(one).beyond]:
        return not_met(
            f"Extraits plus larges que leur étude : {', '.join(more[:5])}.",
            f"Extracts wider than their study: {', '.join(more[:5])}.",
        )
    return met(
        f"{len(made)} extrait(s) construits, aucun ne dépasse ce que son étude a justifié.",
        f"{len(made)} extract(s) built, none goes beyond what its study justified.",
    )


@check
def extracts_expire(_settings: Settings) -> Finding:
    """No extract stays readable after its last day."""
    from erios.governance.extract import State

    released, today = _extracts(State.RELEASED), hospital_day()
    if not released:
        return not_applicable("Aucun extrait n'est diffusé.", "No extract is released.")
    if late := [one.number for one in released if one.expires is None or one.expires < today]:
        return not_met(
            f"Échéance dépassée : {', '.join(late)} ; le programme de nuit ne tourne pas.",
            f"Past their last day: {', '.join(late)}; the night's job does not run.",
        )
    return met(
        f"{len(released)} extrait(s) diffusé(s), chacun jusqu'à une date.",
        f"{len(released)} extract(s) released, each until a day.",
    )


@check
def extracts_are_as_cleared(settings: Settings) -> Finding:
    """The signed manifest in each released extract's folder is that of what was cleared."""
    from erios.extracts.manifest import check_signed
    from erios.governance.extract import State
    from erios.studies.extract_selectors import folder_of

    released = _extracts(State.RELEASED)
    for one in released:
        check_signed(folder_of(one, settings), one.public_key, one.root)
    if not released:
        return not_applicable("Aucun extrait n'est diffusé.", "No extract is released.")
    return met(
        f"{len(released)} extrait(s) diffusé(s), signés, tels qu'autorisés ; chaque lecture vérifie les octets.",
        f"{len(released)} extract(s) released, signed, of the cleared root; each reading checks every byte.",
    )


@check
def dead_extracts_are_destroyed(settings: Settings) -> Finding:
    """What is over is deleted within thirty days, and nothing is left of what is said to be destroyed."""
    from erios.governance.extract import WORKFLOW, Action, State

    ends = {state for row in WORKFLOW.transitions if row.action is Action.DESTROY for state in row.sources}
    over, gone = _extracts(*ends), _extracts(State.DESTROYED)
    if left := [one.number for one in gone if _has_files(one, settings)]:
        return not_met(
            f"Détruits selon le registre, mais des fichiers restent : {', '.join(left)}.",
            f"Destroyed on record, but files are left: {', '.join(left)}.",
        )
    if late := [one.number for one in over if _days_since(one.since) > 30]:
        return not_met(
            f"À détruire depuis plus de 30 jours : {', '.join(late)}.",
            f"To be destroyed for more than 30 days: {', '.join(late)}.",
        )
    if not over and not gone:
        return not_applicable("Aucun extrait n'est échu.", "No extract is over.")
    return met(
        f"{len(over)} extrait(s) échu(s) depuis moins de 30 jours ; {len(gone)} détruit(s), sans fichier restant.",
        f"{len(over)} extract(s) over for less than 30 days; {len(gone)} destroyed, with no file left.",
    )


def _has_files(extract: Any, settings: Settings) -> bool:
    from erios.studies.extract_selectors import workshop_of

    released = settings.studies / extract.study.number / extract.number
    return any(folder.exists() for folder in (released, workshop_of(extract.number, settings)))


# --- the warehouse ---


@check
def columns_have_rules(settings: Settings) -> Finding:
    """Each column of the warehouse has a privacy rule that somebody decided on."""
    from etl.tables import load_tables

    tables = load_tables(settings.views_dir)
    columns = [column for table in tables for column in table.view.columns]
    return met(
        f"{len(columns)} colonnes de {len(tables)} tables, chacune sous une règle de confidentialité.",
        f"{len(columns)} columns of {len(tables)} tables, each under a privacy rule.",
    )


@check
def columns_are_described(settings: Settings) -> Finding:
    """Each column of the catalogue has a title and a description."""
    from etl.tables import load_tables

    columns = [(table.name, one) for table in load_tables(settings.views_dir) for one in table.view.columns]
    if bare := [
        f"{table}.{one.name}" for table, one in columns if not (one.tags.get("erios/title") and one.description)
    ]:
        names = ", ".join(bare[:5])
        return not_met(f"Colonnes sans titre ou sans description : {names}.", f"Columns without words: {names}.")
    return met(
        f"{len(columns)} colonnes au catalogue, chacune avec son titre et sa description.",
        f"{len(columns)} columns in the catalogue, each with its title and description.",
    )


@check
def release_is_validated(settings: Settings) -> Finding:
    """The last release passed its validation, and nothing that blocks had failed."""
    from etl.warehouse.release import latest

    release = latest(settings.warehouse)
    if release is None:
        return not_applicable("Aucune version n'est publiée.", "No release is published.")
    checks, failed = release.validation.get("expectations", 0), release.validation.get("failed", {})
    if not checks or failed.get("block"):
        return not_met(f"La version {release.id} n'est pas validée.", f"Release {release.id} is not validated.")
    return met(
        f"Version {release.id} : {checks} contrôles, {failed.get('warn', 0)} alerte(s), aucun refus.",
        f"Release {release.id}: {checks} expectations, {failed.get('warn', 0)} warning(s), none that blocks.",
    )


_ENDS = ("written", "superseded", "duplicates", "deleted", "objected", "quarantined")


@check
def loads_balance(settings: Settings) -> Finding:
    """Of every release kept: all that came in is accounted for."""
    from etl.warehouse.release import open_release, release_ids

    kept = [open_release(settings.warehouse, name) for name in release_ids(settings.warehouse)]
    if not kept:
        return not_applicable("Aucune version n'est publiée.", "No release is published.")
    wrong = [one.id for one in kept if one.totals.get("in") != sum(one.totals.get(end, 0) for end in _ENDS)]
    if wrong:
        names = ", ".join(wrong)
        return not_met(f"Comptes qui ne tombent pas juste : {names}.", f"Accounts that do not balance: {names}.")
    return met(
        f"{len(kept)} version(s) : chaque ressource reçue est écrite, écartée ou en quarantaine.",
        f"{len(kept)} release(s): each resource received is written, set aside or in quarantine.",
    )


@check
def objections_are_followed(settings: Settings) -> Finding:
    """The last release knows everybody who objects today."""
    from erios.workflows.extract_objections import objections_after
    from etl.warehouse.release import latest

    release = latest(settings.warehouse)
    if release is None:
        return not_applicable("Aucune version n'est publiée.", "No release is published.")
    if objections_after(release, settings):
        return not_met(
            f"Des oppositions sont plus récentes que la version {release.id} : `erios etl refresh`.",
            f"There are objections newer than release {release.id}: run `erios etl refresh`.",
        )
    return met(
        f"La version {release.id} suit le registre d'opposition d'aujourd'hui.",
        f"Release {release.id} follows the objection register of today.",
    )


@check
def counts_are_masked(_settings: Settings) -> Finding:
    """Counts are masked and noisy, as conf/disclosure.toml says, and none that a study was shown is a small one."""
    from erios.extracts.counts import load_parameters
    from erios.studies.models import ShownCount

    known = load_parameters()
    small = ShownCount.objects.filter(value__lt=known.threshold).order_by("study__number")
    if wrong := sorted(set(small.values_list("study__number", flat=True))):
        return not_met(
            f"Effectif sous {known.threshold} montré à : {', '.join(wrong[:5])}.",
            f"A count under {known.threshold} was shown to: {', '.join(wrong[:5])}.",
        )
    shown = ShownCount.objects.count()
    return met(
        f"{shown} réponse(s) données, aucune sous {known.threshold} ; bruit de variance {known.variance:g},"
        f" {known.budget} comptages par étude.",
        f"{shown} answer(s) given, none under {known.threshold}; noise of variance {known.variance:g},"
        f" {known.budget} counts a study.",
    )


# --- the public ---


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
    from erios.studies.selectors import register

    shown = {one.number: one for one in register()}
    missing = [one.study.number for one in _in_force() if not _is_readable(shown.get(one.study.number))]
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
