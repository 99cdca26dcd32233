"""What the chain says of the governance database's rows: for each sealed row, the last event that told of it.

An event that changes rows holds, under ``rows`` of its details, a keyed mark of every field of every row that it wrote,
or that the row is gone. Whoever changes a row without an event cannot make its marks. Owns ``<identity>/row-seals.db``,
a checkpoint of the chain replayed up to the witnessed end: it lies beside the keyring and can be deleted, since the
chain has it all. Knows no Django.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erios.audit.chain import GENESIS, Event, faults
from erios.audit.database import Chain, touch, within
from erios.audit.store import damaged_chain, events_after, key_finder, opened_chain, witnessed_end
from erios.errors import BusyError, EriosError, StorageError
from erios.keys import derive_key
from erios.settings import Settings
from etl.sealing import SealingKey

ROWS = "rows"
"""The name in an event's details under which its row seals stand."""
PURPOSE = b"erios audit chain: marks of rows"
_MADE = (
    "CREATE TABLE IF NOT EXISTS end (number INTEGER NOT NULL, seal TEXT NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS row_seal (name TEXT NOT NULL, row TEXT NOT NULL, scope TEXT NOT NULL,"
    " number INTEGER NOT NULL, marks TEXT NOT NULL, PRIMARY KEY (name, row)) STRICT",
    "CREATE INDEX IF NOT EXISTS row_seal_scope ON row_seal (scope)",
    "CREATE TABLE IF NOT EXISTS fact (action TEXT NOT NULL, object TEXT NOT NULL, details TEXT NOT NULL,"
    " PRIMARY KEY (action, object)) STRICT",
)
FACTS = ("record.begin", "keys.public")
"""Actions whose last event for each object is kept at hand."""
_FACT = "SELECT object, details FROM fact WHERE action = ?"
_COLUMNS = "name, row, scope, number, marks"


@dataclass(frozen=True)
class RowSeal:
    """What events told of a row, the last of them ``number``; ``scope``: the study or account that it belongs to.

    ``marks``: field → id of the key, a colon, the mark.
    """

    table: str
    row: str
    scope: str
    number: int
    marks: Mapping[str, str]


Seals = dict[tuple[str, str], RowSeal]
"""(table, row) → its seal."""


def mark(key: SealingKey, table: str, row: str, field: str, value: Any) -> str:
    """The keyed mark of a field's value, as the database's driver gives it: key id, colon, 32 hexadecimal digits.

    It says nothing of the value without the key.
    """
    if isinstance(value, bytes | memoryview):
        value = hashlib.sha256(value).hexdigest()
    text = f"{table}\0{row}\0{field}\0{type(value).__name__}\0{value}"
    return f"{key.key_id}:{hmac.digest(key.secret, text.encode(errors='surrogatepass'), 'sha256').hex()[:32]}"


def marking_key(settings: Settings, key_id: str | None = None) -> SealingKey:
    """The key of marks: the current one, or that of an event's key."""
    return derive_key(settings.keyring, PURPOSE, key_id)


def read_seals(settings: Settings, scopes: Collection[str], raw: Any = None) -> Seals:
    """The seals of the rows of these scopes as of the end of the chain.

    ``raw``: the connection whose open transaction may have added events. StorageError when the chain does not hold.
    """
    with _chain(settings, raw) as chain:
        if chain is None:
            return {}
        with closing(_opened(settings)) as kept:
            end = _advance(settings, chain, kept)
            seals = _rows(kept, scopes)
        for event in _checked(settings, events_after(chain, end[0]), end):
            _apply(seals, event)
    return {key: seal for key, seal in seals.items() if seal.scope in scopes}


def read_facts(settings: Settings, action: str) -> dict[str, dict[str, Any]]:
    """Object → details of the last event of an action of ``FACTS`` for it; StorageError as in ``read_seals``."""
    with opened_chain(settings) as chain:
        if chain is None:
            return {}
        with closing(_opened(settings)) as kept:
            _advance(settings, chain, kept)
            return {name: json.loads(details) for name, details in kept.execute(_FACT, (action,))}


def replay_seals(settings: Settings) -> Seals:
    """The seals of every row, from the first event on, without the checkpoint; events as stored."""
    seals: Seals = {}
    with opened_chain(settings) as chain:
        for event in events_after(chain, 0) if chain else ():
            _apply(seals, event)
    return seals


