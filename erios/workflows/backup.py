"""A backup of the zones and the governance database, sealed under a passphrase; and the way back from it.

Owns the form of a backup and the order of copying: the identity zone with the witness of the audit chain first, the
chain after it, so that the chain is never shorter than its witness says. A backup appears whole or not at all; a
restore checks every byte before anything is put in its place, and ends by proving that what was restored holds.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from erios.audit import append
from erios.errors import InputError, MachineError, StorageError, UsageError
from erios.sealed_stream import Opener, Sealer
from erios.settings import ZONES, Settings, make_folder
from erios.workflows.database import open_database
from erios.workflows.record import verify_record
from etl.files import write_atomically
from etl.warehouse.release import exclusive, open_release, release_ids

FORM = 1
MANIFEST = "manifest.json"
ORDER = ("identity", "landing", "warehouse", "studies", "tracking", "governance")
_DUMP = "governance.pgdump"
_SQLITE = b"SQLite format 3\0"
_WAITING = (".db-wal", ".db-shm", ".db-journal")
SHORTEST = 12
"""Characters of a passphrase, at least."""


@dataclass(frozen=True)
class SealedZone:
    """A zone in a backup: its sealed file with digest and bytes, and how many files it holds."""

    zone: str
    file: str
    sha256: str
    bytes: int
    files: int


@dataclass(frozen=True)
class Manifest:
    """What a backup is; nothing of what it holds. ``id`` is random and bound to every part."""

    id: str
    created: str
    program: str
    parts: tuple[SealedZone, ...]
    form: int = FORM


def create(destination: Path, passphrase: str, settings: Settings, zones: Sequence[str] = ORDER) -> Manifest:
    """Back the zones up into a new folder; loads and upkeep wait meanwhile, portal and runs go on.

    Raises UsageError, BusyError while a load runs, StorageError, MachineError without pg_dump for PostgreSQL.
    """
    _check_destination(destination, settings)
    _check_passphrase(passphrase)
    draft = destination.with_name(f".{destination.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    make_folder(draft, 0o700)
    backup_id = secrets.token_hex(8)
    try:
        with exclusive(settings.warehouse):
            parts = tuple(_back_up(zone, draft, backup_id, passphrase, settings) for zone in ORDER if zone in zones)
        manifest = Manifest(backup_id, datetime.now(UTC).isoformat(timespec="seconds"), version("erios"), parts)
        _write(draft / MANIFEST, json.dumps(asdict(manifest), indent=1).encode())
        draft.rename(destination)
    except OSError as error:
        raise StorageError(f"the backup cannot be written to {destination}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    append(settings, "backup.create", object=backup_id, details={"zones": [part.zone for part in parts]})
    if settings.compliance.backup_stamp:
        settings.compliance.backup_stamp.touch()
    return manifest


def verify(source: Path, passphrase: str) -> Manifest:
    """Open every byte of a backup; StorageError or InputError says what does not hold."""
    manifest = read_manifest(source)
    for part in manifest.parts:
        files = 0
        with _opened(source, part, manifest.id, passphrase) as tar:
            for member in tar:
                files += member.isfile()
        if files != part.files:
            raise StorageError(f"{part.file} holds {files} files, not {part.files}")
    return manifest


def restore(source: Path, passphrase: str, settings: Settings) -> list[str]:
    """Put a backup into the empty zones of these settings; answers, a sentence each, what was proved of it.

    Whoever is killed here runs the same command again: the last zone to take its place says that the restore is done.
    """
    manifest = verify(source, passphrase)
    zones = [part.zone for part in manifest.parts][::-1]  # identity last
    _check_empty(settings, zones)
    for part in manifest.parts:
        draft = _draft(settings, part.zone)
        shutil.rmtree(draft, ignore_errors=True)
        make_folder(draft, ZONES[part.zone])
        with _opened(source, part, manifest.id, passphrase) as tar:
            tar.extractall(draft, filter=_as_it_was)
    if settings.database and "governance" in zones:
        _fill_server(settings, _draft(settings, "governance") / _DUMP)
    for zone in zones:
        folder: Path = getattr(settings, zone)
        shutil.rmtree(folder, ignore_errors=True)
        _draft(settings, zone).rename(folder)
        folder.chmod(ZONES[zone])
    return list(_proofs(settings, zones))


def read_manifest(source: Path) -> Manifest:
    """The manifest of a backup; InputError where there is none that this program reads."""
    try:
        content = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
        if content["form"] != FORM:
            raise InputError(f"the backup {source} has form {content['form']}, this program reads {FORM}")
        return Manifest(**content | {"parts": tuple(SealedZone(**part) for part in content["parts"])})
    except OSError as error:
        raise InputError(f"{source} is no backup: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"the manifest of {source} is damaged") from None


# --- there ---


def _check_destination(destination: Path, settings: Settings) -> None:
    if destination.exists():
        raise UsageError(f"{destination} exists: name a new folder, one a backup")
    for zone in ZONES:
        if destination.resolve().is_relative_to(getattr(settings, zone).resolve()):
            raise UsageError(f"{destination} lies in the zone {zone}: a backup belongs on another disk")


def _check_passphrase(passphrase: str) -> None:
    if len(passphrase) < SHORTEST:
        raise UsageError(f"the passphrase has fewer than {SHORTEST} characters")


def _back_up(zone: str, draft: Path, backup_id: str, passphrase: str, settings: Settings) -> SealedZone:
    """One zone as a sealed tar."""
    name, files = f"{zone}.tar.sealed", 0
    with os.fdopen(os.open(draft / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as raw:
        sealer = Sealer(raw, passphrase.encode(), f"{backup_id}/{zone}")
        with tarfile.open(fileobj=_only_written(sealer), mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for path, inner in _contents(zone, draft, settings):
                files += _add(tar, path, inner)
        sealer.close()
        raw.flush()
        os.fsync(raw.fileno())
    return SealedZone(zone, name, _digest(draft / name), (draft / name).stat().st_size, files)


def _only_written(sealer: Sealer) -> Any:
    """tarfile writes to it and asks nothing else."""
    return sealer


def _contents(zone: str, draft: Path, settings: Settings) -> Iterator[tuple[Path, str]]:
    """What is in a zone, databases as they are at one instant: (where to read it, its path in the zone)."""
    root: Path = getattr(settings, zone)
    if zone == "governance" and settings.database:
        with _dumped(settings, draft) as dump:
            yield dump, _DUMP
    for path in _files(root):
        inner = path.relative_to(root).as_posix()
        if zone != "studies" and _is_database(path):  # there trainings write, and no database of ours lives
            with _still(path, draft) as copy:
                yield copy, inner
        else:
            yield path, inner


def _files(root: Path) -> Iterator[Path]:
    """Folders and plain files; no link is followed or kept, and no folder that a training made, however deep."""
    for folder, names, files in os.walk(root, onerror=_raise):
        names[:] = sorted(name for name in names if not _is_of_training(Path(folder, name)))
        for path in sorted(Path(folder, name) for name in (*names, *files)):
            if not path.name.endswith(_WAITING) and not path.is_symlink() and (path.is_file() or path.is_dir()):
                yield path


def _is_of_training(folder: Path) -> bool:
    """A run's output, or a folder in that of its checkpoints, where ours are files."""
    run, checkpoints = folder.parent, folder.parent
    is_output = folder.name == "output" and run.parent.name == "runs"
    return is_output or (checkpoints.name == "checkpoints" and checkpoints.parent.parent.name == "runs")


