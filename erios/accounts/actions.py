"""Every write on an account: one transaction with its audit event."""

from __future__ import annotations

from collections.abc import Collection

from django.contrib.sessions.models import Session
from django.db import IntegrityError, transaction
from django.db.models import Model
from django.utils import timezone

from erios.accounts.audit_events import record
from erios.accounts.models import User, holding
from erios.accounts.sealed_rows import check_account
from erios.audit import Draft
from erios.errors import InputError, UsageError
from erios.governance.roles import Permission, Role, check_roles
from erios.governance.words import Refusal, RuleBroken

REVIEW = "account.review"
"""The event that an access review leaves."""


def make_first_administrator(*, login: str, password: str) -> User:
    """The first account of all; refused once there is an administrator."""
    with transaction.atomic():
        if User.objects.filter(holding([Role.ADMINISTRATOR]), is_active=True).exists():
            raise UsageError("there is an administrator already, who makes accounts in the portal")
        user = _made(login, [Role.ADMINISTRATOR], password)
        record([Draft("account.first", login, details={"roles": [Role.ADMINISTRATOR]})], by=None, rows=_rows_of(user))
    return user


def make_account(*, by: User, login: str, name: str, email: str, title: str, roles: Collection[Role]) -> User:
    """An account without a password: its owner sets one by the link that the administrator hands over."""
    _check(by)
    with transaction.atomic():
        user = _made(login, roles)
        first, _, last = name.strip().partition(" ")
        user.first_name, user.last_name, user.email, user.title = first, last, email, title
        user.set_unusable_password()
        user.save()
        record([Draft("account.make", login, details={"roles": sorted(roles)})], by=by, rows=_rows_of(user))
    return user


def set_roles(*, by: User, user: User, roles: Collection[Role]) -> User:
    """Give and take roles; nobody changes their own."""
    _check(by)
    if by.pk == user.pk:
        raise InputError("nobody changes their own roles: another administrator does")
    check_roles(roles)
    with transaction.atomic():
        check_account(user)
        held, before = _rows_of(user), sorted(user.roles)
        user.set_roles(roles)
        user.save()
        details = {"before": before, "after": sorted(roles)}
        record([Draft("account.roles", user.username, details=details)], by=by, rows=[*held, *_rows_of(user)])
    return user


def close_account(*, by: User, user: User, reason: str) -> User:
    """Close an account at once: whoever is logged in with it is out at the next click."""
    _check(by)
    if by.pk == user.pk:
        raise InputError("nobody closes their own account: another administrator does")
    with transaction.atomic():
        user.is_active = False
        user.save(update_fields=["is_active"])
        end_sessions(user)
        record([Draft("account.close", user.username, reason)], by=by, rows=[user], fields=["is_active"])
    return user


def review_access(*, by: User) -> list[User]:
    """Every account, for the access review; that it was taken is on record, and counts as the review's date."""
    _check(by)
    with transaction.atomic():
        accounts = list(User.objects.order_by("username").prefetch_related("held_roles"))
        still_open = sum(user.is_active for user in accounts)
        record([Draft(REVIEW, details={"accounts": len(accounts), "open": still_open})], by=by)
    return accounts


def follow_directory(*, user: User, roles: Collection[Role]) -> User:
    """Hold the roles that the hospital's directory says today."""
    wanted = set(roles)
    check_roles(wanted)
    with transaction.atomic():
        if user.roles != wanted:
            held, before = _rows_of(user), sorted(user.roles)
            user.set_roles(wanted)
            user.save()
            details = {"before": before, "after": sorted(wanted)}
            draft = Draft("account.directory", user.username, details=details)
            record([draft], by=None, rows=[*held, *_rows_of(user)])
    return user


def _rows_of(user: User) -> list[Model]:
    """An account's own row and those of its roles."""
    return [user, *user.held_roles.all()]


def end_sessions(user: User) -> None:
    """Log the account out everywhere."""
    for session in Session.objects.filter(expire_date__gte=timezone.now()):
        if session.get_decoded().get("_auth_user_id") == str(user.pk):
            session.delete()


def _check(by: User) -> None:
    check_account(by)
    if not by.person.may(Permission.ACCOUNTS):
        raise RuleBroken(Refusal("not-yours", {"action": "edit", "who": (Role.ADMINISTRATOR,)}))


def _made(login: str, roles: Collection[Role], password: str | None = None) -> User:
    check_roles(roles)
    user = User(username=login)
    user.set_roles(roles)
    user.set_password(password)  # None: no password opens it
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError:
        raise InputError(f"the login {login} is taken") from None
    return user
