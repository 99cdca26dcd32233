"""The register of patients who object to research: a sealed journal in the identity zone.

Owns ``<identity>/objections.journal``: one sealed line per entry (added or removed, when, by whom), mode 0600, written
whole or not at all under a lock; who objects now follows from the entries in their order. Each line is bound to its
number and the line before it, and every entry is an event of the audit chain, so that a register that was cut, or put
back from an old copy, is noticed before it lets an objecting patient's rows in. No clear identity leaves this module
but to the load and to the person who lists the register; the audit chain knows patients by pseudonym.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from erios.audit import Draft, append, append_all, last_event
from erios.clock import hospital_day
from erios.errors import StorageError, UsageError
from erios.keys import read_key
from erios.locks import held
from erios.objections.parsing import Objection
from erios.operator_login import current_operator
from erios.settings import Settings
from erios.vault import Vault
from etl.errors import StorageError as UnreadableError
from etl.privacy import PseudonymKey, pseudonym
from etl.sealing import write_private

ADD, REMOVE = "add", "remove"
ACTIONS = "objections."
NOBODY = "0" * 32


@dataclass(frozen=True)
class Entry:
    """One line of the journal: ``event`` is add or remove, ``date`` the day on which the patient said so."""

    number: int
    event: str
    reference: str
    date: str
    reason: str
    time: str
    operator: str


@dataclass(frozen=True)
class Change:
    """What a command changed: pseudonyms of the patients entered, how many were so already, how many object now."""

    patient_keys: tuple[str, ...]
    unchanged: int
    current: int


def current_objectors(settings: Settings) -> tuple[str, ...]:
    """References of those who object now, sorted: ``Patient/ID`` or ``Patient?identifier=SYSTEM|VALUE``.

    Raises StorageError when the register is damaged or older than the audit chain says, KeyringError.
    """
    return tuple(entry.reference for entry in current_entries(settings))


def current_entries(settings: Settings) -> tuple[Entry, ...]:
    """The entries that make ``current_objectors``, by reference."""
    audited = _audited(settings)  # first: whoever adds an entry meanwhile writes the journal before the chain
    entries = _read(settings)
    _check_whole(audited, len(entries))
    return tuple(sorted(_current(entries).values(), key=lambda entry: entry.reference))


def version(settings: Settings) -> str:
    """A keyed digest of ``current_objectors``: it changes when who objects changes, and tells nothing of them."""
    references = current_objectors(settings)
    return Vault(settings.keyring).digest("\n".join(references).encode()) if references else NOBODY


def add(settings: Settings, objections: Sequence[Objection], *, operator: str | None = None) -> Change:
    """Enter patients who object; those who do already stay as they are. All or nothing."""
    return _enter(settings, ADD, objections, operator)


def remove(settings: Settings, objections: Sequence[Objection], *, operator: str | None = None) -> Change:
    """Enter that patients no longer object; UsageError when one of them did not."""
    return _enter(settings, REMOVE, objections, operator)


def repair(settings: Settings, reason: str, *, operator: str | None = None) -> int:
    """Go on with a register that lost entries; answers how many. What was lost must be entered again by hand."""
    with held(_lock(settings)):
        entries = len(_read(settings))
        lost = _audited(settings) - entries
        if lost <= 0:
            raise UsageError("the register has lost nothing: there is nothing to repair")
        details = {"entry": entries, "lost": lost}
        append(settings, ACTIONS + "repair", reason=reason, details=details, actor=operator)
        return lost


def _enter(settings: Settings, event: str, objections: Sequence[Objection], operator: str | None) -> Change:
    who = operator or current_operator()
    with held(_lock(settings)):
        entries = _read(settings)
        _check_whole(_audited(settings), len(entries))
        current = set(_current(entries))
        by_reference = {objection.reference: objection for objection in objections}
        changes = [
            objection for objection in by_reference.values() if (objection.reference in current) == (event == REMOVE)
        ]
        if event == REMOVE and len(changes) < len(by_reference):
            raise UsageError("this patient is not in the register in that form: see `erios objections list`")
        entries += _numbered(changes, event, who, len(entries))
        if changes:
            _write(settings, entries)
        _report(settings, entries)
    key = read_key(settings.keyring)
    keys = tuple(pseudonym(key, reference) for reference in by_reference)
    return Change(keys, len(by_reference) - len(changes), len(_current(entries)))


def _numbered(objections: Iterable[Objection], event: str, operator: str, number: int) -> list[Entry]:
    now = datetime.now(UTC)
    today = hospital_day(now).isoformat()
    time = now.isoformat(timespec="seconds")
    return [
        Entry(number_, event, objection.reference, objection.date or today, objection.reason, time, operator)
        for number_, objection in enumerate(objections, number + 1)
    ]


def _current(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Reference → the entry that is in force."""
    now: dict[str, Entry] = {}
    for entry in entries:
        if entry.event == ADD:
            now.setdefault(entry.reference, entry)
        else:
            now.pop(entry.reference, None)
    return now


