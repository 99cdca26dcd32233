"""Re-identification by people of the workbench: each is known by a code of the portal, and holds a role for it.

Owns who may; the rules of request and decision are ``erios.reidentification``'s.
"""

from __future__ import annotations

from erios import terminal_codes
from erios.errors import RefusedError
from erios.governance.roles import Permission
from erios.workflows.database import account, open_database


def person_of(code: str) -> str:
    """The login of the open account that a code of the portal was given to, if it may re-identify; RefusedError."""
    settings = open_database()
    login = terminal_codes.use(settings, code)
    if not account(login).person.may(Permission.REIDENTIFY):
        raise RefusedError(f"{login} holds no role that re-identifies")
    return login
