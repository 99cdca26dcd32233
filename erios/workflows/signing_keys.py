"""The public halves of the keys that sign extracts, as the audit chain has them.

A signature is checked with the key of the chain, never with one that stands beside what it protects.
"""

from __future__ import annotations

from erios.audit import append_all
from erios.audit.chain import Draft
from erios.audit.row_seals import read_facts
from erios.errors import StorageError
from erios.extracts.manifest import public_key
from erios.keys import list_keys
from erios.settings import Settings

PUBLIC = "keys.public"
"""The event that says the public half of a key of the keyring; its object is the key's id."""


def publish_keys(settings: Settings) -> None:
    """Put on record the public half of every key of the keyring that is not there yet."""
    known = read_facts(settings, PUBLIC)
    new = [entry.key_id for entry in list_keys(settings.keyring) if entry.key_id not in known]
    append_all(settings, [Draft(PUBLIC, key, details={"key": public_key(settings.keyring, key)}) for key in new])


def signing_key(settings: Settings, key_id: str) -> str:
    """The public half, base64, of the key that signs; StorageError where the chain knows no such key."""
    known = read_facts(settings, PUBLIC)
    if key_id not in known:
        raise StorageError(f"the audit chain knows no key '{key_id}': what it signed is not opened")
    return str(known[key_id]["key"])
