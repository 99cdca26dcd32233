"""What lies in a study's shared folder, on its way to the airlock: read past the walls, and never through a link.

Owns the reading. Programs of the team write the folder from inside a workspace, so that nothing in it is what it says.
"""

from __future__ import annotations

from pathlib import Path

from erios.errors import InputError
from erios.settings import load_settings
from experiments.errors import SandboxError
from experiments.sandbox.collected_files import list_plain, read_plain

MOST_SHOWN = 500
"""Names that a page offers."""


def folder_of(study: str) -> Path:
    """The shared folder of a study's workspaces."""
    return load_settings().studies / study / "shared" / "files"


def shared_files(study: str) -> list[str]:
    """Names of the plain files that a study shares, the first ones in order."""
    folder = folder_of(study)
    return list_plain(folder, MOST_SHOWN) if folder.is_dir() else []


def read_shared(study: str, name: str) -> bytes:
    """The bytes of one; InputError for what is no plain file below the folder, or larger than the airlock takes."""
    try:
        return read_plain(folder_of(study), name, load_settings().airlock.model_mb << 20)
    except SandboxError:
        raise InputError("this name is no file of the study's shared folder that the airlock takes") from None
