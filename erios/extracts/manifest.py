"""The manifest of an extract: every file's digest and rows, one root over them, what it was made from, signed.

Owns its form, the Merkle root (SHA-256 over the files in the order of their paths; leaves and inner nodes apart as in
RFC 6962 §2.1) and the signature (Ed25519, RFC 8032). Whoever holds the root holds every byte: ``check_files`` finds the
first file that differs. No secret is in it; the signing key is derived from the keyring and never written.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from erios.errors import InputError, StorageError
from erios.keys import derive_key

VERSION = 1
NAME, SIGNATURE = "manifest.json", "manifest.sig"
PURPOSE = b"erios extract manifests"


@dataclass(frozen=True)
class FileEntry:
    """A file of the extract: path relative to its folder, SHA-256, bytes, and rows where it is a table's."""

    path: str
    sha256: str
    bytes: int
    rows: int | None = None


@dataclass(frozen=True)
class Manifest:
    """What an extract is. ``specification``: its JSON form; ``policy``: the privacy rules in force (their digest);
    ``key_id``: of the keyring's key from which the study's was derived; ``root``: hexadecimal."""

    extract: str
    study: str
    proposal: int
    release: str
    specification: Mapping[str, Any]
    policy: Mapping[str, str]
    key_id: str
    code: str
    created: str
    files: tuple[FileEntry, ...]
    root: str
    version: int = VERSION

    def to_bytes(self) -> bytes:
        """The canonical JSON that is signed."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def list_files(folder: Path, rows: Mapping[str, int]) -> tuple[FileEntry, ...]:
    """Every file below a folder but manifest and signature, by path; ``rows``: path → rows."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (NAME, SIGNATURE))
    return tuple(_entry(folder, path, rows) for path in paths)


def _entry(folder: Path, path: Path, rows: Mapping[str, int]) -> FileEntry:
    name = path.relative_to(folder).as_posix()
    return FileEntry(name, _digest(path), path.stat().st_size, rows.get(name))


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def root_of(files: Sequence[FileEntry]) -> str:
    """The Merkle root over paths, digests and sizes."""
    leaves = [_leaf(entry) for entry in sorted(files, key=lambda entry: entry.path)]
    return _tree(leaves).hex()


def _leaf(entry: FileEntry) -> bytes:
    return hashlib.sha256(b"\0" + json.dumps([entry.path, entry.sha256, entry.bytes]).encode()).digest()


def _tree(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\1" + _tree(leaves[:split]) + _tree(leaves[split:])).digest()


def write_manifest(folder: Path, manifest: Manifest, keyring: Path) -> None:
    """Write and sign; KeyringError without the key."""
    data = manifest.to_bytes()
    (folder / NAME).write_bytes(data)
    (folder / SIGNATURE).write_text(signature_of(data, keyring, manifest.key_id))


def signature_of(data: bytes, keyring: Path, key_id: str) -> str:
    """The signature of a manifest's bytes, base64 and a newline; KeyringError without the key."""
    return base64.b64encode(_private(keyring, key_id).sign(data)).decode() + "\n"


def read_manifest(folder: Path) -> Manifest:
    """The manifest as it stands, unverified; InputError when it cannot be read."""
    try:
        raw = json.loads((folder / NAME).read_bytes())
        files = tuple(FileEntry(**entry) for entry in raw.pop("files"))
        return Manifest(files=files, **raw)
    except FileNotFoundError:
        raise InputError(f"{folder.name} has no manifest: it is no extract, or not whole") from None
    except (OSError, ValueError, TypeError, KeyError):
        raise InputError(f"the manifest of {folder.name} is damaged: restore the extract, or build it again") from None


def public_key(keyring: Path, key_id: str) -> str:
    """The public half of the key that signs manifests, base64; it may be told to anybody."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return base64.b64encode(
        _private(keyring, key_id).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    ).decode()


def _private(keyring: Path, key_id: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(derive_key(keyring, PURPOSE, key_id).secret)


def verify(folder: Path, public: str, root: str = "") -> Manifest:
    """The manifest, once signature, root and every file hold; InputError says what does not, in one sentence.

    ``root``: what was cleared; a manifest that is whole but another one is refused too.
    """
    manifest = check_signed(folder, public, root)
    for problem in problems(folder, manifest):
        raise InputError(problem)
    return manifest


def check_signed(folder: Path, public: str, root: str = "") -> Manifest:
    """The manifest, once signature and root hold; the files themselves are not read. InputError as in ``verify``."""
    manifest = read_manifest(folder)
    check_signature(folder, public)
    if root_of(manifest.files) != manifest.root:
        raise InputError(f"the root in the manifest of {folder.name} is not that of its files: do not use it")
    if root and manifest.root != root:
        raise InputError(f"{folder.name} is not the extract that was cleared: its root is another; do not use it")
    return manifest


def check_signature(folder: Path, public: str) -> None:
    """InputError unless the manifest in a folder was signed with the key of this public half, base64."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        signature = base64.b64decode((folder / SIGNATURE).read_text().strip(), validate=True)
        Ed25519PublicKey.from_public_bytes(base64.b64decode(public)).verify(signature, (folder / NAME).read_bytes())
    except FileNotFoundError:
        raise InputError(f"the manifest of {folder.name} is not signed: do not use it") from None
    except (InvalidSignature, ValueError):
        raise InputError(
            f"the signature of {folder.name} does not hold: its manifest was changed, or signed with another key"
        ) from None


def problems(folder: Path, manifest: Manifest) -> Iterator[str]:
    """A sentence for each file that is missing, changed, or not in the manifest."""
    entries = {entry.path: entry for entry in manifest.files}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    for path in sorted(entries.keys() - there):
        yield f"{folder.name}: the file {path} is missing; restore the extract, or build it again"
    for path in sorted(there - entries.keys() - {NAME, SIGNATURE}):
        yield f"{folder.name}: the file {path} is not in the manifest; do not use it"
    for path, entry in entries.items():
        if path in there and not _is_same(folder / path, entry):
            yield f"{folder.name}: the file {path} was changed after it was signed; do not use it"


def _is_same(path: Path, entry: FileEntry) -> bool:
    try:
        return not path.is_symlink() and path.stat().st_size == entry.bytes and _digest(path) == entry.sha256
    except OSError as error:
        raise StorageError(f"cannot read {entry.path} of the extract: {error.strerror}") from None
