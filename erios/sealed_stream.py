"""Streams sealed under a passphrase: what leaves the identity zone for a backup.

Owns the form of a sealed stream: chunks of 1 MiB under AES-256-GCM in the STREAM construction (V. T. Hoang and others,
CRYPTO 2015), whose nonce counts the chunks and marks the last, so that none is cut, moved or repeated unseen, each
bound to a *place*; the key by scrypt (RFC 7914) from the passphrase and a salt of its own. It must never write a
passphrase or an opened byte.
"""

from __future__ import annotations

import os
import struct
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from erios.errors import StorageError

CHUNK = 1 << 20
_MAGIC = b"erios sealed stream 1\n"
_SALT, _TAG = 16, 16
_WORK = 2**15
"""scrypt's cost: 32 MiB and a tenth of a second."""


def _cipher(passphrase: bytes, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=_WORK, r=8, p=1).derive(passphrase))


def _nonce(number: int, last: bool) -> bytes:
    return b"\0" * 3 + struct.pack(">QB", number, last)


class Sealer:
    """A file to write to, sealed on its way; ``close`` writes its end, without which nothing of it opens whole."""

    def __init__(self, target: IO[bytes], passphrase: bytes, place: str) -> None:
        salt = os.urandom(_SALT)
        self._target, self._cipher, self._place = target, _cipher(passphrase, salt), place.encode()
        self._number, self._kept = 0, b""
        target.write(_MAGIC + salt)

    def write(self, data: bytes) -> int:
        """Take ``data``; whole chunks go out, the rest waits."""
        self._kept += data
        while len(self._kept) > CHUNK:
            self._put(self._kept[:CHUNK], last=False)
            self._kept = self._kept[CHUNK:]
        return len(data)

    def _put(self, chunk: bytes, *, last: bool) -> None:
        self._target.write(self._cipher.encrypt(_nonce(self._number, last), chunk, self._place))
        self._number += 1

    def close(self) -> None:
        """Write the last chunk."""
        self._put(self._kept, last=True)


class Opener:
    """A sealed stream to read from. StorageError for another passphrase, and for a stream that was changed or cut."""

    def __init__(self, source: IO[bytes], passphrase: bytes, place: str) -> None:
        head = source.read(len(_MAGIC) + _SALT)
        if not head.startswith(_MAGIC) or len(head) < len(_MAGIC) + _SALT:
            raise StorageError("this is no sealed stream of a backup")
        self._source, self._cipher, self._number = source, _cipher(passphrase, head[len(_MAGIC) :]), 0
        self._place = place.encode()
        self._ahead, self._opened, self._ended = source.read(CHUNK + _TAG), b"", False

    def read(self, size: int = -1) -> bytes:
        """The next bytes, ``size`` at most; all of them without a size."""
        while not self._ended and (size < 0 or len(self._opened) < size):
            self._opened += self._next()
        size = len(self._opened) if size < 0 else size
        told, self._opened = self._opened[:size], self._opened[size:]
        return told

    def _next(self) -> bytes:
        chunk, self._ahead = self._ahead, self._source.read(CHUNK + _TAG)
        self._ended = not self._ahead
        try:
            opened = self._cipher.decrypt(_nonce(self._number, self._ended), chunk, self._place)
        except InvalidTag:
            first = "this is not its passphrase, or its first bytes were changed"
            raise StorageError(first if not self._number else "the sealed stream was changed or cut") from None
        self._number += 1
        return opened
