"""What is installed, where the zones are, what answers: each with what is wrong and the command that mends it.

Owns the checks and their order. A check reads and never repairs, waits for no service longer than ``PATIENCE``, and
tells no secret; what stops it from looking is what it found.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

from erios.audit import verify
from erios.broker.client import is_listening
from erios.checkout import PROJECT
from erios.database import set_up_django
from erios.errors import EriosError
from erios.keys import list_keys
from erios.settings import ZONES, Settings
from etl.warehouse.release import open_release, release_ids
from experiments.cluster import load_clusters
from experiments.sandbox.bubblewrap import obstacle

PATIENCE = 3.0
"""Seconds to wait for a service."""
SPARE_GB = 5
"""Free space of a zone's disk under which it is worth a word."""


class Health(StrEnum):
    """How it stands with one thing."""

    WELL = "well"
    NOTE = "note"
    ILL = "ill"


@dataclass(frozen=True)
class Finding:
    """``about``: which thing; ``said``: one sentence; ``mend``: the command or step that mends what is not well."""

    about: str
    health: Health
    said: str
    mend: str = ""


Check = Callable[[Settings], Iterator[Finding]]


def examine(settings: Settings) -> Iterator[tuple[str, list[Finding]]]:
    """Each part of the workbench with its findings; it never raises for what it looks at."""
    for part, check in _PARTS:
        try:
            yield part, list(check(settings))
        except EriosError as error:
            yield part, [Finding(part, Health.ILL, error.sentence)]
        except Exception as error:  # a fault of a check is a finding, and its message may hold a value
            yield part, [Finding(part, Health.ILL, f"cannot be looked at ({type(error).__name__})")]


def _well(about: str, said: str) -> Finding:
    return Finding(about, Health.WELL, said)


def _note(about: str, said: str, mend: str) -> Finding:
    return Finding(about, Health.NOTE, said, mend)


def _ill(about: str, said: str, mend: str) -> Finding:
    return Finding(about, Health.ILL, said, mend)


# --- the machine ---


def _machine(_settings: Settings) -> Iterator[Finding]:
    import sys

    yield _well("Python", sys.version.split()[0])
    yield _java()
    yield _packages()
    yield _torch()
    yield _sandbox()
    commands = [name for name in ("sbatch", "squeue", "srun") if shutil.which(name)]
    if len(commands) == 3:
        yield _well("Slurm", "sbatch, squeue and srun are there")
    else:
        yield _well("Slurm", "not on this machine; the cluster `local` trains here")


def _java() -> Finding:
    home = os.environ.get("JAVA_HOME", "")
    program = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    mend = "apt-get install openjdk-17-jre-headless, or set JAVA_HOME to a Java 17"
    if program is None:
        return _ill("Java", "not found, and Spark needs Java 17", mend)
    version = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    number = re.search(r'version "(\d+)', version)
    if number is None or int(number[1]) < 17:
        return _ill("Java", f"{program} is no Java 17 or newer", mend)
    return _well("Java", f"{number[1]}, {program}")


def _sandbox() -> Finding:
    if sentence := obstacle():
        return _ill("sandbox", sentence, "docs/sandbox.md says what a node needs")
    return _well("sandbox", "bubblewrap: trainings run in namespaces of their own, without network")


