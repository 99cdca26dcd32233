"""How big a demonstration is, and the mark in its home by which it is known."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from erios.errors import UsageError

MARK = "demonstration"


@dataclass(frozen=True)
class Scale:
    """Patients of the hospital, how many of them have images, and the epochs of both trainings."""

    name: str
    patients: int
    imaged: int
    readmission_epochs: int
    segmentation_epochs: int


FULL = Scale("full", 3000, 110, 40, 40)
FAST = Scale("fast", 1200, 80, 40, 32)


def claim(home: Path, scale: Scale, *, restart: bool) -> bool:
    """Make ``home`` the demonstration's; answers whether there was one of this scale to go on with.

    Raises UsageError for a home that holds anything else: it is left as it is.
    """
    mark = home / MARK
    if home.is_dir() and any(home.iterdir()) and not mark.is_file():
        raise UsageError(f"{home} holds data that are no demonstration's: set ERIOS_HOME to a new folder")
    existing = mark.read_text(encoding="utf-8").strip() if mark.is_file() else ""
    if existing and (restart or existing != scale.name):
        _empty(home)
        existing = ""
    home.mkdir(parents=True, exist_ok=True)
    mark.write_text(f"{scale.name}\n", encoding="utf-8")
    return bool(existing)


def _empty(home: Path) -> None:
    """Everything but the mark goes, and that last, so that whoever is killed here can begin again."""
    for path in home.iterdir():
        if path.name != MARK:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
