"""Objections and erasures against extracts: which extracts they turn stale."""

from __future__ import annotations

from erios.errors import InputError
from erios.extracts.membership import has_any
from erios.keys import read_key, study_key
from erios.objections import current_objectors
from erios.settings import Settings
from erios.studies.extract_actions import turn_stale
from erios.studies.extract_selectors import extracts_with_data, folder_of
from erios.studies.models import Extract
from etl.privacy import pseudonym
from etl.warehouse.columns import IDENTITY
from etl.warehouse.release import Release, latest


def check_objections(release: Release, settings: Settings) -> None:
    """Nobody who objects may be in an extract: the release must follow the register of today."""
    if newer := objections_after(release, settings):
        raise InputError(
            f"{newer} entries of the objection register are newer than release {release.id}: run `erios etl refresh`,"
            " then build the extract again"
        )


def objections_after(release: Release, settings: Settings) -> int:
    """How many entries of the register the release does not know."""
    aliases = _objectors(settings, release.key_id)
    if not aliases:
        return 0
    objecting = (
        release.duckdb(IDENTITY).filter("objects").project("alias").fetchall() if IDENTITY in release.tables else []
    )
    return len(set(aliases) - {alias for (alias,) in objecting})


def _objectors(settings: Settings, key_id: str) -> list[str]:
    """Keyed names of those who object today, as the warehouse names them."""
    key = read_key(settings.keyring, key_id)
    return [pseudonym(key, reference) for reference in current_objectors(settings)]


def turn_touched_stale(settings: Settings) -> list[str]:
    """Turn stale every extract that holds somebody who objects today; answers which did now."""
    stale = []
    for extract in extracts_with_data():
        keys = _excluded(settings, extract.key_id)
        if keys and holds(extract, keys, settings):
            turn_stale(extract=extract, reason="a patient in it has objected or was erased")
            stale.append(extract.number)
    return stale


def _excluded(settings: Settings, key_id: str) -> set[str]:
    """Every name of the patients who object: those in the register, and their aliases as of the last release."""
    release = latest(settings.warehouse)
    excluded: list[tuple[str]] = []
    if release and IDENTITY in release.tables and release.key_id == key_id:
        excluded = release.duckdb(IDENTITY).filter("excluded AND NOT logical").project("alias").fetchall()
    return {*_objectors(settings, key_id), *(alias for (alias,) in excluded)}


def holds(extract: Extract, patient_keys: set[str], settings: Settings) -> bool:
    """Does the extract hold one of these patients, named as the warehouse names them?"""
    key = study_key(settings.keyring, extract.study.number, extract.key_id)
    names = [pseudonym(key, name) for name in sorted(patient_keys)]
    return has_any(folder_of(extract, settings) / "data", names)
