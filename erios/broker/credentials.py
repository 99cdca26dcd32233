"""A person's password for the tracking server, in the file of their home where MLflow looks for it."""

from __future__ import annotations

from pathlib import Path

from erios.errors import StorageError
from erios.settings import make_folder
from etl.files import PRIVATE, write_atomically


def write_credentials(text: bytes) -> Path:
    """Whole or not at all, readable by its owner alone; answers where."""
    path = Path.home() / ".mlflow" / "credentials"
    make_folder(path.parent, 0o700)
    try:
        write_atomically(path, text, PRIVATE)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from None
    return path
