"""The chain as commands and the portal use it: append, read, verify, and the sealed witness of its end.

Owns ``<identity>/audit-head.sealed``. The witness lies in another zone than the chain and says which event was the
last, so that a chain cut short, or a database put back from an old copy, shows. It is written after the event; a
crash in between leaves it some events behind, which the next writer mends. Nothing is ever appended to a chain whose
end is not the witnessed one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from erios.audit.chain import FIELDS, GENESIS, Draft, Event, FindKey, faults, is_authentic, link
from erios.audit.database import Chain, damaged, exists, opened, sqlite_path, within
from erios.errors import StorageError
from erios.keys import derive_key
from erios.locks import held
from erios.operator_login import current_operator
from erios.settings import Settings
from erios.vault import Vault
from etl.errors import StorageError as DamagedError
from etl.sealing import write_private

PURPOSE = b"erios audit chain"
_HEAD_PLACE = "audit head"
_ALL = f"SELECT {', '.join(FIELDS)} FROM audit_event"
_INSERT = f"INSERT INTO audit_event VALUES ({', '.join('?' * len(FIELDS))})"


@dataclass(frozen=True)
class Verification:
    """What a verification found: the events there are, the last one's seal, a sentence a fault."""

    events: int
    seal: str
    faults: tuple[str, ...]


def append(
    settings: Settings,
    action: str,
    *,
    object: str = "",
    reason: str = "",
    details: Mapping[str, Any] | None = None,
    actor: str | None = None,
) -> Event:
    """Add one event; see ``append_all``."""
    return append_all(settings, [Draft(action, object, reason, details or {})], actor=actor)[0]


def append_all(settings: Settings, drafts: Sequence[Draft], *, actor: str | None = None) -> list[Event]:
    """Add events at the end of the chain, all or none; they last when this returns.

    ``actor`` is the operator unless a caller acts for somebody it has identified itself. Raises StorageError when the
    chain is damaged or cannot be written, BusyError, KeyringError.
    """
    if not drafts:
        return []
    derive_key(settings.keyring, PURPOSE)  # without a keyring nothing is made
    with _made(settings) as chain:
        chain.begin()
        events = _append(settings, chain, drafts, actor or current_operator())
        chain.run("COMMIT")
    witness(settings, events)
    return events


def append_within(settings: Settings, raw: Any, drafts: Sequence[Draft], *, actor: str) -> list[Event]:
    """Add events in the transaction that the caller holds on the connection ``raw`` (of sqlite3 or psycopg).

    They last when the caller commits, who then passes them to ``witness``. The chain must be made: ``make``.
    """
    chain = within(raw)
    chain.lock()
    return _append(settings, chain, drafts, actor)


def make(settings: Settings) -> None:
    """Make the chain's table and guards, if there are none."""
    with _made(settings):
        pass


def witness(settings: Settings, events: Sequence[Event]) -> None:
    """Note the last of these events, now committed, as the chain's end; one that is behind never overtakes."""
    with held(settings.identity / "audit-head.lock"):
        known = _read_head(settings)
        if known is None or events[-1].number > known[0]:
            _write_head(settings, events[-1].number, events[-1].seal)


def _append(settings: Settings, chain: Chain, drafts: Sequence[Draft], actor: str) -> list[Event]:
    last = _end(settings, chain)
    time = datetime.now(UTC).isoformat(timespec="microseconds")
    events = link(drafts, last, actor, time, derive_key(settings.keyring, PURPOSE))
    for event in events:
        chain.run(_INSERT, event.row())
    return events


def read_events(settings: Settings, since: str = "", actions: str = "") -> Iterator[Event]:
    """Events from the instant ``since`` (ISO 8601, UTC) on whose action starts with ``actions``, oldest first.

    They are as stored: ``verify`` says whether they are as written.
    """
    with opened_chain(settings) as chain:
        where = " WHERE time >= ? AND substr(action, 1, ?) = ? ORDER BY number"
        for row in chain.rows(_ALL + where, (since, len(actions), actions)) if chain else ():
            yield Event(*row)


def last_event(settings: Settings, actions: str) -> Event | None:
    """The last event whose action starts with ``actions``.

    StorageError when its seal does not fit, or the chain's end is not the witnessed one.
    """
    with opened_chain(settings) as chain:
        if chain is None:
            if (_read_head(settings) or (0, GENESIS))[0]:
                raise damaged_chain(settings)
            return None
        witnessed_end(settings, chain)
        where = " WHERE substr(action, 1, ?) = ? ORDER BY number DESC LIMIT 1"
        row = chain.run(_ALL + where, (len(actions), actions)).fetchone()
    if row and not is_authentic(Event(*row), key_finder(settings)):
        raise damaged_chain(settings)
    return Event(*row) if row else None


