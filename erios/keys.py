"""The keyring: the secrets behind the pseudonyms, in one file that only its owner can read.

Owns the file's form and its permissions, and the keys derived from its secrets for other purposes. A secret must
never be printed, logged or derived from anything; a key's id says nothing about its secret. The form allows several
keys, one of them current, so that pseudonyms made under an older key can still be made again.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erios.errors import KeyringError, StorageError
from erios.settings import make_folder
from etl.files import PRIVATE, write_atomically

if TYPE_CHECKING:
    from etl.privacy import PseudonymKey
    from etl.sealing import SealingKey
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etl.privacy import PseudonymKey

VERSION = 1
SECRET_BYTES = 32
_DERIVATION_SALT = b"erios derived keys 1"
_LOST = "restore it from its backup: a new keyring would give every patient a new pseudonym"


@dataclass(frozen=True)
class KeyEntry:
    """What may be shown of a key: never its secret."""

    key_id: str
    created: str
    current: bool


def init_keyring(path: Path) -> str:
    """Make a keyring with one new key (256 random bits) and answer the key's id.

    The file appears whole or not at all, mode 0600. KeyringError if one is already there; StorageError if it
    cannot be written.
    """
    if path.exists():
        raise KeyringError(f"there is a keyring at {path} already; `erios keys list` shows its keys")
    key_id = secrets.token_hex(4)
    _write_once(path, {"version": VERSION, "current": key_id, "keys": {key_id: _new_entry()}})
    return key_id


def _new_entry() -> dict[str, str]:
    return {
        "secret": base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def rotate_key(path: Path) -> str:
    """Add a new key and make it the current one; older keys stay, so that what they made can be made again.

    Answers its id. KeyringError as in ``read_key``, StorageError when it cannot be written.
    """
    ring = _read(path)
    key_id = secrets.token_hex(4)
    ring["keys"][key_id] = _new_entry()
    ring["current"] = key_id
    _write(path, ring, overwrite=True)
    return key_id


def read_key(path: Path, key_id: str | None = None) -> PseudonymKey:
    """The current key, or the one named; KeyringError if the keyring or the key is missing or unfit."""
    from etl.privacy import PseudonymKey

    ring = _read(path)
    wanted = key_id or ring["current"]
    if wanted not in ring["keys"]:
        raise KeyringError(f"no key '{wanted}' in {path}; it holds {', '.join(ring['keys'])}")
    return PseudonymKey(wanted, _secret(ring["keys"][wanted], path))


def derive_key(path: Path, purpose: bytes, key_id: str | None = None) -> SealingKey:
    """The key for one purpose, derived (HKDF-SHA-256, RFC 5869) from the current secret or the one named.

    Knowing it tells nothing of the secret, of its pseudonyms, or of the key for another purpose. KeyringError as in
    ``read_key``.
    """
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    from etl.sealing import KEY_BYTES, SealingKey

    key = read_key(path, key_id)
    kdf = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=_DERIVATION_SALT, info=purpose)
    return SealingKey(key.key_id, kdf.derive(key.secret))


def list_keys(path: Path) -> tuple[KeyEntry, ...]:
    """Ids and dates of the keyring's keys, oldest first; KeyringError as in ``read_key``."""
    ring = _read(path)
    entries = [KeyEntry(name, key["created"], name == ring["current"]) for name, key in ring["keys"].items()]
    return tuple(sorted(entries, key=lambda entry: entry.created))


def _write_once(path: Path, ring: Mapping[str, Any]) -> None:
    """Write a private file; KeyringError if there is one already."""
    make_folder(path.parent, 0o700)
    try:
        _write(path, ring, overwrite=False)
    except FileExistsError:
        raise KeyringError(f"there is a keyring at {path} already; nothing was changed") from None


def _write(path: Path, ring: Mapping[str, Any], *, overwrite: bool) -> None:
    """Write a private file whole or not at all."""
    try:
        write_atomically(path, json.dumps(ring, indent=2).encode(), PRIVATE, overwrite=overwrite)
    except FileExistsError:
        raise
    except OSError as error:
        raise StorageError(f"cannot write the keyring {path}: {error.strerror}") from None


def _read(path: Path) -> dict[str, Any]:
    """The keyring's content, checked; its text never reaches an error."""
    try:
        with path.open(encoding="utf-8") as file:
            _check_mode(path, os.fstat(file.fileno()).st_mode)
            ring = json.load(file)
    except FileNotFoundError:
        raise KeyringError(f"no keyring at {path}: run `erios keys init`, once, and back it up") from None
    except PermissionError:
        raise KeyringError(f"no permission to read the keyring {path}: run as its owner") from None
    except ValueError:
        raise KeyringError(f"the keyring {path} is damaged: {_LOST}") from None
    if not _is_whole(ring):
        raise KeyringError(f"the keyring {path} is damaged or of another version: {_LOST}")
    return dict(ring)


def _check_mode(path: Path, mode: int) -> None:
    if mode & 0o077:
        raise KeyringError(
            f"the keyring {path} is open to others (mode {mode & 0o777:04o}):"
            " find out who read it, then run `chmod 600` on it"
        )


def _is_whole(ring: Any) -> bool:
    """Version, current key and, for each key, a secret and a date."""
    if not isinstance(ring, dict) or ring.get("version") != VERSION or not isinstance(ring.get("keys"), dict):
        return False
    entries = ring["keys"].values()
    return ring.get("current") in ring["keys"] and all(
        isinstance(entry, dict) and isinstance(entry.get("secret"), str) and isinstance(entry.get("created"), str)
        for entry in entries
    )


def _secret(entry: Mapping[str, str], path: Path) -> bytes:
    try:
        secret = base64.b64decode(entry["secret"], validate=True)
    except binascii.Error:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise KeyringError(f"a key of the keyring {path} is damaged: {_LOST}")
    return secret


def study_key(keyring: Path, study: str, key_id: str) -> PseudonymKey:
    """The key of one study's pseudonyms, derived (HKDF, RFC 5869) from the keyring's: no other study's tells it."""
    from etl.privacy import PseudonymKey

    derived = derive_key(keyring, f"erios study pseudonyms {study}".encode(), key_id)
    return PseudonymKey(derived.key_id, derived.secret)
