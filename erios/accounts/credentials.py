"""Passwords, second factors and directory links, which Django and allauth write themselves; and who logged in.

What they write is sealed here, by their signals, since no action of ours stands around it; before they write over a
row, it is checked. No password or secret is in an event: of a row there are keyed marks, and of a failed login's name,
where no account has it, a keyed digest, since people type passwords there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save

from erios.accounts.audit_events import record
from erios.accounts.sealed_rows import SEALED, check_account
from erios.audit import Draft
from erios.settings import load_settings
from erios.vault import Vault

if TYPE_CHECKING:
    from erios.accounts.models import User

EVENTS = {
    "mfa.Authenticator": "account.second-factor",
    "account.EmailAddress": "account.email",
    "socialaccount.SocialAccount": "account.link",
}


def watch() -> None:
    """Follow the writes of Django and allauth in this process."""
    from django.contrib.auth import get_user_model

    pre_save.connect(_before_password, sender=get_user_model())
    post_save.connect(_after_password, sender=get_user_model())
    for label in EVENTS:
        pre_save.connect(_before, sender=label)
        pre_delete.connect(_before, sender=label)
        post_save.connect(_after, sender=label)
        post_delete.connect(_after, sender=label)
    user_logged_in.connect(_logged_in)
    user_logged_out.connect(_logged_out)
    user_login_failed.connect(_login_failed)


def _is_password(user: User, update_fields: Any) -> bool:
    return "password" in (update_fields or ()) or getattr(user, "_password", None) is not None


def _before_password(instance: User, update_fields: Any = None, **_named: Any) -> None:
    if instance.pk and _is_password(instance, update_fields):
        check_account(instance)


def _after_password(instance: User, created: bool, update_fields: Any = None, **_named: Any) -> None:
    if created and not instance._is_role_change:
        _seal("account.arrive", instance, instance)
    elif not created and _is_password(instance, update_fields):
        _seal("account.password", instance, instance, ["password"])


def _before(instance: Any, update_fields: Any = None, **_named: Any) -> None:
    if not _is_exempt(instance, update_fields):
        check_account(instance.user)


def _after(instance: Any, update_fields: Any = None, created: bool | None = None, **_named: Any) -> None:
    """``created`` is None for a row that was deleted. Of a link that is there only exempt fields ever change."""
    is_link_again = created is False and instance._meta.label == "socialaccount.SocialAccount"
    if not is_link_again and not _is_exempt(instance, update_fields):
        _seal(EVENTS[instance._meta.label], instance.user, instance)


def _is_exempt(instance: Any, update_fields: Any) -> bool:
    return bool(update_fields) and set(update_fields) <= set(SEALED[instance._meta.label].exempt)


def _seal(action: str, user: User, row: Any, fields: list[str] | None = None) -> None:
    with transaction.atomic():
        record([Draft(action, user.username)], by=user, rows=[row], fields=fields or ())


def _logged_in(user: User, **_named: Any) -> None:
    _tell(Draft("login.in", user.username), user)


def _logged_out(user: User | None, **_named: Any) -> None:
    if user is not None:
        _tell(Draft("login.out", user.username), user)


def _login_failed(credentials: Mapping[str, Any], **_named: Any) -> None:
    from erios.accounts.models import User

    typed = str(credentials.get("username") or "")
    known = User.objects.filter(username=typed).exists()
    _tell(Draft("login.fail", typed if known else _unknown(typed)), None)


def _unknown(typed: str) -> str:
    return f"unknown:{Vault(load_settings().keyring).digest(typed.encode())[:16]}"


def _tell(draft: Draft, user: User | None) -> None:
    with transaction.atomic():
        record([draft], by=user)
