"""Objections and erasures against extracts: which are stale, and which runs have read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from erios.errors import InputError
from erios.keys import study_key
from erios.settings import Settings

if TYPE_CHECKING:
    from erios.studies.models import Extract
    from etl.warehouse.release import Release


def check_objections(release: Release, settings: Settings) -> None:
    """Nobody who objects may be in an extract: the release must follow the register of today."""
    if newer := objections_after(release, settings):
        raise InputError(
            f"{newer} entries of the objection register are newer than release {release.id}: run `erios etl refresh`,"
            " then build the extract again"
        )


def objections_after(release: Release, settings: Settings) -> int:
    """How many entries of the register the release does not know."""
    from etl.warehouse.columns import IDENTITY

    aliases = _objectors(settings, release.key_id)
    if not aliases:
        return 0
    known = release.duckdb(IDENTITY).filter("objects").project("alias").fetchall() if IDENTITY in release.tables else []
    return len(set(aliases) - {alias for (alias,) in known})


def _objectors(settings: Settings, key_id: str) -> list[str]:
    """Keyed names of those who object today, as the warehouse names them."""
    from erios.keys import read_key
    from erios.objections import standing
    from etl.privacy import pseudonym

    key = read_key(settings.keyring, key_id)
    return [pseudonym(key, reference) for reference in standing(settings)]


def follow_objections(settings: Settings) -> list[str]:
    """After objections or an erasure: turn stale every extract that holds such a patient; answers which did now.

    Without any extract's files the governance database is not opened.
    """
    from erios.workflows.database import open_database

    places = [settings.warehouse / "extracts", settings.studies]
    if not any(place.is_dir() and any(place.iterdir()) for place in places):
        return []
    open_database()
    return turn_touched_stale(settings)


def say_stale(numbers: Sequence[str]) -> str:
    """What to print of the extracts that turned stale."""
    if not numbers:
        return "Extracts touched: none."
    said = f"Extracts touched, which nobody can open any more: {', '.join(numbers)}. Have them destroyed."
    return f"{said}{_say_runs(numbers)}"


def _say_runs(numbers: Sequence[str]) -> str:
    """The trainings that have read these extracts, and whose models others use."""
    from erios.studies.run_selectors import runs_on

    runs = list(runs_on(numbers))
    if not runs:
        return " No model was trained on them."
    said = f" Trained on them: {', '.join(run.number for run in runs)}."
    used = [run.number for run in runs if run.promoted]
    return f"{said} In use by others: {', '.join(used)}; the DPO decides what becomes of them." if used else said


def turn_touched_stale(settings: Settings) -> list[str]:
    """Turn stale every extract that holds somebody who objects today; answers which did now."""
    from erios.studies.extract_actions import turn_stale
    from erios.studies.extract_selectors import extracts_with_data

    stale = []
    for extract in extracts_with_data():
        keys = _excluded(settings, extract.key_id)
        if keys and holds(extract, keys, settings):
            turn_stale(extract=extract, reason="a patient in it has objected or was erased")
            stale.append(extract.number)
    return stale


def _excluded(settings: Settings, key_id: str) -> set[str]:
    """Every name of the patients who object: those in the register, and their aliases as of the last release."""
    from etl.warehouse.columns import IDENTITY
    from etl.warehouse.release import latest

    release = latest(settings.warehouse)
    known: list[tuple[str]] = []
    if release and IDENTITY in release.tables and release.key_id == key_id:
        known = release.duckdb(IDENTITY).filter("excluded AND NOT logical").project("alias").fetchall()
    return {*_objectors(settings, key_id), *(alias for (alias,) in known)}


def holds(extract: Extract, patient_keys: set[str], settings: Settings) -> bool:
    """Does the extract hold one of these patients, named as the warehouse names them?"""
    from erios.extracts.members import has_any
    from erios.studies.extract_selectors import folder_of
    from etl.privacy import pseudonym

    key = study_key(settings.keyring, extract.study.number, extract.key_id)
    names = [pseudonym(key, name) for name in sorted(patient_keys)]
    return has_any(folder_of(extract, settings) / "data", names)
