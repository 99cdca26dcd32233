"""The audit events of the portal's writes: in the writer's own transaction, witnessed once that has lasted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from django.db import connection, models, transaction

from erios.accounts.sealed_rows import ADOPTION, declaration, seals_of, unsealed_rows
from erios.audit import Draft, append_within, witness
from erios.audit.row_seals import ROWS, read_facts
from erios.settings import load_settings

if TYPE_CHECKING:
    from erios.accounts.models import User

SYSTEM = "system"


def record(
    drafts: Sequence[Draft], *, by: User | None, rows: Iterable[models.Model] = (), fields: Collection[str] = ()
) -> None:
    """Append events in the current transaction, which must be open; ``by`` None is the portal itself.

    ``rows``: every row that the transaction has written or removed; the last event seals them (``sealed_rows``).
    """
    connection.ensure_connection()
    if not connection.in_atomic_block:
        raise RuntimeError("an event is recorded in the transaction of what it tells")
    settings = load_settings()
    events = append_within(
        settings, connection.connection, _sealing(drafts, rows, fields), actor=by.username if by else SYSTEM
    )
    transaction.on_commit(lambda: witness(settings, events))


def _sealing(drafts: Sequence[Draft], rows: Iterable[models.Model], fields: Collection[str]) -> list[Draft]:
    *others, last = drafts
    told = seals_of(rows, last.action, fields)
    return [*others, replace(last, details={**last.details, ROWS: told}) if told else last]


_BATCH = 500


def adopt_rows() -> None:
    """Seal every row of the tables and fields that no event has sealed yet: once after an upgrade, else nothing.

    From then on nothing else seals a row but the event of what wrote it. StorageError where a row that is sealed
    already was changed.
    """
    from erios.accounts.models import write_exclusions  # Django's models, once it is set up

    declared = declaration()
    before = read_facts(load_settings(), ADOPTION).get("", {}).get("tables", {})
    if before == declared:
        return
    with transaction.atomic():
        write_exclusions()
        rows = list(unsealed_rows(before))
        for start in range(0, len(rows), _BATCH):
            record([Draft("record.rows")], by=None, rows=rows[start : start + _BATCH])
        record([Draft(ADOPTION, details={"tables": declared})], by=None)
