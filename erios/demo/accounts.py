"""The accounts of the demonstration: one per position, named by its role, and the person at the keyboard.

Owns the accounts and their passwords: drawn anew each time the demonstration is served, shown once, never kept in
clear.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from erios.accounts.actions import end_sessions, make_account, make_first_administrator
from erios.accounts.models import User
from erios.governance.roles import Role
from erios.operator_login import current_operator

ADMINISTRATOR = "administration"
ACCOUNTS: Mapping[str, tuple[Role, str]] = {
    "clinicien": (Role.CLINICIAN, "Clinicien"),
    "comite-1": (Role.COMMITTEE, "Comité, premier membre"),
    "comite-2": (Role.COMMITTEE, "Comité, deuxième membre"),
    "comite-3": (Role.COMMITTEE, "Comité, troisième membre"),
    "verification-1": (Role.CHECKER, "Vérificateur des sorties, premier"),
    "verification-2": (Role.CHECKER, "Vérificateur des sorties, deuxième"),
    "dpo": (Role.DPO, "Délégué à la protection des données"),
    "direction": (Role.CONTROLLER, "Délégué du responsable de traitement"),
    "donnees-1": (Role.DATA_MANAGER, "Gestionnaire des données, construit"),
    "donnees-2": (Role.DATA_MANAGER, "Gestionnaire des données, diffuse"),
}
"""Login → role, and what the account is called."""


def account(login: str) -> User:
    """An account of the demonstration, by login."""
    return User.objects.get(username=login)


def scientist() -> User:
    """The data scientist: the person at the keyboard, by whom runs are started."""
    return account(current_operator())


def open_accounts() -> int:
    """Make the accounts that are missing; answers how many there are."""
    existing = set(User.objects.values_list("username", flat=True))
    if ADMINISTRATOR not in existing:
        make_first_administrator(login=ADMINISTRATOR, password=_draw())
    wanted = {**ACCOUNTS, current_operator(): (Role.DATA_SCIENTIST, "Vous")}
    for login, (role, title) in wanted.items():
        if login not in existing:
            name, email = f"{title} (démonstration)", f"{login.replace(' ', '-')}@localhost"
            make_account(by=account(ADMINISTRATOR), login=login, name=name, email=email, title=title, roles=[role])
    return len(wanted) + 1


def draw_passwords() -> dict[str, str]:
    """A new password for every account, by login, administrator last; whoever was logged in is out."""
    passwords: dict[str, str] = {}
    for login in (*ACCOUNTS, current_operator(), ADMINISTRATOR):
        user, passwords[login] = account(login), _draw()
        user.set_password(passwords[login])
        user.save(update_fields=["password"])
        end_sessions(user)
    return passwords


def _draw() -> str:
    return secrets.token_urlsafe(12)
