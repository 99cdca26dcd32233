"""Sealing: bytes at rest that nobody reads or changes without the key (AES-256-GCM, NIST SP 800-38D).

Owns the sealed form and the atomic writing of private files. It takes key material as a value, like
``etl.privacy``, and must never read a keyring nor put key or content into an error. Every sealed thing is bound to
its *place* (a text such as ``batch/file``): what was moved, swapped or cut does not open.

Form: ``erios-sealed-1``, length of the key id, key id, 12 random bytes, ciphertext with its tag of 16 bytes.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from etl.errors import PrivacyError, StorageError, refusal
from etl.files import PRIVATE, write_atomically

MAGIC = b"erios-sealed-1"
KEY_BYTES = 32
_NONCE = 12


@dataclass(frozen=True)
class SealingKey:
    """32 bytes derived for one purpose from the key named ``key_id``; the secret never shows in ``repr``."""

    key_id: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise PrivacyError(f"a sealing key has {KEY_BYTES} secret bytes")


FindKey = Callable[[str], SealingKey]
"""Key id → key."""


def seal(data: bytes, key: SealingKey, place: str) -> bytes:
    """``data``, encrypted and bound to ``place``; twice the same data gives two different seals."""
    head = _head(key.key_id)
    nonce = secrets.token_bytes(_NONCE)
    return head + nonce + AESGCM(key.secret).encrypt(nonce, data, head + place.encode())


def unseal(sealed: bytes, find_key: FindKey, place: str) -> bytes:
    """What was sealed for ``place``; StorageError when it is damaged, of another place or of another key."""
    key_id, body = _split(sealed, place)
    try:
        return AESGCM(find_key(key_id).secret).decrypt(body[:_NONCE], body[_NONCE:], _head(key_id) + place.encode())
    except (InvalidTag, ValueError):
        raise _damaged(place) from None


def _head(key_id: str) -> bytes:
    name = key_id.encode()
    return MAGIC + bytes([len(name)]) + name


def _split(sealed: bytes, place: str) -> tuple[str, bytes]:
    """The key id and what follows the head."""
    start = len(MAGIC) + 1
    if not sealed.startswith(MAGIC) or len(sealed) < start:
        raise _damaged(place)
    end = start + sealed[len(MAGIC)]
    name = sealed[start:end]
    if not name.isascii() or len(sealed) < end + _NONCE:
        raise _damaged(place)
    return name.decode(), sealed[end:]


def _damaged(place: str) -> StorageError:
    return StorageError(f"sealed data ({place}) are damaged or of another place: restore them from their backup")


def write_private(path: Path, data: bytes) -> None:
    """Write a file of mode 0600 whole or not at all; missing folders are made with mode 0700.

    StorageError names the folder.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(path, data, PRIVATE)
    except OSError as error:
        raise StorageError(f"cannot write in {path.parent}, nothing was changed: {refusal(error)}") from None
