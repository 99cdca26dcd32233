"""Anchors: the chain's end as another body keeps it, and the time that a time-stamping authority of the hospital gives.

Chain and witness, both put back from one old copy, fit each other; only who kept a later end elsewhere can tell. An
anchor is a small file with the number and the seal of the last event, no word of what was decided, and, where an
authority is set, its time-stamp over both (RFC 3161). It needs no secret, and lies best where nobody who can write the
zones can write.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from erios.audit.chain import GENESIS
from erios.audit.store import opened_chain
from erios.errors import InputError, MachineError
from erios.settings import Settings

FORMAT = 1
"""The form of the file; a reader of a later form says that it cannot read this one."""
PATIENCE = 30
"""Seconds that the authority has to answer."""
_SEAL = "SELECT seal FROM audit_event WHERE number = ?"


@dataclass(frozen=True)
class Anchor:
    """The end of the chain at an instant: number and seal of the last event, and an authority's answer or nothing."""

    events: int
    seal: str
    made: str
    timestamp: bytes = b""

    @property
    def message(self) -> bytes:
        """What the authority puts its time to."""
        return f"erios audit chain\n{self.events}\n{self.seal}\n".encode("ascii")


def make_anchor(settings: Settings, events: int, seal: str) -> Anchor:
    """The anchor of an end, time-stamped where ``[anchor]`` names an authority. MachineError when that gives none."""
    anchor = Anchor(events, seal, datetime.now(UTC).isoformat(timespec="seconds"))
    url = settings.anchor.timestamp_url
    if not url:
        return anchor
    stamped = Anchor(events, seal, anchor.made, _ask(url, anchor.message))
    try:
        stamped_at(settings, stamped)
    except InputError as error:
        raise MachineError(f"{url} gave a time-stamp that does not hold: {error.sentence}") from None
    return stamped


def _ask(url: str, message: bytes) -> bytes:
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    asked = TimestampRequestBuilder().data(message).hash_algorithm(HashAlgorithm.SHA256).build().as_bytes()
    request = Request(url, asked, {"Content-Type": "application/timestamp-query"})
    try:
        with urlopen(request, timeout=PATIENCE) as answer:
            return bytes(answer.read())
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise MachineError(f"the time-stamping authority {url} does not answer: {reason}") from None


def stamped_at(settings: Settings, anchor: Anchor) -> datetime | None:
    """The instant that an authority gave an anchor, None without one; InputError when the time-stamp does not hold."""
    if not anchor.timestamp:
        return None
    from cryptography.x509 import load_pem_x509_certificates
    from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

    trusted = settings.anchor.timestamp_authority
    if trusted is None:
        raise InputError(
            "the anchor bears a time-stamp, and anchor.timestamp_authority names no certificate to check it"
        )
    try:
        given = load_pem_x509_certificates(trusted.read_bytes())
        roots, between = ([c for c in given if (c.issuer == c.subject) is root] for root in (True, False))
        answer = decode_timestamp_response(anchor.timestamp)
        VerifierBuilder(roots=roots, intermediates=between).build().verify_message(answer, anchor.message)
    except (OSError, ValueError, VerificationError) as error:
        raise InputError(f"the anchor's time-stamp does not hold by {trusted}: {error}") from None
    return answer.tst_info.gen_time


def write_anchor(path: Path, anchor: Anchor) -> None:
    """A new file with the anchor. InputError when there is one, or it cannot be written."""
    stamp = base64.b64encode(anchor.timestamp).decode("ascii")
    told = {"format": FORMAT, "events": anchor.events, "seal": anchor.seal, "made": anchor.made, "timestamp": stamp}
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(json.dumps(told, indent=1) + "\n")
    except FileExistsError:
        raise InputError(f"{path} is there already, and an anchor is never written over: name another file") from None
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None


def read_anchor(path: Path) -> Anchor:
    """The anchor of a file; InputError for any other file."""
    try:
        told = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise InputError(f"{path} is no anchor of an audit chain") from None
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise InputError(f"{path} is no anchor of an audit chain, or of another form than {FORMAT}")
    return _anchor(path, told)


def _anchor(path: Path, told: dict[str, Any]) -> Anchor:
    try:
        stamp = base64.b64decode(told["timestamp"], validate=True)
        anchor = Anchor(int(told["events"]), str(told["seal"]), str(told["made"]), stamp)
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path} is a damaged anchor: ask its keeper for another copy") from None
    if anchor.events < 1 or len(anchor.seal) != len(GENESIS) or not anchor.seal.isalnum():
        raise InputError(f"{path} is a damaged anchor: ask its keeper for another copy")
    return anchor


def anchor_faults(settings: Settings, anchor: Anchor) -> tuple[str, ...]:
    """A sentence where the chain has not the event that the anchor knows, or another in its place."""
    with opened_chain(settings) as chain:
        row = chain.run(_SEAL, (anchor.events,)).fetchone() if chain else None
    if row and row[0] == anchor.seal:
        return ()
    what = "is another one than" if row else "is not there, but was"
    return (f"event {anchor.events} {what} when the anchor of {anchor.made} was made: an older copy was put back",)
