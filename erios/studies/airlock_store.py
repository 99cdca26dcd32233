"""The bytes of files that are asked out, with their study under their SHA-256: written once, hashed whenever read.

``studies/<number>/airlock/files/<digest>/<name>``: the checks judge a file by its name too. A file whose bytes are not
those of its digest is nobody's any more.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from erios.errors import InputError, StorageError
from erios.settings import load_settings, make_folder
from etl.files import PRIVATE, write_atomically


def airlock_folder(study: str) -> Path:
    """Where a study's airlock lies; each release is a folder of its own there."""
    return load_settings().studies / study / "airlock"


def path_of(study: str, digest: str, name: str) -> Path:
    """Where the bytes of a digest lie under a name."""
    return airlock_folder(study) / "files" / digest / name


def keep_bytes(study: str, name: str, content: bytes) -> str:
    """Store a file's bytes under a checked name; answers their digest. StorageError."""
    digest = hashlib.sha256(content).hexdigest()
    path = path_of(study, digest, name)
    make_folder(path.parent.parent, 0o700)
    make_folder(path.parent, 0o700)
    try:
        write_atomically(path, content, PRIVATE)
    except OSError as error:
        raise StorageError(f"cannot store a file in the airlock of {study}: {error.strerror}") from None
    return digest


def read_source(path: Path) -> bytes:
    """The bytes of a file that somebody wants to let out; InputError for what is no file or too big."""
    if path.is_symlink() or not path.is_file():
        raise InputError(f"{path.name} is no file: the airlock takes files, one by one")
    most = load_settings().airlock.model_mb
    try:
        if path.stat().st_size > most << 20:
            raise InputError(f"{path.name} has more than {most} MiB, the most that the airlock takes")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path.name}: {error.strerror}") from None


def read_intact(study: str, digest: str, name: str) -> bytes | None:
    """The bytes of a digest; None where they are not there, or not those of the digest any more."""
    path = path_of(study, digest, name)
    try:
        content = None if path.is_symlink() else path.read_bytes()
    except OSError:
        return None
    return content if content is not None and hashlib.sha256(content).hexdigest() == digest else None
