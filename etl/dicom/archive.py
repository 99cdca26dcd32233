"""Zips of DICOM files: a series is one, in landing as received and in the warehouse de-identified.

Members are ``000001.dcm``…, without times and names of the source, so that the same content gives the same bytes. Zips
that a hospital sends may be hostile: paths that lead outside, links and zip bombs are refused.
"""

from __future__ import annotations

import hashlib
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from etl.errors import InputError

_EPOCH = (1980, 1, 1, 0, 0, 0)
_MOST_MEMBERS = 200_000
_RATIO = 250
_SMALL = 64 << 20
"""A zip that unpacks to fewer bytes is no bomb, whatever its ratio."""
_LEVEL = 6
_BLOCK = 1 << 20
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class SeriesWriter:
    """Adds DICOM files to the zip of a series, one after the other."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.count = 0

    def add(self, content: bytes) -> None:
        """The next file of the series."""
        self.count += 1
        with self._archive.open(self._next(), "w") as out:
            out.write(content)

    def add_file(self, path: Path) -> None:
        """The next file of the series, copied block by block."""
        self.count += 1
        with path.open("rb") as source, self._archive.open(self._next(), "w", force_zip64=True) as out:
            shutil.copyfileobj(source, out, _BLOCK)

    def _next(self) -> zipfile.ZipInfo:
        info = zipfile.ZipInfo(f"{self.count:06d}.dcm", _EPOCH)
        info.compress_type, info.external_attr = self._archive.compression, 0o400 << 16
        info.create_system = 3
        return info


@contextmanager
def series_writer(path: Path, *, compress: bool) -> Iterator[SeriesWriter]:
    """Write the zip of a series; ``compress`` costs time and saves half of the disk."""
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method, compresslevel=_LEVEL if compress else None) as archive:
        yield SeriesWriter(archive)


def store_series(folder: Path, name: str, images: Iterable[bytes]) -> tuple[str, int]:
    """Write DICOM files as ``<sha256>.zip`` in ``folder``, atomically; returns the digest and the size in bytes.

    ``name`` distinguishes the temporary file from those of other writers.
    """
    draft = folder / f".{name}.new"
    try:
        with series_writer(draft, compress=True) as out:
            for image in images:
                out.add(image)
        with draft.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        size = draft.stat().st_size
        draft.rename(folder / f"{digest}.zip")
    finally:
        draft.unlink(missing_ok=True)
    return digest, size


def members(path: Path) -> Iterator[bytes]:
    """The DICOM files of a series' zip, in order."""
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            yield archive.read(name)


def is_zip(path: Path) -> bool:
    """Does the file begin as a zip does?"""
    try:
        with path.open("rb") as handle:
            return handle.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False


def unpack(path: Path, folder: Path, most_bytes: int) -> None:
    """Unpack a zip into a new folder; the files get numbers as names, and keep their suffixes.

    Raises InputError for a path that leads outside, a link, an encrypted or nested zip, a damaged one, and one that
    unpacks to more than ``most_bytes`` or to far more than its own size.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _check(path, entries, most_bytes)
            folder.mkdir(parents=True)
            _unpack(path, archive, entries, folder, most_bytes)
    except DAMAGED:
        raise InputError(f"{path.name} is a damaged zip; fetch it again") from None


def _check(path: Path, entries: Sequence[zipfile.ZipInfo], most_bytes: int) -> None:
    if len(entries) > _MOST_MEMBERS:
        raise InputError(f"{path.name} holds more than {_MOST_MEMBERS:,} files; split it")
    for entry in entries:
        name = PurePosixPath(entry.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
            raise InputError(f"{path.name} holds a file whose path leads outside of it; nothing of it was taken")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise InputError(f"{path.name} holds a link; nothing of it was taken")
        if entry.flag_bits & 1:
            raise InputError(f"{path.name} is encrypted; send it open over an encrypted way")
    _check_size(path, sum(entry.file_size for entry in entries), most_bytes)


def _check_size(path: Path, size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise InputError(
            f"{path.name} unpacks to more than {most_bytes >> 20:,} MB; split it, or raise load.max_unpacked_mb"
        )
    if size > _SMALL and size > _RATIO * path.stat().st_size:
        raise InputError(f"{path.name} unpacks to more than {_RATIO} times its size, as a zip bomb does; it is refused")


def _unpack(
    path: Path, archive: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo], folder: Path, most_bytes: int
) -> None:
    size = 0
    for number, entry in enumerate(entries, start=1):
        suffix = "".join(PurePosixPath(entry.filename).suffixes[-2:]).lower()
        target = folder / f"{number:06d}{suffix if suffix.isascii() and len(suffix) < 20 else ''}"
        with archive.open(entry) as source, target.open("wb") as out:
            for block in _blocks(source):
                size += len(block)
                _check_size(path, size, most_bytes)
                out.write(block)
        if is_zip(target):
            raise InputError(f"{path.name} holds another zip; unpack it first")


def _blocks(source: IO[bytes]) -> Iterator[bytes]:
    while block := source.read(_BLOCK):
        yield block
