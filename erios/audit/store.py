"""Where the chain is kept: one SQLite table that takes additions only, and a sealed witness of its end.

Owns ``<governance>/audit.db`` and ``<identity>/audit-head.sealed``. The witness lies in another zone and says which
event was the last, so that a chain cut short, or a folder put back from an old copy, shows. It is written after the
event; a crash in between leaves it one event behind, which the next writer mends. Nothing is ever appended to a
chain whose end is not the witnessed one.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from erios.audit.chain import FIELDS, GENESIS, Draft, Event, FindKey, faults, is_authentic, link
from erios.errors import BusyError, EriosError, StorageError
from erios.keys import derive_key
from erios.locks import held
from erios.operators import current_operator
from erios.settings import Settings, make_folder
from erios.vault import Vault
from etl.errors import StorageError as DamagedError
from etl.sealing import write_private

PURPOSE = b"erios audit chain"
_HEAD_PLACE = "audit head"
_TABLE = """CREATE TABLE event (
    number INTEGER PRIMARY KEY, time TEXT NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, object TEXT NOT NULL,
    reason TEXT NOT NULL, details TEXT NOT NULL, key_id TEXT NOT NULL, previous TEXT NOT NULL, seal TEXT NOT NULL
) STRICT"""
_TRIGGERS = {
    "no_update": "CREATE TRIGGER no_update BEFORE UPDATE ON event"
    " BEGIN SELECT RAISE(ABORT, 'the audit chain is append-only'); END",
    "no_delete": "CREATE TRIGGER no_delete BEFORE DELETE ON event"
    " BEGIN SELECT RAISE(ABORT, 'the audit chain is append-only'); END",
    "next_only": "CREATE TRIGGER next_only BEFORE INSERT ON event"
    " WHEN NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM event)"
    " BEGIN SELECT RAISE(ABORT, 'the audit chain is append-only'); END",
}
_INDEX = "CREATE INDEX event_action ON event (action, number)"
_MAKE = "; ".join(["BEGIN IMMEDIATE", _TABLE, *_TRIGGERS.values(), _INDEX, "COMMIT"])
_ALL = f"SELECT {', '.join(FIELDS)} FROM event"


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
    key = derive_key(settings.keyring, PURPOSE)
    with held(settings.governance / "audit.lock"), _database(settings, make=True) as database:
        database.execute("BEGIN IMMEDIATE")
        last = _end(settings, database)
        time = datetime.now(UTC).isoformat(timespec="microseconds")
        events = link(drafts, last, actor or current_operator(), time, key)
        marks = ", ".join("?" * len(FIELDS))
        database.executemany(f"INSERT INTO event VALUES ({marks})", [event.row() for event in events])
        database.execute("COMMIT")
        _write_head(settings, events[-1].number, events[-1].seal)
    return events


def read_events(settings: Settings, since: str = "", actions: str = "") -> Iterator[Event]:
    """Events from the instant ``since`` (ISO 8601, UTC) on whose action starts with ``actions``, oldest first.

    They are as stored: ``verify`` says whether they are as written.
    """
    if not _exists(settings):
        return
    with _database(settings) as database:
        where = " WHERE time >= ? AND substr(action, 1, ?) = ? ORDER BY number"
        for row in database.execute(_ALL + where, (since, len(actions), actions)):
            yield Event(*row)


def last_event(settings: Settings, actions: str) -> Event | None:
    """The last event whose action starts with ``actions``.

    StorageError when its seal does not fit, or the chain's end is not the witnessed one.
    """
    if not _exists(settings):
        if (_read_head(settings) or (0, GENESIS))[0]:
            raise _damaged(settings)
        return None
    with _database(settings) as database:
        _witnessed(settings, database)
        where = " WHERE action >= ? AND action < ? ORDER BY number DESC LIMIT 1"
        row = database.execute(_ALL + where, (actions, actions + "\U0010ffff")).fetchone()
    if row and not is_authentic(Event(*row), _finder(settings)):
        raise _damaged(settings)
    return Event(*row) if row else None


def verify(settings: Settings) -> Verification:
    """Check every event, the order, the end and the table's own guards; KeyringError without a keyring."""
    found: list[str] = []
    head = None
    try:
        head = _read_head(settings)
    except DamagedError:
        found.append("the witness of the chain's end is damaged")
    try:
        return _verify_database(settings, head, found)
    except StorageError as error:
        return Verification(0, GENESIS, (*found, error.sentence))


