"""Whom a page is for. Every view says it; one that does not is refused by a test, and by nobody being let in."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from erios.accounts.models import User
from erios.accounts.sealed_rows import check_account
from erios.governance.roles import Permission

View = Callable[..., HttpResponseBase]


class StaffRequest(HttpRequest):
    """A request that was let in: its user has an account."""

    user: User


PUBLIC, STAFF = "public", "staff"


def public(view: View) -> View:
    """A page for everybody, without login."""
    return _marked(view, PUBLIC)


def staff(view: View) -> View:
    """A page for whoever has an account with a role; what it shows depends on who asks."""
    return _guarded(view, STAFF, lambda user: bool(user.roles))


def needs(permission: Permission) -> Callable[[View], View]:
    """A page for those whose role opens it."""
    return lambda view: _guarded(view, permission, lambda user: user.person.may(permission))


def _guarded(view: View, audience: str, lets_in: Callable[[User], bool]) -> View:
    @wraps(view)
    def guarded(request: HttpRequest, *arguments: Any, **named: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        check_account(request.user)
        if not lets_in(request.user):
            raise PermissionDenied
        return view(request, *arguments, **named)

    return _marked(guarded, audience)


def _marked(view: View, audience: str) -> View:
    view.audience = audience  # type: ignore[attr-defined]
    return view
