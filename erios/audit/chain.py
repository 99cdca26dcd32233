"""The chain itself: events, their seals, and what is wrong with a row of them. Knows no file and no keyring.

The *seal* of an event is HMAC-SHA-256 (RFC 2104) over its fields, among them the seal of the event before it. So a
changed, removed, inserted or moved event shows without trust in the file that holds them; only the end of the chain
needs a witness elsewhere (``erios.audit.store`` keeps one).
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from erios.errors import KeyringError
from etl.sealing import SealingKey

FIELDS = ("number", "time", "actor", "action", "object", "reason", "details", "key_id", "previous", "seal")
GENESIS = "0" * 64
"""What stands for the seal before the first event."""
FindKey = Callable[[str], SealingKey]


@dataclass(frozen=True)
class Draft:
    """What somebody did, before it is in the chain. Nothing here may be a clear identity: patients by pseudonym."""

    action: str
    object: str = ""
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """One link: what was done, by whom, when (UTC), and how it hangs on the event before. ``details`` is JSON text."""

    number: int
    time: str
    actor: str
    action: str
    object: str
    reason: str
    details: str
    key_id: str
    previous: str
    seal: str

    def row(self) -> tuple[Any, ...]:
        """The values in the order of FIELDS."""
        return tuple(getattr(self, name) for name in FIELDS)

    def parsed_details(self) -> dict[str, Any]:
        """The details as a mapping."""
        return dict(json.loads(self.details))


def link(drafts: Sequence[Draft], last: tuple[int, str], actor: str, time: str, key: SealingKey) -> list[Event]:
    """The drafts as events that follow the event of number and seal ``last``."""
    number, previous = last
    events = []
    for draft in drafts:
        number += 1
        details = json.dumps(draft.details, sort_keys=True)
        fields = (number, time, actor, draft.action, draft.object, draft.reason, details, key.key_id, previous)
        previous = seal_of(fields, key)
        events.append(Event(*fields, seal=previous))
    return events


def seal_of(fields: Sequence[Any], key: SealingKey) -> str:
    """The seal over an event's fields but its seal: 64 hexadecimal digits."""
    return hmac.digest(key.secret, json.dumps(fields).encode("ascii"), "sha256").hex()


def is_authentic(event: Event, find_key: FindKey) -> bool:
    """Does the event's seal fit its fields? KeyringError when its key is no longer in the keyring."""
    row = event.row()
    if type(event.number) is not int or not all(type(value) is str for value in row[1:]):
        return False
    return hmac.compare_digest(seal_of(row[:-1], find_key(event.key_id)).encode(), event.seal.encode(errors="replace"))


def faults(events: Iterable[Event], find_key: FindKey, last: tuple[int, str] = (0, GENESIS)) -> Iterator[str]:
    """A sentence for each break in the chain that follows the event of number and seal ``last``."""
    for event in events:
        if event.number != last[0] + 1:
            yield f"events are missing before event {event.number}: {last[0] + 1} should follow"
        elif event.previous != last[1]:
            yield f"event {event.number} does not follow the event before it: one was removed, moved or put in"
        if fault := _own_fault(event, find_key):
            yield fault
        last = (event.number, event.seal)


def _own_fault(event: Event, find_key: FindKey) -> str | None:
    try:
        return None if is_authentic(event, find_key) else f"event {event.number} was changed or did not come from erios"
    except KeyringError:
        return f"event {event.number} bears the seal of a key that the keyring does not hold"