def _raise(error: OSError) -> None:
    raise error


def _is_database(path: Path) -> bool:
    if path.suffix != ".db" or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


@contextmanager
def _still(path: Path, draft: Path) -> Iterator[Path]:
    """A copy of a SQLite database as it is at one instant, while others write to it."""
    copy = draft / ".copy.db"
    source = f"{path.as_uri()}?mode=ro"
    with closing(sqlite3.connect(source, uri=True)) as live, closing(sqlite3.connect(copy)) as still:
        live.backup(still)
    copy.chmod(path.stat().st_mode & 0o777)
    yield copy
    copy.unlink()


@contextmanager
def _dumped(settings: Settings, draft: Path) -> Iterator[Path]:
    dump = draft / ".copy.pgdump"
    _run_tool(["pg_dump", "--format=custom", "--no-owner", "--file", str(dump), "--dbname", settings.database])
    yield dump
    dump.unlink()


def _run_tool(command: list[str]) -> None:
    """A tool of PostgreSQL; what it prints may hold a value and is not told."""
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        raise MachineError(f"{command[0]} is missing: apt-get install postgresql-client") from None
    except subprocess.CalledProcessError as error:
        raise StorageError(f"{command[0]} failed (exit code {error.returncode}) on the governance database") from None


def _add(tar: tarfile.TarFile, path: Path, inner: str) -> int:
    """One entry, 1 for a file: one that grows is taken as long as it was, one that has gone is left out."""
    try:
        member = tar.gettarinfo(str(path), inner)
        member.uname = member.gname = ""
        if not member.isfile():
            tar.addfile(member)
            return 0
        with path.open("rb") as content:
            member.size = os.fstat(content.fileno()).st_size
            tar.addfile(member, content)
            return 1
    except FileNotFoundError:
        return 0


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, content: bytes) -> None:
    write_atomically(path, content, overwrite=False)


