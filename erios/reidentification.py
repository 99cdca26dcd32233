"""From a pseudonym back to the patient: for a chance finding or a patient's right, by two people, on the record.

Owns the rules (two different logins, a reason, seven days, once) and the look-up. Requests live nowhere but in the
audit chain: their state is the fold of its events, so that a request cannot be changed or made to vanish unseen. The
table behind it is what the loads sealed in ``<identity>/reidentification``; a row of it leaves this module only
through ``approve``, and never enters the chain, a log or an error.

The rule binds the command. Whoever can read the keyring could open the table by other means: therefore the identity
zone belongs to a service account under which nobody logs in.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from erios.audit import Event, append, read_events, verify
from erios.errors import InputError, RefusedError, StorageError, UsageError
from erios.locks import held
from erios.settings import Settings
from erios.vault import Vault

LIFE = timedelta(days=7)
ACTIONS = "reidentify."
REQUEST, REFUSE, DENY, APPROVE = (ACTIONS + word for word in ("request", "refuse", "deny", "approve"))
"""``refuse`` is a person's decision and closes a request; ``deny`` is a rule's, and leaves it as it was."""
_PSEUDONYM = re.compile("[0-9a-f]{32}")


class Purpose(StrEnum):
    """What alone a patient may be sought for."""

    CHANCE_FINDING = "chance-finding"
    PATIENT_RIGHT = "patient-right"


@dataclass(frozen=True)
class Request:
    """A request as the chain tells it; ``state`` is open, approved, refused or expired."""

    id: str
    pseudonym: str
    purpose: str
    reason: str
    requester: str
    made: str
    expires: str
    state: str


def segments_folder(settings: Settings) -> Path:
    """Where the loads seal the re-identification table."""
    return settings.identity / "reidentification"


def look_up(settings: Settings, pseudonym: str) -> str | None:
    """The reference ``Patient/ID`` behind a pseudonym, None if no load sealed it. For ``approve`` only."""
    from etl import reidentification_table as segments

    return segments.find_reference(segments_folder(settings), pseudonym, Vault(settings.keyring).key)


def forget(settings: Settings, pseudonyms: Collection[str]) -> int:
    """Take erased patients out of the table for good; answers the rows gone."""
    from etl import reidentification_table as segments

    return segments.forget(segments_folder(settings), list(pseudonyms), Vault(settings.keyring).key)


def request(settings: Settings, pseudonym: str, purpose: Purpose, reason: str, *, operator: str) -> Request:
    """Ask for the patient behind a pseudonym; UsageError for one that is none, or without a reason."""
    if not _PSEUDONYM.fullmatch(pseudonym):
        raise UsageError("a pseudonym is 32 digits of 0-9 and a-f, as in the column patient_key")
    _check_reason(reason)
    details = {"request": secrets.token_hex(4), "purpose": Purpose(purpose).value}
    event = append(settings, REQUEST, object=pseudonym, reason=reason.strip(), details=details, actor=operator)
    return _as_request(event, datetime.now(UTC), {})


def approve(settings: Settings, request_id: str, *, operator: str) -> str:
    """The patient's reference, for the second person, once.

    RefusedError (and an event of it) for the requester themselves, or a request that expired or is closed; InputError
    for an unknown request or a pseudonym that no load sealed; StorageError when the audit chain is damaged.
    """
    with held(settings.governance / "reidentify.lock"):
        asked = _for_decision(settings, request_id, operator)
        reference = look_up(settings, asked.pseudonym)
        if reference is None:
            why = "no load sealed a patient of that pseudonym"
            _record(settings, DENY, asked, why, operator)
            raise InputError(f"{why}: check it against the column patient_key; the attempt is in the audit chain")
        _record(settings, APPROVE, asked, "", operator)
    return reference


def refuse(settings: Settings, request_id: str, reason: str, *, operator: str) -> None:
    """The second person's no, which closes the request; errors as in ``approve``."""
    _check_reason(reason)
    with held(settings.governance / "reidentify.lock"):
        _record(settings, REFUSE, _for_decision(settings, request_id, operator), reason.strip(), operator)


def requests(settings: Settings) -> tuple[Request, ...]:
    """All requests, oldest first."""
    events = list(read_events(settings, actions=ACTIONS))
    ends = {event.parsed_details()["request"]: event.action for event in events if event.action in (APPROVE, REFUSE)}
    now = datetime.now(UTC)
    return tuple(_as_request(event, now, ends) for event in events if event.action == REQUEST)


def _for_decision(settings: Settings, request_id: str, who: str) -> Request:
    """The open request, if this person may decide it; a refusal by rule becomes an event."""
    if verify(settings).faults:
        raise StorageError("the audit chain is damaged, so nobody is re-identified: see `erios audit verify`")
    matching = [asked for asked in requests(settings) if asked.id == request_id]
    if not matching:
        raise InputError("there is no such request: see `erios reidentify list`")
    if why := _obstacle(matching[0], who):
        _record(settings, DENY, matching[0], why, who)
        raise RefusedError(f"{why}; the attempt is in the audit chain")
    return matching[0]


def _obstacle(asked: Request, who: str) -> str | None:
    if asked.state == "expired":
        return f"request {asked.id} expired on {asked.expires}: make a new one"
    if asked.state != "open":
        return f"request {asked.id} is {asked.state} already: a request serves once"
    if asked.requester == who:
        return f"{who} made request {asked.id}: another person must decide it"
    return None


def _record(settings: Settings, action: str, asked: Request, reason: str, who: str) -> None:
    details = {"request": asked.id, "purpose": asked.purpose}
    append(settings, action, object=asked.pseudonym, reason=reason, details=details, actor=who)


def _as_request(event: Event, now: datetime, ends: dict[str, str]) -> Request:
    details = event.parsed_details()
    expires = datetime.fromisoformat(event.time) + LIFE
    state = {APPROVE: "approved", REFUSE: "refused"}.get(ends.get(details["request"], ""))
    return Request(
        id=details["request"],
        pseudonym=event.object,
        purpose=details["purpose"],
        reason=event.reason,
        requester=event.actor,
        made=event.time,
        expires=expires.isoformat(timespec="seconds"),
        state=state or ("expired" if now >= expires else "open"),
    )


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise UsageError("a reason is needed, in words that name no patient: it stays in the audit chain")
