"""The earlier states of a study's shared folder: one each time that a workspace on it is closed.

Owns the copies. A state is a folder of plain files, read by the team and changed by nobody; what the next one has in
common with it is there once (hard links). What lies in the shared folder is foreign: no link is followed.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from datetime import datetime
from pathlib import Path

from experiments.errors import SandboxError
from experiments.sandbox.collected_files import take

_NAME = re.compile(r"\d{8}T\d{6}(-\d+)?")
_READ = 0o440


def keep_version(study: Path, versions: Path, now: datetime, most: int, largest: int) -> Path | None:
    """Keep the state of ``study`` under ``versions``, and the last ``most`` states; None where nothing has changed.

    ``largest``: bytes of one file; a larger one, or what is no plain file, is in no version.
    """
    earlier = versions_of(versions)
    draft = versions / ".draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    last = earlier[-1] if earlier else None
    listed = _plain_files(study, largest)
    changed = [_copy(study, name, draft, last, largest) for name in listed]
    if last is not None and not any(changed) and set(listed) == set(_plain_files(last, largest)):
        shutil.rmtree(draft)
        return None
    target = _free(versions, f"{now:%Y%m%dT%H%M%S}")
    draft.rename(target)
    for old in versions_of(versions)[:-most]:
        shutil.rmtree(old)
    return target


def versions_of(versions: Path) -> list[Path]:
    """The kept states, oldest first."""
    return sorted(path for path in versions.glob("*") if _NAME.fullmatch(path.name))


def _free(versions: Path, name: str) -> Path:
    """The name, or the next one where a version of this second is there already."""
    names = [name, *(f"{name}-{number}" for number in range(1, 100))]
    return next(versions / each for each in names if not (versions / each).exists())


def _plain_files(folder: Path, largest: int) -> list[str]:
    names = []
    try:
        for path, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
            folders[:] = [name for name in folders if name != ".ipynb_checkpoints"]
            below = Path(path).relative_to(folder)
            for name in files:
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and status.st_size <= largest:
                    names.append((below / name).as_posix())
    except (OSError, RecursionError):
        raise SandboxError("the study's shared folder cannot be read whole: no version of it is kept") from None
    return sorted(names)


def _copy(study: Path, name: str, draft: Path, last: Path | None, largest: int) -> bool:
    """Put a file into the draft; does it differ from the last version?"""
    target = draft / name
    try:
        take(study, name, target, largest)
    except SandboxError:
        return False  # it has changed into something else meanwhile
    before = last / name if last is not None else None
    if before is not None and before.is_file() and before.read_bytes() == target.read_bytes():
        target.unlink()
        os.link(before, target)
        return False
    target.chmod(_READ)
    return True