def verify(settings: Settings) -> Verification:
    """Check every event, the order, the end and the table's own guards; KeyringError without a keyring."""
    faults_found: list[str] = []
    head = None
    try:
        head = _read_head(settings)
    except DamagedError:
        faults_found.append("the witness of the chain's end is damaged")
    try:
        return _verify_database(settings, head, faults_found)
    except StorageError as error:
        return Verification(0, GENESIS, (*faults_found, error.sentence))


def _verify_database(settings: Settings, head: tuple[int, str] | None, faults_found: list[str]) -> Verification:
    is_damaged = bool(faults_found)
    with opened_chain(settings) as chain:
        if chain is None:
            lost = [f"there is no chain, but its witness knows of {head[0]} events"] if head and head[0] else []
            return Verification(0, GENESIS, (*faults_found, *lost))
        faults_found += [f"the guard {name} of the table is missing or changed" for name in chain.missing_guards()]
        seals = _Seals(head)
        events = (seals.pass_on(Event(*row)) for row in chain.rows(_ALL + " ORDER BY number"))
        faults_found += faults(events, key_finder(settings))
    return Verification(seals.count, seals.last, (*faults_found, *([] if is_damaged else seals.faults())))


@dataclass
class _Seals:
    """What passes by on the way through the chain, to be held against the witness of its end."""

    head: tuple[int, str] | None
    count: int = 0
    last: str = GENESIS
    met: bool = False

    def pass_on(self, event: Event) -> Event:
        self.count += 1
        self.last = event.seal
        self.met = self.met or (event.number, event.seal) == self.head
        return event

    def faults(self) -> list[str]:
        if self.head is None:
            return ["the witness of the chain's end is missing"] if self.count else []
        if self.met or self.head == (0, GENESIS):
            return []
        return [f"event {self.head[0]}, the last that the witness knows, is not there: the chain was cut or replaced"]


def _end(settings: Settings, chain: Chain) -> tuple[int, str]:
    """Number and seal of the last event, once it is known to be the witnessed one or to follow it."""
    head = witnessed_end(settings, chain)
    if head == (0, GENESIS):
        _write_head(settings, *head)  # before the first event: a chain without its witness is never right
    tail = list(events_after(chain, head[0]))  # what the witness has not yet heard of: usually nothing
    if any(faults(tail, key_finder(settings), head)):
        raise damaged_chain(settings)
    return (tail[-1].number, tail[-1].seal) if tail else head


def events_after(chain: Chain, number: int, last: int | None = None) -> Iterator[Event]:
    """Events after the one of ``number``, up to ``last`` where one is named, as stored."""
    where, values = (" AND number <= ?", (number, last)) if last is not None else ("", (number,))
    for row in chain.rows(f"{_ALL} WHERE number > ?{where} ORDER BY number", values):
        yield Event(*row)


def witnessed_end(settings: Settings, chain: Chain) -> tuple[int, str]:
    """What the witness knows as the last event, which must be there; StorageError if not."""
    head = _read_head(settings) or (0, GENESIS)
    query = "SELECT number, seal FROM audit_event WHERE number = ?"
    if head == (0, GENESIS) and not _head_path(settings).exists():
        query = "SELECT number, seal FROM audit_event WHERE number >= ?"
    if (chain.run(query, (head[0],)).fetchone() or (0, GENESIS)) != head:
        raise damaged_chain(settings)
    return head


@contextmanager
def _made(settings: Settings) -> Iterator[Chain]:
    """The chain, made if there is none. One that has its witness was made, whatever is left of it."""
    with opened(settings, make=True) as chain:
        if not chain.is_made():
            if (_read_head(settings) or (0, GENESIS))[0]:
                raise damaged_chain(settings)
            chain.make()
        yield chain


@contextmanager
def opened_chain(settings: Settings) -> Iterator[Chain | None]:
    """The chain to read, None where there is none; a file whose making was interrupted is none."""
    if not exists(settings):
        yield None
        return
    with opened(settings) as chain:
        yield chain if chain.is_made() or _head_path(settings).exists() else None


def _head_path(settings: Settings) -> Path:
    return settings.identity / "audit-head.sealed"


def _read_head(settings: Settings) -> tuple[int, str] | None:
    try:
        sealed = _head_path(settings).read_bytes()
    except FileNotFoundError:
        return None
    head = json.loads(Vault(settings.keyring).unseal(sealed, _HEAD_PLACE))
    return head["number"], head["seal"]


def _write_head(settings: Settings, number: int, seal: str) -> None:
    head = json.dumps({"number": number, "seal": seal}).encode()
    write_private(_head_path(settings), Vault(settings.keyring).seal(head, _HEAD_PLACE))


def key_finder(settings: Settings) -> FindKey:
    return cache(lambda key_id: derive_key(settings.keyring, PURPOSE, key_id))


def damaged_chain(settings: Settings) -> StorageError:
    return damaged("in PostgreSQL" if settings.database else str(sqlite_path(settings)))