@contextmanager
def _chain(settings: Settings, raw: Any) -> Iterator[Chain | None]:
    if raw is not None:
        yield within(raw)
        return
    with opened_chain(settings) as chain:
        yield chain


def _checked(settings: Settings, events: Iterable[Event], last: tuple[int, str]) -> Iterator[Event]:
    """The events, each after its seal and place in the chain were checked."""
    for event in events:
        if any(faults([event], key_finder(settings), last)):
            raise damaged_chain(settings)
        yield event
        last = (event.number, event.seal)


def _apply(seals: Seals, event: Event) -> None:
    for table, row, scope, marks in _told(event):
        if marks is None:
            seals.pop((table, row), None)
        else:
            before = seals.get((table, row))
            seals[table, row] = RowSeal(table, row, scope, event.number, {**(before.marks if before else {}), **marks})


def _told(event: Event) -> list[Any]:
    if f'"{ROWS}"' not in event.details:
        return []
    rows = event.parsed_details().get(ROWS)
    return rows if isinstance(rows, list) else []


# --- the checkpoint ---


def _path(settings: Settings) -> Path:
    return settings.identity / "row-seals.db"


def _opened(settings: Settings) -> sqlite3.Connection:
    path = _path(settings)
    touch(path, "the checkpoint of the audit chain")
    try:
        kept = sqlite3.connect(path, timeout=60, isolation_level=None)
        for statement in _MADE:
            kept.execute(statement)
        return kept
    except sqlite3.Error as error:
        raise _unusable(settings, error) from None


def _unusable(settings: Settings, error: sqlite3.Error) -> EriosError:
    path = _path(settings)
    if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return BusyError(f"another command holds the checkpoint of the audit chain {path}: try again")
    return StorageError(f"{path} cannot be used: delete it, and it is made anew from the audit chain")


def _advance(settings: Settings, chain: Chain, kept: sqlite3.Connection) -> tuple[int, str]:
    """Bring the checkpoint to the witnessed end of the chain; answers that end."""
    try:
        if _end(kept) == (head := witnessed_end(settings, chain)):
            return head
        kept.execute("BEGIN IMMEDIATE")
        head = witnessed_end(settings, chain)  # anew: another process may have been here
        end = _follow(settings, chain, kept, head)
        kept.execute("COMMIT")
        return end
    except sqlite3.DatabaseError as error:
        raise _unusable(settings, error) from None


def _follow(settings: Settings, chain: Chain, kept: sqlite3.Connection, head: tuple[int, str]) -> tuple[int, str]:
    last = _end(kept)
    for event in _checked(settings, events_after(chain, last[0], head[0]), last):
        if event.action in FACTS:
            kept.execute("INSERT OR REPLACE INTO fact VALUES (?, ?, ?)", (event.action, event.object, event.details))
        for table, row, scope, marks in _told(event):
            _keep(kept, table, row, scope, event.number, marks)
        last = (event.number, event.seal)
    if last != head:
        raise damaged_chain(settings)
    kept.execute("DELETE FROM end")
    kept.execute("INSERT INTO end VALUES (?, ?)", last)
    return last


def _keep(
    kept: sqlite3.Connection, table: str, row: str, scope: str, number: int, marks: Mapping[str, str] | None
) -> None:
    before = kept.execute("SELECT marks FROM row_seal WHERE name = ? AND row = ?", (table, row)).fetchone()
    kept.execute("DELETE FROM row_seal WHERE name = ? AND row = ?", (table, row))
    if marks is not None:
        whole = {**(json.loads(before[0]) if before else {}), **marks}
        kept.execute(
            f"INSERT INTO row_seal ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)", (table, row, scope, number, json.dumps(whole))
        )


def _end(kept: sqlite3.Connection) -> tuple[int, str]:
    return kept.execute("SELECT number, seal FROM end").fetchone() or (0, GENESIS)


def _rows(kept: sqlite3.Connection, scopes: Collection[str]) -> Seals:
    """The checkpoint's seals of these scopes."""
    places = ", ".join("?" * len(scopes))
    found = kept.execute(f"SELECT {_COLUMNS} FROM row_seal WHERE scope IN ({places})", tuple(scopes))
    return {
        (table, row): RowSeal(table, row, scope, number, json.loads(told)) for table, row, scope, number, told in found
    }
