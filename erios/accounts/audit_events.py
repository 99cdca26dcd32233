"""The audit events of the portal's writes: in the writer's own transaction, witnessed once that has lasted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.db import connection, transaction

from erios.audit import Draft, append_within, witness
from erios.settings import load_settings

if TYPE_CHECKING:
    from erios.accounts.models import User

SYSTEM = "system"


def record(drafts: Sequence[Draft], *, by: User | None) -> None:
    """Append events in the current transaction, which must be open; ``by`` None is the portal itself."""
    connection.ensure_connection()
    if not connection.in_atomic_block:
        raise RuntimeError("an event is recorded in the transaction of what it tells")
    settings = load_settings()
    events = append_within(settings, connection.connection, drafts, actor=by.username if by else SYSTEM)
    transaction.on_commit(lambda: witness(settings, events))
