"""The governance database as the chain sees it: one table that takes additions only, on SQLite or PostgreSQL.

Owns the table's shape, the guards that refuse changes in the database itself, and the lock that makes appending a
queue. The portal's own tables lie in the same database, so that what it changes and the event that tells of it are
one transaction. It must never show a message of the database: it may quote a value.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erios.errors import BusyError, EriosError, StorageError
from erios.settings import Settings, make_folder

_TABLE = """CREATE TABLE audit_event (
    number {number} PRIMARY KEY, time TEXT NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, object TEXT NOT NULL,
    reason TEXT NOT NULL, details TEXT NOT NULL, key_id TEXT NOT NULL, previous TEXT NOT NULL, seal TEXT NOT NULL
)"""
_INDEX = "CREATE INDEX audit_event_action ON audit_event (action, number)"
_REFUSAL = "the audit chain is append-only"
_LAST = "SELECT coalesce(max(number), 0) + 1 FROM audit_event"


@dataclass(frozen=True)
class Dialect:
    """How one database says it. ``guards``: name → what ``stored_guards`` answers of a guard that is as made."""

    mark: str
    begin: tuple[str, ...]
    make: tuple[str, ...]
    exists: str
    guards: dict[str, str]
    stored_guards: str


_SQLITE_GUARDS = {
    "audit_no_update": "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit_event"
    f" BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
    "audit_no_delete": "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit_event"
    f" BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
    "audit_next_only": "CREATE TRIGGER audit_next_only BEFORE INSERT ON audit_event"
    f" WHEN NEW.number IS NOT ({_LAST}) BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
}
SQLITE = Dialect(
    mark="?",
    begin=("BEGIN IMMEDIATE",),
    make=(f"{_TABLE.format(number='INTEGER')} STRICT", *_SQLITE_GUARDS.values(), _INDEX),
    exists="SELECT count(*) FROM sqlite_master WHERE name = 'audit_event'",
    guards=_SQLITE_GUARDS,
    stored_guards="SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_event'",
)

_NEVER = f" BEGIN RAISE EXCEPTION '{_REFUSAL}' USING ERRCODE = 'integrity_constraint_violation'; END "
_NEXT = f" BEGIN IF NEW.number IS DISTINCT FROM ({_LAST}) THEN {_NEVER.strip().removesuffix('END')[6:]}"
_NEXT += " END IF; RETURN NEW; END "
_POSTGRES_TRIGGERS = {  # name → event and level, function, what pg_trigger.tgtype says of them
    "audit_no_update": ("BEFORE UPDATE ON audit_event FOR EACH STATEMENT", "audit_never", 18),
    "audit_no_delete": ("BEFORE DELETE ON audit_event FOR EACH STATEMENT", "audit_never", 10),
    "audit_no_truncate": ("BEFORE TRUNCATE ON audit_event FOR EACH STATEMENT", "audit_never", 34),
    "audit_next_only": ("BEFORE INSERT ON audit_event FOR EACH ROW", "audit_next", 7),
}
_BODIES = {"audit_never": _NEVER, "audit_next": _NEXT}
POSTGRES = Dialect(
    mark="%s",
    begin=("BEGIN", "LOCK TABLE audit_event IN EXCLUSIVE MODE"),
    make=(
        _TABLE.format(number="BIGINT"),
        *(f"CREATE FUNCTION {n}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$" for n, body in _BODIES.items()),
        *(f"CREATE TRIGGER {n} {when} EXECUTE FUNCTION {f}()" for n, (when, f, _) in _POSTGRES_TRIGGERS.items()),
        _INDEX,
    ),
    exists="SELECT count(*) FROM pg_class WHERE oid = to_regclass('audit_event')",
    guards={
        name: f"O {kind} {function} {_BODIES[function]}" for name, (_, function, kind) in _POSTGRES_TRIGGERS.items()
    },
    stored_guards="SELECT t.tgname, concat_ws(' ', t.tgenabled, t.tgtype, p.proname, p.prosrc) FROM pg_trigger t"
    " JOIN pg_proc p ON p.oid = t.tgfoid WHERE t.tgrelid = to_regclass('audit_event') AND NOT t.tgisinternal",
)


@dataclass(frozen=True)
class Chain:
    """An open connection on which the chain is read and written; ``raw`` is of sqlite3 or psycopg."""

    raw: Any
    dialect: Dialect

    def run(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """The cursor of a statement that is written with ``?`` marks."""
        cursor = self.raw.cursor()
        cursor.execute(sql.replace("?", self.dialect.mark), tuple(values))
        return cursor

    def rows(self, sql: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Rows of a query, a part at a time: a chain may be long."""
        cursor = self.run(sql, values)
        while part := cursor.fetchmany(1000):
            yield from part

    def is_made(self) -> bool:
        return bool(self.run(self.dialect.exists).fetchone()[0])

    def missing_guards(self) -> list[str]:
        """Guards that are not there, or not as they were made."""
        stored = dict(self.run(self.dialect.stored_guards).fetchall())
        return [name for name, made in self.dialect.guards.items() if stored.get(name) != made]

    def begin(self) -> None:
        """Start a transaction that alone may append."""
        for statement in self.dialect.begin:
            self.run(statement)

    def lock(self) -> None:
        """Let the transaction that runs be the only one to append, until its end."""
        for statement in self.dialect.begin[1:]:
            self.run(statement)

    def make(self) -> None:
        """Make table and guards, once."""
        self.run("BEGIN IMMEDIATE" if self.dialect is SQLITE else "BEGIN")
        if self.dialect is POSTGRES:
            self.run("SELECT pg_advisory_xact_lock(hashtext('audit_event'))")
        for statement in () if self.is_made() else self.dialect.make:
            self.run(statement)
        self.run("COMMIT")


