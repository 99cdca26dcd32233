"""The governance database made ready, and the account of the person at the keyboard.

Owns the order of starting: settings and keyring first, then the chain, then Django and its migrations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from erios.audit import make
from erios.database import set_up_django
from erios.errors import UsageError
from erios.keys import read_key
from erios.operator_login import current_operator
from erios.settings import Settings, load_settings
from erios.workflows.signing_keys import publish_keys

if TYPE_CHECKING:
    from erios.accounts.models import User


def open_database(*, migrate: bool = False) -> Settings:
    """Make Django ready in this process; on SQLite, or when asked, bring the database's tables up to date.

    Raises UsageError when a server's database has not been migrated, KeyringError, StorageError.
    """
    settings = load_settings()
    read_key(settings.keyring)  # a home that was never set up, or is mistyped, stays as it is
    settings.make_zones()
    make(settings)
    set_up_django()
    if _is_behind():
        if settings.database and not migrate:
            raise UsageError("the governance database is not up to date: run `erios portal --migrate`")
        _migrate()
    from erios.accounts.audit_events import adopt_rows  # Django's models, once it is set up

    adopt_rows()
    publish_keys(settings)
    return settings


def _is_behind() -> bool:
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def _migrate() -> None:
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)


def operator() -> User:
    """The account of the person at the keyboard, by login; UsageError without one."""
    return account(current_operator())


def account(login: str) -> User:
    """The open account of a login, as its event sealed it; UsageError without one."""
    from erios.accounts.models import User  # Django's models, once it is set up
    from erios.accounts.sealed_rows import check_account

    user = User.objects.filter(username=login, is_active=True).first()
    if user is None:
        raise UsageError(f"no open account '{login}' in the portal: an administrator makes one with your login")
    check_account(user)
    return user


def make_administrator(login: str, password: str) -> User:
    """The first administrator."""
    from django.contrib.auth.password_validation import validate_password
    from django.core.exceptions import ValidationError

    from erios.accounts.actions import make_first_administrator  # Django's models, once it is set up

    try:
        validate_password(password)
    except ValidationError as error:
        raise UsageError(f"this password will not do: {' '.join(error.messages)}") from None
    return make_first_administrator(login=login, password=password)