def _report(settings: Settings, entries: Sequence[Entry]) -> None:
    """Add to the audit chain the entries that it does not know yet, also those of a command that was killed."""
    key = read_key(settings.keyring)
    news = entries[_audited(settings) :]
    for operator, theirs in groupby(news, lambda entry: entry.operator):
        append_all(settings, [_draft(entry, key) for entry in theirs], actor=operator)


def _draft(entry: Entry, key: PseudonymKey) -> Draft:
    """The event of an entry: the patient by pseudonym, and no free text, which may name somebody."""
    details = {"entry": entry.number, "date": entry.date}
    return Draft(ACTIONS + entry.event, f"patient:{pseudonym(key, entry.reference)}", details=details)


def _audited(settings: Settings) -> int:
    """The number of the last entry that the audit chain knows."""
    event = last_event(settings, ACTIONS)
    return int(event.parsed_details()["entry"]) if event else 0


def _check_whole(audited: int, entries: int) -> None:
    if audited > entries:
        raise StorageError(
            f"the objection register holds {entries} entries where the audit chain knows of {audited}, so patients who"
            " object could be loaded: restore the identity zone's newest backup, or see `erios objections repair`"
        )


def _journal(settings: Settings) -> Path:
    return settings.identity / "objections.journal"


def _lock(settings: Settings) -> Path:
    return settings.identity / "objections.lock"


def _place(number: int, before: bytes) -> str:
    return f"objection {number} after {hashlib.sha256(before).hexdigest()}"


def _read(settings: Settings) -> list[Entry]:
    try:
        lines = _journal(settings).read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"cannot read the objection register {_journal(settings)}: {error.strerror}") from None
    vault = Vault(settings.keyring)
    return [_open(vault, number, line, before) for number, line, before in _chained(lines)]


def _chained(lines: Sequence[bytes]) -> Iterator[tuple[int, bytes, bytes]]:
    """Each line with its number and the line before it."""
    return zip(range(1, len(lines) + 1), lines, [b"", *lines], strict=False)


def _open(vault: Vault, number: int, line: bytes, before: bytes) -> Entry:
    try:
        return Entry(**json.loads(vault.unseal(base64.b64decode(line, validate=True), _place(number, before))))
    except (UnreadableError, binascii.Error):
        raise StorageError(
            f"entry {number} of the objection register is damaged or out of place: restore the identity zone's backup"
        ) from None


def _write(settings: Settings, entries: Sequence[Entry]) -> None:
    """The journal with the new entries behind the lines that are there, which stay as they are."""
    path = _journal(settings)
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    vault = Vault(settings.keyring)
    for entry in entries[len(lines) :]:
        position = _place(entry.number, lines[-1] if lines else b"")
        lines.append(base64.b64encode(vault.seal(json.dumps(asdict(entry)).encode(), position)))
    write_private(path, b"".join(line + b"\n" for line in lines))