def _packages() -> Finding:
    lock = PROJECT / "requirements.lock"
    if not lock.is_file():
        return _note("packages", "there is no requirements.lock to compare with", "install a checkout")
    pinned = dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^ \\]+)", lock.read_text(encoding="utf-8"), re.MULTILINE))
    other = sorted(name for name, number in pinned.items() if _installed(name) != number)
    if other:
        named = ", ".join(other[:5]) + (" …" if len(other) > 5 else "")
        return _ill("packages", f"{len(other)} are not as requirements.lock pins them: {named}", "make setup")
    return _well("packages", f"all {len(pinned)} are as requirements.lock pins them")


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _torch() -> Finding:
    required = re.search(r'"torch==([\d.]+)"', (PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    installed = _installed("torch").split("+")[0]
    if required and installed != required[1]:
        return _ill(
            "torch", f"{installed or 'not installed'}, {required[1]} is wanted", f"pip install torch=={required[1]}"
        )
    import torch

    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return _well("torch", f"{installed}, {f'{cards} GPUs' if cards else 'no GPU: models train on the processor'}")


# --- where the data are ---


def _zones(settings: Settings) -> Iterator[Finding]:
    for zone, mode in ZONES.items():
        yield _zone(zone, getattr(settings, zone), mode)


def _zone(zone: str, folder: Path, mode: int) -> Finding:
    if not folder.is_dir():
        return _note(zone, f"{folder} is not there yet", "erios keys init makes the zones")
    status = folder.stat()
    loose = stat.S_IMODE(status.st_mode) & ~mode
    if loose:
        return _ill(
            zone,
            f"{folder} may be reached by others (mode {stat.S_IMODE(status.st_mode):o})",
            f"chmod {mode:o} {folder}",
        )
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return _ill(zone, f"{folder} is not yours to write ({_owner(status.st_uid)} owns it)", "run as its owner")
    free = shutil.disk_usage(folder).free / 1e9
    description = f"{folder}, {_owner(status.st_uid)}, mode {stat.S_IMODE(status.st_mode):o}, {free:,.0f} GB free"
    return (
        _well(zone, description)
        if free >= SPARE_GB
        else _note(zone, description, "erios warehouse vacuum, or a bigger disk")
    )


def _owner(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _keys(settings: Settings) -> Iterator[Finding]:
    if not settings.keyring.exists():
        yield _ill("keyring", "there is none yet: nothing can be loaded", "erios keys init")
        return
    keys = list_keys(settings.keyring)
    current = next(key for key in keys if key.current)
    yield _well(
        "keyring", f"{len(keys)} {'key' if len(keys) == 1 else 'keys'}, the current one of {current.created[:10]}"
    )


# --- what is in them ---


def _warehouse(settings: Settings) -> Iterator[Finding]:
    releases = release_ids(settings.warehouse)
    if not releases:
        yield _note("releases", "none is published yet", "erios etl load PATH")
        return
    release = open_release(settings.warehouse)
    files = sum(len(release.files(name)) for name in release.names())
    yield _well(
        "releases", f"{len(releases)} kept; {release.id} of {release.created[:16]} opens, {files} data files are there"
    )


def _governance(settings: Settings) -> Iterator[Finding]:
    if not settings.keyring.exists():
        yield _note("audit chain", "begins with the first key", "erios keys init")
        return
    yield _database(settings)
    yield _chain(settings)


def _database(settings: Settings) -> Finding:
    """Whether the governance database answers and has all its migrations."""
    if not settings.database and not (settings.governance / "governance.db").exists():
        return _note("database", "there is none yet", "erios portal --administrator LOGIN")
    set_up_django()
    from django.db import DatabaseError, connection
    from django.db.migrations.executor import MigrationExecutor

    try:
        executor = MigrationExecutor(connection)
        behind = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        return _ill("database", f"does not answer ({type(error).__name__})", "check `database` in the settings")
    where = "PostgreSQL" if settings.database else "SQLite"
    if behind and not settings.database:
        return _note("database", f"SQLite, {len(behind)} migration(s) behind", "the portal's next start does them")
    if behind:
        return _ill("database", f"{where}, {len(behind)} migration(s) behind this program", "erios portal --migrate")
    return _well("database", f"{where}, up to date")


def _chain(settings: Settings) -> Finding:
    verification = verify(settings)
    if verification.faults:
        return _ill("audit chain", verification.faults[0], "erios audit verify tells all; restore the last good backup")
    return _well("audit chain", f"{verification.events:,} events, whole")


# --- what it is connected to ---


def _services(settings: Settings) -> Iterator[Finding]:
    mail, directory = settings.portal.mail, settings.portal.directory
    if settings.tracking_uri:
        yield _answers("tracking server", settings.tracking_uri, "erios tracking serve on its host")
    if mail.host:
        yield _listens("mail server", mail.host, mail.port, "check portal.mail in the settings")
    else:
        yield _note("mail server", "none is set: letters are printed on the portal's console", "set portal.mail.host")
    if directory.issuer:
        yield _answers("directory", directory.issuer, "check portal.directory.issuer in the settings")
    if re.match(r"spark://", settings.spark.master):
        at = urlsplit(settings.spark.master)
        yield _listens("Spark master", at.hostname or "", at.port or 7077, "start it, or set spark.master")
    if settings.broker and not is_listening(settings.broker):
        yield _ill("broker", f"{settings.broker} does not answer", "erios broker serve, or its systemd unit")
    elif settings.broker:
        yield _well("broker", f"{settings.broker} answers")
    yield _workspaces(settings)
    for name in ("password_file", "secret_file"):
        path = getattr(mail if name == "password_file" else directory, name)
        if path is not None:
            yield _secret(name, path)


def _workspaces(settings: Settings) -> Finding:
    domain, at = settings.workspace.domain, urlsplit(settings.workspace.address.replace("*", "open"))
    host = "127.0.0.1" if domain == "localhost" else at.hostname or ""
    looked = _listens("workspaces", host, at.port or 443, "erios workspace serve, or its systemd unit")
    return looked if looked.health is Health.WELL else _note("workspaces", looked.said, looked.mend)


def _answers(about: str, address: str, mend: str) -> Finding:
    at = urlsplit(address)
    return _listens(about, at.hostname or "", at.port or (443 if at.scheme == "https" else 80), mend)


def _listens(about: str, host: str, port: int, mend: str) -> Finding:
    try:
        with socket.create_connection((host, port), timeout=PATIENCE):
            return _well(about, f"{host}:{port} answers")
    except OSError as error:
        return _ill(about, f"{host}:{port} does not answer ({error.strerror or type(error).__name__})", mend)


def _secret(name: str, path: Path) -> Finding:
    if not path.is_file():
        return _ill(name, f"{path} is not there", f"write it, mode 600, or unset {name}")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return _ill(name, f"{path} may be read by others", f"chmod 600 {path}")
    return _well(name, f"{path}, its owner's alone")


def _clusters(settings: Settings) -> Iterator[Finding]:
    for cluster in load_clusters(settings.clusters_dir).values():
        if cluster.kind == "slurm" and not shutil.which("sbatch"):
            yield _note(cluster.name, "its profile reads, but there is no sbatch here", "run on a login node of it")
        elif cluster.kind == "slurm" and not _succeeds("sinfo", "--noheader"):
            yield _note(cluster.name, "its profile reads, but no Slurm answers here", "run on a login node of it")
        else:
            yield _well(cluster.name, f"{cluster.kind}; {cluster.summary or 'its profile reads'}")


def _succeeds(*command: str) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


_PARTS: tuple[tuple[str, Check], ...] = (
    ("Machine", _machine),
    ("Zones", _zones),
    ("Keys", _keys),
    ("Warehouse", _warehouse),
    ("Governance", _governance),
    ("Services", _services),
    ("Clusters", _clusters),
)
