"""Whether a password opens an account: first the account must be as the audit chain tells, its password included."""

from __future__ import annotations

from typing import Any

from allauth.account.auth_backends import AuthenticationBackend

from erios.accounts.sealed_rows import check_account


class SealedBackend(AuthenticationBackend):  # type: ignore[misc]
    """allauth's own, behind that check; StorageError where somebody has changed the account past the program."""

    def _check_password(self, user: Any, password: str) -> Any:
        if user is not None:
            check_account(user)
        return super()._check_password(user, password)
