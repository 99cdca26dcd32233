"""The audit chain: every decision, refusal and load, in order, so that nobody can change the past unseen.

An event holds logins and pseudonyms, never a patient's clear identity: its text is readable by whoever reads the
governance zone.
"""

from erios.audit.chain import Draft, Event
from erios.audit.store import (
    Verification,
    append,
    append_all,
    append_within,
    last_event,
    make,
    read_events,
    verify,
    witness,
)

__all__ = [
    "Draft",
    "Event",
    "Verification",
    "append",
    "append_all",
    "append_within",
    "last_event",
    "make",
    "read_events",
    "verify",
    "witness",
]
