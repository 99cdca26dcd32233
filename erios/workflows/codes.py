"""Code lists: loading a publisher's file, and adopting the hospital's own codes; both on record.

A code of the hospital is adopted when at least eleven patients have it, so that it says nothing of one of them, and
when it does not read like a person's name; a person decides on the rest by naming them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from erios.airlock.identifiers import PERSONAL
from erios.audit import append
from erios.errors import InputError, UsageError
from erios.governance.disclosure import THRESHOLD
from erios.settings import Settings
from etl.ingest.local_codes import LocalCode, local_codes
from etl.tables import load_tables
from etl.terminology.code_lists import ADOPTED, CodeList, Concept, ListEntry, add, entries, read_concepts
from etl.terminology.publisher_files import read_publisher_file
from etl.warehouse.release import exclusive, open_release


def load_code_lists(settings: Settings, paths: Sequence[Path], system: str = "", version: str = "") -> list[ListEntry]:
    """Take the code lists of publishers' files; each replaces the earlier list of its system. InputError, BusyError."""
    added: list[ListEntry] = []
    settings.make_zones()
    for path in paths:
        lists = read_publisher_file(path, system, version)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with exclusive(settings.warehouse):
            added += add(settings.code_lists, lists, path.name, digest, _now())
    for entry in added:
        append(settings, "codes.load", object=entry.system, details=_details(entry))
    return added


def code_lists(settings: Settings) -> tuple[ListEntry, ...]:
    """The lists that were loaded or adopted."""
    return entries(settings.code_lists)


def list_local_codes(settings: Settings, system: str = "") -> list[LocalCode]:
    """The local codes of the last release, the most frequent first: clear text, so the reading is on record."""
    found = [code for code in _local_codes(settings) if system in ("", code.system)]
    append(settings, "codes.list", object=system or "all", details={"codes": len(found)})
    return found


def adopt(settings: Settings, system: str, codes: Sequence[str] = (), file: Path | None = None) -> ListEntry:
    """Adopt local codes of a system, those of a file, those named, or all that enough patients have.

    A code of fewer than eleven patients is never adopted; one that reads like a person only when it is named. Raises
    InputError where none is left.
    """
    given = {c.code: c.display for each in read_publisher_file(file, system) for c in each.concepts} if file else {}
    wanted = {*codes, *given}
    frequent = [code for code in _local_codes(settings) if code.system == system and code.patients >= THRESHOLD]
    if missing := sorted(set(codes) - {code.code for code in frequent}):
        raise UsageError(
            f"{len(missing)} of the codes named have fewer than {THRESHOLD} patients or are not local codes of the last"
            " release; `erios codes local` lists them"
        )
    chosen = [c for c in frequent if (c.code in wanted if wanted else not reads_like_a_person(c))]
    if not chosen:
        raise InputError(f"no local code of {system} has {THRESHOLD} patients or more and reads like no person")
    labelled = [Concept(c.code, given.get(c.code) or c.label) for c in chosen]
    earlier = {concept.code: concept for concept in _adopted(settings, system)}
    concepts = tuple({**earlier, **{concept.code: concept for concept in labelled}}.values())
    digest = hashlib.sha256(repr(sorted((c.code, c.display or "") for c in concepts)).encode()).hexdigest()
    with exclusive(settings.warehouse):
        (entry,) = add(settings.code_lists, [CodeList(system, _now()[:10], concepts)], ADOPTED, digest, _now())
    append(settings, "codes.adopt", object=system, details={**_details(entry), "threshold": THRESHOLD})
    return entry


def reads_like_a_person(code: LocalCode) -> bool:
    """Does a code or its label read like a person's name or number?"""
    return bool(PERSONAL.search(f"{code.code} ") or PERSONAL.search(f"{code.label or ''} "))


def _adopted(settings: Settings, system: str) -> Sequence[Concept]:
    for entry in entries(settings.code_lists):
        if entry.system == system and entry.origin == ADOPTED:
            return read_concepts(settings.code_lists / entry.file)
    return ()


def _local_codes(settings: Settings) -> list[LocalCode]:
    release = open_release(settings.warehouse)
    return local_codes(settings.local_codes, release, load_tables(settings.views_dir))


def _details(entry: ListEntry) -> dict[str, object]:
    return {"codes": entry.codes, "version": entry.version, "digest": entry.digest}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
