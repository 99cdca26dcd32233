"""What citizens ask of the data protection office, sealed in the identity zone: their names are clear identity.

Owns ``<identity>/requests``: one sealed file a request, named by its number. Neither the governance database nor the
audit chain holds more than that number.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from erios.audit import append
from erios.settings import Settings, make_folder
from erios.vault import Vault
from etl.sealing import write_private


def keep_request(settings: Settings, asked: Mapping[str, Any]) -> str:
    """Seal a request; answers the number that its sender is given."""
    number = f"D{datetime.now(UTC):%y%m%d}-{secrets.token_hex(3).upper()}"
    folder = settings.identity / "requests"
    make_folder(folder, 0o700)
    content = {"number": number, "received": datetime.now(UTC).isoformat(timespec="minutes"), **asked}
    sealed = Vault(settings.keyring).seal(json.dumps(content).encode(), f"request {number}")
    write_private(folder / f"{number}.sealed", sealed)
    append(settings, "request.receive", object=number, actor="public")
    return number


def open_requests(settings: Settings, *, by: str) -> Iterator[dict[str, Any]]:
    """All requests, newest first; opening them is an event."""
    paths = sorted((settings.identity / "requests").glob("D*.sealed"), reverse=True)
    if paths:
        append(settings, "request.read", details={"requests": len(paths)}, actor=by)
    vault = Vault(settings.keyring)
    for path in paths:
        yield dict(json.loads(vault.unseal(path.read_bytes(), f"request {path.stem}")))