def _verify_database(settings: Settings, head: tuple[int, str] | None, found: list[str]) -> Verification:
    if not _exists(settings):
        lost = [f"there is no chain, but its witness knows of {head[0]} events"] if head and head[0] else []
        return Verification(0, GENESIS, (*found, *lost))
    is_damaged = bool(found)
    with _database(settings) as database:
        found += _missing_guards(database)
        seals = _Seals(head)
        events = (seals.pass_on(Event(*row)) for row in database.execute(_ALL + " ORDER BY number"))
        found += faults(events, _finder(settings))
    return Verification(seals.count, seals.last, (*found, *([] if is_damaged else seals.faults())))


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


def _missing_guards(database: sqlite3.Connection) -> list[str]:
    stored = dict(database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
    return [
        f"the guard {name} of the table is missing or changed"
        for name in _TRIGGERS
        if stored.get(name) != _TRIGGERS[name]
    ]


def _end(settings: Settings, database: sqlite3.Connection) -> tuple[int, str]:
    """Number and seal of the last event, once it is known to be the witnessed one or to follow it."""
    head = _witnessed(settings, database)
    if head == (0, GENESIS):
        _write_head(settings, *head)  # before the first event: a chain without its witness is never right
    rows = database.execute(_ALL + " WHERE number > ? ORDER BY number", (head[0],))
    tail = [Event(*row) for row in rows]  # what a writer that died left: one command's events, usually none
    if any(faults(tail, _finder(settings), head)):
        raise _damaged(settings)
    return (tail[-1].number, tail[-1].seal) if tail else head


def _witnessed(settings: Settings, database: sqlite3.Connection) -> tuple[int, str]:
    """What the witness knows as the last event, which must be there; StorageError if not."""
    head = _read_head(settings) or (0, GENESIS)
    query = "SELECT number, seal FROM event WHERE number = ?"
    if head == (0, GENESIS) and not _head_path(settings).exists():
        query = "SELECT number, seal FROM event WHERE number >= ?"
    if (database.execute(query, (head[0],)).fetchone() or (0, GENESIS)) != head:
        raise _damaged(settings)
    return head


def _path(settings: Settings) -> Path:
    return settings.governance / "audit.db"


def _exists(settings: Settings) -> bool:
    """Is there a chain? A file whose making was interrupted is none."""
    if not _path(settings).exists():
        return False
    with _database(settings) as database:
        return _is_made(settings, database)


def _is_made(settings: Settings, database: sqlite3.Connection) -> bool:
    """Asking SQLite undoes a making that was interrupted; a chain that has its witness was made, whatever is left."""
    tables = database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'event'").fetchone()
    return bool(tables[0]) or _head_path(settings).exists()


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


def _finder(settings: Settings) -> FindKey:
    return cache(lambda key_id: derive_key(settings.keyring, PURPOSE, key_id))


def _damaged(settings: Settings) -> StorageError:
    return StorageError(
        f"the audit chain {_path(settings)} is damaged or cut short, and nothing is added to it: see what"
        " `erios audit verify` finds, then restore it and the identity zone from one backup"
    )


@contextmanager
def _database(settings: Settings, *, make: bool = False) -> Iterator[sqlite3.Connection]:
    """The chain's database; an unfinished transaction is undone. Faults of SQLite become the families' sentences."""
    path = _path(settings)
    if make:
        _touch(path)
    database = sqlite3.connect(path, timeout=60, isolation_level=None)
    database.text_factory = lambda raw: raw.decode(errors="surrogateescape")
    try:
        if make and not _is_made(settings, database):
            database.executescript(_MAKE)
        yield database
    except (sqlite3.Error, UnicodeError) as error:  # a damaged schema or message may be no UTF-8
        raise _fault(error, settings) from None
    finally:
        database.close()


def _touch(path: Path) -> None:
    """Make the file private before SQLite writes into it."""
    make_folder(path.parent, 0o700)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise StorageError(f"cannot open the audit chain {path}: {error.strerror}") from None


def _fault(error: Exception, settings: Settings) -> EriosError:
    """A fault by SQLite's code for it; its message is never shown."""
    name = getattr(error, "sqlite_errorname", "")
    path = _path(settings)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return BusyError(f"another command holds the audit chain {path}: try again")
    if name.startswith("SQLITE_FULL"):
        return StorageError(f"the disk is full at {path}: free some space and run the command again")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_IOERR")):
        return StorageError(
            f"cannot write or read the audit chain {path}: check the owner, mode and disk of its folder"
        )
    return _damaged(settings)
