"""A code by which somebody who is logged in to the portal is known at a terminal, once, within minutes.

Owns the codes; the audit chain keeps them, by digest, so that nobody can make one, use one twice, or use one unseen.
What two people must do is bound to their accounts so, and not to who the system says is at the keyboard.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from erios.audit import Event, append, read_events, verify
from erios.errors import RefusedError, StorageError
from erios.locks import held
from erios.operator_login import current_operator
from erios.settings import Settings

LIFE = timedelta(minutes=5)
GIVEN, USED, REFUSED = "account.terminal-code", "account.terminal-code-used", "account.terminal-code-refused"
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without those that are taken for each other."""
_LENGTH = 12


def give(settings: Settings, login: str) -> str:
    """A new code of somebody whom the portal knows: 12 letters in three groups."""
    code = "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
    append(settings, GIVEN, object=login, details={"digest": _digest(code)}, actor=login)
    return "-".join(code[start : start + 4] for start in range(0, _LENGTH, 4))


def use(settings: Settings, code: str) -> str:
    """The login for which the code was given. RefusedError, on record, for one that is unknown, old or used."""
    digest = _digest(code)
    with held(settings.governance / "terminal-codes.lock"):
        if verify(settings).faults:
            raise StorageError("the audit chain is damaged, so no code is taken: see `erios audit verify`")
        since = (datetime.now(UTC) - LIFE).isoformat(timespec="seconds")
        events = [event for event in read_events(settings, since, GIVEN) if _digest_of(event) == digest]
        if [event.action for event in events] != [GIVEN]:
            append(settings, REFUSED, details={"terminal": current_operator()}, actor=current_operator())
            raise RefusedError("this code is unknown, used, or older than five minutes: take a new one in the portal")
        details = {"digest": digest, "terminal": current_operator()}
        append(settings, USED, object=events[0].object, details=details, actor=events[0].object)
    return events[0].object


def _digest(code: str) -> str:
    plain = "".join(letter for letter in code.lower() if letter in _LETTERS)
    return sha256(plain.encode()).hexdigest()


def _digest_of(event: Event) -> str:
    return str(event.parsed_details().get("digest", ""))
