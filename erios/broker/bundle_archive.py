"""A bundle's files on their way through the broker: packed by who can read them, unpacked into a folder of their own.

Owns the limits. What is unpacked are plain files and folders below one folder: no link, no device, no other name.
"""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath
from typing import IO

from erios.errors import InputError, UsageError

MOST_FILES, MOST_BYTES = 10_000, 4 * 2**30
"""Of a bundle, with the weights that it starts from."""
_LEFT_OUT = {"__pycache__", ".git", "models", "eval"}
"""What a run's copy of a bundle leaves behind too."""


def pack_bundle(folder: Path, target: IO[bytes]) -> None:
    """Write a bundle's files; UsageError for links and for what is no file."""
    with tarfile.open(fileobj=target, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if _LEFT_OUT & set(name.parts):
                continue
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise UsageError(f"a bundle holds files and folders alone, and {name} is neither")
            archive.add(path, arcname=str(name), recursive=False)


def unpack_bundle(source: IO[bytes], folder: Path) -> None:
    """Read what ``pack_bundle`` wrote, or what somebody hands in its place; InputError."""
    files = size = 0
    try:
        with tarfile.open(fileobj=source, mode="r|") as archive:
            for member in archive:
                files, size = files + 1, size + member.size
                _check(member, files, size)
                member.mode, member.uid, member.gid, member.uname, member.gname = 0o600, 0, 0, "", ""
                _write(archive, member, folder)
    except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
        raise InputError(f"this bundle cannot be unpacked ({type(error).__name__})") from None


def _check(member: tarfile.TarInfo, files: int, size: int) -> None:
    name = PurePosixPath(member.name)
    plain = not name.is_absolute() and ".." not in name.parts and name.parts
    if not plain or not (member.isreg() or member.isdir()) or member.issparse():
        raise InputError("a bundle holds files and folders of its own alone")
    if files > MOST_FILES or size > MOST_BYTES or member.size < 0:
        raise InputError(f"a bundle holds at most {MOST_FILES:,} files and {MOST_BYTES // 2**30} GiB")


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    target = folder / member.name
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    content = archive.extractfile(member)
    with target.open("xb") as written:
        while content and (piece := content.read(2**20)):
            written.write(piece)
