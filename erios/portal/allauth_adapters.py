"""Who may have an account: nobody signs up; the directory's people come in with the roles that their claims give."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.http import HttpRequest

from erios.accounts.actions import follow_directory
from erios.accounts.sealed_rows import check_account
from erios.governance.roles import Role, check_roles
from erios.settings import load_settings


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Accounts are made by an administrator, or come from the directory."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False


class DirectoryAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """At each login the roles are those that the directory says today."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return bool(_roles(sociallogin))

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Roles that exclude each other are refused before an account is made or anybody is let in."""
        roles = _roles(sociallogin)
        check_roles(roles)
        if sociallogin.is_existing and sociallogin.user.is_active:
            check_account(sociallogin.user)
            follow_directory(user=sociallogin.user, roles=roles)

    def list_apps(self, request: HttpRequest, provider: str | None = None, client_id: str | None = None) -> list[Any]:
        """The hospital's directory is the one of the settings; one that stands in the database is none."""
        return [app for app in super().list_apps(request, provider, client_id) if app.pk is None]

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> Any:
        user = super().save_user(request, sociallogin, form)
        follow_directory(user=user, roles=_roles(sociallogin))
        return user


def _roles(sociallogin: Any) -> set[Role]:
    """Roles that the claims give; a claim that means no role gives none."""
    directory = load_settings().portal.directory
    data = sociallogin.account.extra_data
    claims = data.get("userinfo", data).get(directory.claim) or []
    claims = [claims] if isinstance(claims, str) else claims
    return {directory.roles[claim] for claim in claims if claim in directory.roles}
