"""Accounts, for administrators: make, change roles, close, hand over a link, review access."""

from __future__ import annotations

import csv

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from erios import terminal_codes
from erios.accounts import actions
from erios.accounts.models import User
from erios.governance.roles import Permission, Role
from erios.portal.access import StaffRequest, needs
from erios.portal.forms import Account
from erios.settings import load_settings


@needs(Permission.ACCOUNTS)
@require_http_methods(["GET", "POST"])
def accounts(request: StaffRequest) -> HttpResponse:
    """All accounts, and a form for a new one."""
    form = Account(request.POST or None)
    if request.method == "POST" and form.is_valid():
        entered = form.cleaned_data
        user = actions.make_account(by=request.user, **{**entered, "roles": [Role(name) for name in entered["roles"]]})
        messages.success(request, _("Compte créé. Lien à remettre : %s") % _link(request, user))
        return redirect("accounts")
    context = {
        "accounts": User.objects.order_by("-is_active", "username").prefetch_related("held_roles"),
        "form": form,
        "roles": list(Role),
    }
    return render(request, "portal/accounts.html", context)


def _link(request: StaffRequest, user: User) -> str:
    """Where the owner sets a password; it works once, and for a day."""
    key = f"{user_pk_to_url_str(user)}-{default_token_generator.make_token(user)}"
    uid, _dash, token = key.partition("-")
    return request.build_absolute_uri(reverse("account_reset_password_from_key", kwargs={"uidb36": uid, "key": token}))


@needs(Permission.ACCOUNTS)
@require_POST
def set_roles(request: StaffRequest, login: str) -> HttpResponse:
    """Give and take roles."""
    user = get_object_or_404(User, username=login)
    roles = [Role(name) for name in request.POST.getlist("roles") if name in set(Role)]
    actions.set_roles(by=request.user, user=user, roles=roles)
    messages.success(request, _("Rôles enregistrés."))
    return redirect("accounts")


@needs(Permission.ACCOUNTS)
@require_POST
def close(request: StaffRequest, login: str) -> HttpResponse:
    """Close an account at once."""
    user = get_object_or_404(User, username=login)
    actions.close_account(by=request.user, user=user, reason=request.POST.get("reason", ""))
    messages.success(request, _("Compte fermé."))
    return redirect("accounts")


@needs(Permission.REIDENTIFY)
@require_http_methods(["GET", "POST"])
def terminal_code(request: StaffRequest) -> HttpResponse:
    """What re-identification takes, and a code by which this person is known at a terminal; shown once."""
    code = terminal_codes.give(load_settings(), request.user.username) if request.method == "POST" else ""
    minutes = terminal_codes.LIFE.seconds // 60
    response = render(request, "portal/terminal_code.html", {"code": code, "minutes": minutes})
    response["Cache-Control"] = "no-store"
    return response


@needs(Permission.ACCOUNTS)
@require_safe
def access_review(request: StaffRequest) -> HttpResponse:
    """The access review: who holds what, and since when nobody has come, as CSV; that it was taken is on record."""
    accounts = actions.review_access(by=request.user)
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="revue-des-acces.csv"'
    table = csv.writer(response, delimiter=";")
    table.writerow(["identifiant", "nom", "fonction", "actif", "roles", "derniere_connexion"])
    for user in accounts:
        last = user.last_login.isoformat(timespec="minutes") if user.last_login else "jamais"
        roles = " ".join(sorted(user.roles))
        table.writerow([user.username, user.name, user.title, "oui" if user.is_active else "non", roles, last])
    return response
