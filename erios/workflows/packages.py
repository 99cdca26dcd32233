"""The hospital's mirror of packages: what a data manager has put there, with hash and licence, on record."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from django.db import transaction

from erios.accounts.audit_events import record
from erios.accounts.models import User
from erios.audit import Draft
from erios.errors import RefusedError, UsageError
from erios.governance.roles import Role
from erios.settings import Settings, make_folder
from etl.files import write_atomically
from experiments.workspaces.packages import Wheel, read_wheel

_READ = 0o444


def add_package(path: Path, by: User, settings: Settings, *, licence: str = "", native: bool = False) -> Wheel:
    """Put a wheel into the mirror; ``licence``: where it says none; ``native``: somebody answers for machine code.

    Raises RefusedError, UsageError or DataError, each with its own sentence; nothing is put there then.
    """
    if Role.DATA_MANAGER not in by.person.roles:
        raise RefusedError("packages are added by a data manager")
    folder = settings.packages
    make_folder(folder, 0o755)
    draft = folder / f".{os.getpid()}" / path.name
    draft.parent.mkdir()
    try:
        shutil.copyfile(path, draft)  # what is looked at is what is kept
        wheel = _accepted(read_wheel(draft), licence, native=native)
        if (folder / wheel.file).exists():
            raise UsageError(f"{wheel.file} is in the mirror already: a version that was given out is not changed")
        with transaction.atomic():
            told = {"version": wheel.version, "sha256": wheel.digest, "licence": wheel.licence}
            record([Draft("packages.add", wheel.name, "", {**told, "native": len(wheel.native)})], by=by)
            write_atomically(folder / f"{wheel.file}.json", json.dumps(asdict(wheel), indent=2).encode(), _READ)
            draft.chmod(_READ)
            draft.rename(folder / wheel.file)
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    finally:
        shutil.rmtree(draft.parent, ignore_errors=True)
    return wheel


def _accepted(wheel: Wheel, licence: str, *, native: bool) -> Wheel:
    if wheel.native and not native:
        raise UsageError(
            f"{wheel.file} holds machine code ({wheel.native[0]}), which nobody can look through: say --native if"
            " you answer for where it comes from"
        )
    if not (wheel.licence or licence):
        raise UsageError(f"{wheel.file} names no licence: find it, and say --licence")
    return replace(wheel, licence=wheel.licence or licence)


def list_packages(settings: Settings) -> Iterator[dict[str, object]]:
    """What is in the mirror, by name."""
    for path in sorted(settings.packages.glob("*.whl.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        yield {**facts, "native": len(facts["native"])}
