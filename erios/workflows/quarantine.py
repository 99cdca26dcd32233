"""Reading the quarantine: ids are shown as pseudonyms, or, on record, as they were received."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from erios.audit import append
from erios.keys import read_key
from erios.settings import Settings
from etl.ingest.quarantine import Refused, find, refused
from etl.privacy import pseudonym


def refused_rows(settings: Settings, batch: str | None, *, clear: bool) -> list[Refused]:
    """What waits; ``clear``: with ids as received, which is put on record."""
    return list(_shown(settings, refused(settings.identity / "quarantine", batch), batch or "all", clear=clear))


def refused_row(settings: Settings, quarantine_id: str, *, clear: bool) -> Refused:
    """One refused text, as ``refused_rows`` shows it; InputError if it does not wait."""
    row = find(settings.identity / "quarantine", quarantine_id)
    return next(_shown(settings, [row], quarantine_id, clear=clear))


def _shown(settings: Settings, rows: Iterable[Refused], subject: str, *, clear: bool) -> Iterator[Refused]:
    if clear:
        append(settings, "quarantine.ids", object=subject, details={})
        yield from rows
        return
    key = read_key(settings.keyring)
    for row in rows:
        hidden = pseudonym(key, f"{row.type}/{row.resource_id}") if row.resource_id else None
        yield replace(row, resource_id=hidden)