# --- and back ---


@contextmanager
def _opened(source: Path, part: SealedZone, backup_id: str, passphrase: str) -> Iterator[tarfile.TarFile]:
    """A part as a tar to walk through once, each byte authenticated on its way."""
    try:
        with (source / part.file).open("rb") as raw:
            stream: Any = Opener(raw, passphrase.encode(), f"{backup_id}/{part.zone}")
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                yield tar
            stream.read()
    except OSError as error:
        raise InputError(f"{part.file} of the backup cannot be read: {error.strerror}") from None
    except tarfile.TarError:
        raise StorageError(f"{part.file} of the backup is damaged") from None


def _as_it_was(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """Nothing leaves the folder; modes come back."""
    safe = tarfile.data_filter(member, folder)
    return safe.replace(mode=member.mode & 0o777, deep=False) if safe else None


def _draft(settings: Settings, zone: str) -> Path:
    folder: Path = getattr(settings, zone)
    return folder.with_name(f".{folder.name}.restored")


def _check_empty(settings: Settings, zones: Sequence[str]) -> None:
    """Nothing is overwritten, but for what an interrupted restore has put there: its last zone still waits."""
    if _draft(settings, zones[-1]).is_dir() and not _holds_anything(getattr(settings, zones[-1])):
        return
    for zone in zones:
        if _holds_anything(getattr(settings, zone)):
            raise UsageError(f"the zone {zone} is not empty: restore into a home of its own, then put it in place")


def _holds_anything(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _fill_server(settings: Settings, dump: Path) -> None:
    """Into an empty database of the server; one transaction, so that a second try finds it empty."""
    _run_tool(["pg_restore", "--no-owner", "--single-transaction", "--dbname", settings.database, str(dump)])


def _proofs(settings: Settings, zones: Sequence[str]) -> Iterator[str]:
    if not {"identity", "governance"} <= set(zones):
        yield "identity zone or governance were not in this backup: the audit chain cannot be verified"
        return
    open_database(migrate=True)
    verification = verify_record(settings)
    if verification.faults:
        raise StorageError(f"the audit chain does not verify: {verification.faults[0]}")
    yield f"the audit chain of {verification.events:,} events verifies"
    if "warehouse" in zones:
        yield from _proofs_of_data(settings)


def _proofs_of_data(settings: Settings) -> Iterator[str]:
    from erios.studies.models import Extract  # Django's models, once it is set up
    from erios.workflows.extract_release import verify_extract

    if release_ids(settings.warehouse):
        release = open_release(settings.warehouse)
        files = sum(len(release.files(name)) for name in release.names())
        yield f"release {release.id} opens, {files} data files are there"
    for extract in Extract.objects.filter(state="released"):
        verify_extract(extract)
        yield f"extract {extract.number} verifies, byte for byte"