def sqlite_path(settings: Settings) -> Path:
    """The embedded database, where no other is configured."""
    return settings.governance / "governance.db"


def exists(settings: Settings) -> bool:
    """May there be a database to read? A server is always there."""
    return bool(settings.database) or sqlite_path(settings).exists()


@contextmanager
def opened(settings: Settings, *, make: bool = False) -> Iterator[Chain]:
    """A connection of its own, in autocommit; an unfinished transaction is undone, faults become sentences."""
    chain = None
    try:
        chain = _postgres(settings) if settings.database else _sqlite(settings, make=make)
        yield chain
    except Exception as error:
        raise fault(error, settings) or error from None
    finally:
        if chain:
            chain.raw.close()


def within(raw: Any) -> Chain:
    """The chain on a connection whose transaction somebody else holds."""
    return Chain(raw, SQLITE if isinstance(raw, sqlite3.Connection) else POSTGRES)


def _sqlite(settings: Settings, *, make: bool) -> Chain:
    path = sqlite_path(settings)
    if make:
        touch(path)
    raw = sqlite3.connect(path, timeout=60, isolation_level=None)
    raw.text_factory = lambda text: text.decode(errors="surrogateescape")
    return Chain(raw, SQLITE)


def _postgres(settings: Settings) -> Chain:
    import psycopg

    return Chain(psycopg.connect(settings.database, autocommit=True, connect_timeout=10), POSTGRES)


def touch(path: Path, what: str = "the governance database") -> None:
    """Make the file private before SQLite writes into it; StorageError where it cannot be, ``what`` it is.

    One that is there is left alone: to close it would free the locks that SQLite holds on it for this process, and two
    writers at once damage it.
    """
    make_folder(path.parent, 0o700)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    except FileExistsError:
        if path.is_symlink():
            raise StorageError(f"cannot open {what} {path}: it is a link") from None
    except OSError as error:
        raise StorageError(f"cannot open {what} {path}: {error.strerror}") from None


def fault(error: Exception, settings: Settings) -> EriosError | None:
    """A fault of the database by its code; its message is never shown. None for what is no such fault."""
    if isinstance(error, sqlite3.Error | UnicodeError):  # a damaged schema or message may be no UTF-8
        return _sqlite_fault(error, settings)
    if type(error).__module__.partition(".")[0] == "psycopg":
        return _postgres_fault(error)
    return None


def _sqlite_fault(error: Exception, settings: Settings) -> EriosError:
    name = getattr(error, "sqlite_errorname", "")
    path = sqlite_path(settings)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return BusyError(f"another command holds the governance database {path}: try again")
    if name.startswith("SQLITE_FULL"):
        return StorageError(f"the disk is full at {path}: free some space and run the command again")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_IOERR")):
        return StorageError(
            f"cannot write or read the governance database {path}: check the owner, mode and disk of its folder"
        )
    return damaged(str(path))


def _postgres_fault(error: Exception) -> EriosError:
    state = getattr(error, "sqlstate", None)
    if state in ("55P03", "40001", "40P01"):
        return BusyError("another command holds the audit chain: try again")
    if state is None or state.startswith(("08", "28", "3D", "53", "57", "58")):
        return StorageError("cannot reach or use the PostgreSQL database of `database`: check that it runs and lets in")
    return damaged("in PostgreSQL")


def damaged(where: str) -> StorageError:
    """The sentence for a chain that is not as it was written."""
    return StorageError(
        f"the audit chain {where} is damaged or cut short, and nothing is added to it: see what"
        " `erios audit verify` finds, then restore it and the identity zone from one backup"
    )
