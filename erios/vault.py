"""The vault: what lies in the identity zone, sealed under keys of its own.

Owns the purpose from which its keys are derived, and the look-up of the key that sealed a thing: after the keyring
has a new current key, what older keys sealed still opens. It must never write a key or an opened thing.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from pathlib import Path

from erios.keys import derive_key
from etl.sealing import SealingKey, seal, unseal

PURPOSE = b"erios identity zone"
DIGEST_PURPOSE = b"erios identity zone: digests"


def sealing_key(keyring: Path, key_id: str | None = None) -> SealingKey:
    """The identity zone's key derived from the current key, or the one named; KeyringError as in ``read_key``."""
    return derive_key(keyring, PURPOSE, key_id)


@dataclass
class Vault:
    """Seals under the keyring's current key and opens under any; each key is read once."""

    keyring: Path
    _keys: dict[str | None, SealingKey] = field(default_factory=dict, repr=False)

    def key(self, key_id: str | None = None) -> SealingKey:
        """The sealing key of a key id, of the current key without one."""
        if key_id not in self._keys:
            self._keys[key_id] = sealing_key(self.keyring, key_id)
        return self._keys[key_id]

    def seal(self, data: bytes, place: str) -> bytes:
        """``data`` sealed for ``place``."""
        return seal(data, self.key(), place)

    def unseal(self, sealed: bytes, place: str) -> bytes:
        """What was sealed for ``place``; ``etl.errors.StorageError`` when it is damaged or of another place."""
        return unseal(sealed, self.key, place)

    def digest(self, data: bytes) -> str:
        """A keyed digest, 32 hexadecimal digits: it tells nothing of ``data`` to somebody without the key."""
        return hmac.digest(derive_key(self.keyring, DIGEST_PURPOSE).secret, data, "sha256").hex()[:32]
