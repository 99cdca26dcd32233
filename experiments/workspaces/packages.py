"""Wheels for the mirror from which workspaces install: what one holds is looked at, and nothing of it is run.

Owns what is refused: archives that are not what their own list says, files that Python runs by themselves or unpickles,
and machine code unless somebody answers for it. Only wheels: a source archive runs its author's program to be built.
"""

from __future__ import annotations

import base64
import csv
import re
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import Parser
from hashlib import file_digest, new
from io import StringIO
from pathlib import Path, PurePosixPath

from experiments.errors import DataError

_NAME = re.compile(r"[A-Za-z0-9_.]+-[A-Za-z0-9_.!+]+(-\d\w*)?-[\w.]+-[\w.]+-[\w.]+\.whl")
_MOST = 2**31
_PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".pt", ".ckpt")
_NATIVE = (".so", ".dylib", ".dll", ".pyd", ".exe", ".a", ".bin")
_ELF = b"\x7fELF"


@dataclass(frozen=True)
class Wheel:
    """What a wheel says of itself, and its bytes' SHA-256; ``native``: files of machine code."""

    file: str
    name: str
    version: str
    licence: str
    digest: str
    native: tuple[str, ...]


def read_wheel(path: Path) -> Wheel:
    """The wheel, once all of it holds; DataError says what does not."""
    if not _NAME.fullmatch(path.name):
        raise DataError(f"{path.name} is no wheel: only wheels (.whl) are taken, built on a machine that has a network")
    try:
        with path.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
        with zipfile.ZipFile(path) as archive:
            facts = _facts(archive, path.name)
            return Wheel(path.name, *facts, digest, tuple(_looked_through(archive, path.name)))
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError, RuntimeError, NotImplementedError):
        raise DataError(f"{path.name} cannot be read as a wheel") from None


def _facts(archive: zipfile.ZipFile, name: str) -> tuple[str, str, str]:
    listed = [entry for entry in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", entry)]
    if len(listed) != 1:
        raise DataError(f"{name} has not one METADATA")
    said = Parser().parsestr(archive.read(listed[0]).decode())
    classified = [text.rpartition(" :: ")[2] for text in said.get_all("Classifier", []) if text.startswith("License")]
    short = said.get("License", "").strip().splitlines()[:1]
    licence = said.get("License-Expression", "") or "; ".join(classified) or "".join(short)
    return said.get("Name", ""), said.get("Version", ""), licence


def _looked_through(archive: zipfile.ZipFile, name: str) -> Iterator[str]:
    """Every file against the wheel's list; gives those of machine code."""
    record = _record(archive, name)
    if sum(entry.file_size for entry in archive.infolist()) > _MOST:
        raise DataError(f"{name} unpacks to more than {_MOST >> 30} GiB")
    if len({entry.filename for entry in archive.infolist()}) != len(archive.infolist()):
        raise DataError(f"{name} has two files of one name")
    for entry in archive.infolist():
        if entry.is_dir():
            continue
        _check_place(entry, name)
        content = archive.read(entry)
        _check_digest(entry.filename, content, record, name)
        if entry.filename.endswith(_NATIVE) or content.startswith(_ELF):
            yield entry.filename


def _record(archive: zipfile.ZipFile, name: str) -> dict[str, str]:
    listed = [entry for entry in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/RECORD", entry)]
    if len(listed) != 1:
        raise DataError(f"{name} has not one RECORD")
    rows = csv.reader(StringIO(archive.read(listed[0]).decode()))
    return {row[0]: row[1] for row in rows if len(row) == 3} | {listed[0]: ""}


def _check_place(entry: zipfile.ZipInfo, name: str) -> None:
    path = PurePosixPath(entry.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or "\0" in entry.filename:
        raise DataError(f"{name} holds a file outside of its folder")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise DataError(f"{name} holds a link")
    if path.suffix == ".pth" or path.name in ("sitecustomize.py", "usercustomize.py"):
        raise DataError(f"{name} holds {path.name}, which Python would run by itself")
    if path.suffix in _PICKLES:
        raise DataError(f"{name} holds {path.name}, which is unpickled by whoever opens it")


def _check_digest(file: str, content: bytes, record: dict[str, str], name: str) -> None:
    """The file as the wheel's list has it; the list itself and its signatures are in none."""
    if file.endswith((".dist-info/RECORD", ".dist-info/RECORD.jws", ".dist-info/RECORD.p7s")):
        return
    kind, _equals, digest = record.get(file, "").partition("=")
    if kind not in ("sha256", "sha384", "sha512"):
        raise DataError(f"{name} does not list {file} with its digest")
    if base64.urlsafe_b64encode(new(kind, content).digest()).rstrip(b"=").decode() != digest:
        raise DataError(f"{file} is not what {name} lists")
