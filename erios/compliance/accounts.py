"""Checks of accounts: second factor, roles, pages, access review."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from erios.accounts.actions import REVIEW
from erios.accounts.models import User
from erios.audit import last_event
from erios.clock import days_since
from erios.compliance.registry import check
from erios.errors import UsageError
from erios.governance.compliance import Finding, Status, met, not_met
from erios.governance.roles import check_roles
from erios.settings import Settings
from erios.translation import mark


def _open_accounts() -> list[Any]:
    return [
        user
        for user in User.objects.filter(is_active=True).order_by("username").prefetch_related("held_roles")
        if user.roles
    ]


@check
def second_factor_is_asked(settings: Settings) -> Finding:
    """No local account gets past its first page without a one-time code."""
    from allauth.mfa.models import Authenticator
    from django.conf import settings as pages

    if _SECOND_FACTOR not in pages.MIDDLEWARE:
        return not_met(mark("Aucune page ne demande le second facteur."))
    if not settings.portal.second_factor:
        return _left_to_directory(settings)
    having = Authenticator.objects.filter(type=Authenticator.Type.TOTP, user__is_active=True).count()
    return met(mark("Code à usage unique exigé avant toute page ; {having} compte(s) l'ont activé."), having=having)


_SECOND_FACTOR = "erios.portal.middleware.SecondFactorMiddleware"


def _left_to_directory(settings: Settings) -> Finding:
    """Where the portal asks for no code itself: the directory may, of those who come from there alone."""
    if not settings.portal.directory.issuer:
        return not_met(mark("Le second facteur est désactivé (portal.second_factor) et aucun annuaire ne le demande."))
    if local := [user.username for user in _open_accounts() if user.has_usable_password()]:
        return not_met(mark("Compte(s) ouverts par un seul mot de passe, sans l'annuaire : {names}."), names=local)
    return Finding(
        Status.ORGANISATIONAL,
        mark("Le second facteur est confié à l'annuaire : à vérifier là-bas, le portail ne le voit pas."),
    )


@check
def roles_are_apart(_settings: Settings) -> Finding:
    """Nobody holds two roles that exclude each other."""
    accounts = _open_accounts()
    try:
        for user in accounts:
            check_roles(user.roles)
    except UsageError as error:
        return not_met(mark("Rôles incompatibles réunis : {error}"), error=error)
    return met(mark("{accounts} compte(s) ouvert(s), aucun ne cumule des rôles incompatibles."), accounts=len(accounts))


@check
def pages_say_whom_they_are_for(_settings: Settings) -> Finding:
    """Each page is public, for staff, or opened by one permission; there is none that nobody decided on."""
    from django.urls import URLPattern, get_resolver

    pages = [page for page in get_resolver().url_patterns if isinstance(page, URLPattern)]
    if open_to_all := [str(page.name) for page in pages if not hasattr(page.callback, "audience")]:
        return not_met(mark("Pages sans public désigné : {names}."), names=open_to_all)
    return met(mark("{pages} pages, chacune réservée à ceux qu'elle concerne."), pages=len(pages))


@check
def access_is_reviewed(settings: Settings) -> Finding:
    """Somebody took the access review within the year."""
    last, limit = last_event(settings, REVIEW), settings.compliance.review_days
    if last is None:
        return not_met(mark("Aucune revue des accès n'est au journal : Comptes, « Revue des accès »."))
    age = days_since(datetime.fromisoformat(last.time))
    answer = met if age <= limit else not_met
    return answer(
        mark("Dernière revue des accès il y a {age} jour(s), par {actor} (limite : {limit})."),
        age=age,
        actor=last.actor,
        limit=limit,
    )


@check
def accounts_are_used(settings: Settings) -> Finding:
    """No open account has been asleep for long."""
    limit = settings.compliance.dormant_days
    before = datetime.now(UTC) - timedelta(days=limit)
    asleep = [user.username for user in _open_accounts() if (user.last_login or user.date_joined) < before]
    if asleep:
        return not_met(
            mark("{asleep} compte(s) sans connexion depuis {limit} jours : {names}."),
            asleep=len(asleep),
            limit=limit,
            names=asleep,
        )
    return met(mark("Aucun compte ouvert ne dort depuis {limit} jours."), limit=limit)
