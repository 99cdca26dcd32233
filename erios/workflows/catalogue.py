"""What the catalogue knows of a release: profiles of its tables, made once and kept; the quarantine in figures.

Owns where profiles lie (``catalogue/`` in the warehouse zone) and that whoever has one made is on record as the table's
reader. It must never hand a row to whoever asks: a profile is what ``erios.extracts.column_profile`` lets out.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from erios.extracts.column_profile import Bar, ColumnProfile, profile_table, read_profile
from erios.extracts.counts import Counter as PatientCounter
from erios.extracts.counts import load_parameters, open_counter
from erios.extracts.criteria import DUCKDB
from erios.extracts.ledger import Figure
from erios.extracts.specification import PATIENT_KEY, warehouse_tables
from erios.settings import Settings
from erios.workflows.warehouse import open_release
from etl.files import write_atomically
from etl.ingest.quarantine import summary
from etl.warehouse.release import release_ids

SAMPLE_ROWS = 200_000
"""Rows that a profile looks at. Files are cut and sorted by pseudonym, so the first ones are a fair sample."""


@dataclass(frozen=True)
class TableProfile:
    """Profiles of a table's columns; ``sampled``: of some of its files only."""

    columns: dict[str, ColumnProfile]
    sampled: bool


def table_profile(settings: Settings, release_id: str, table: str, reader: str) -> TableProfile:
    """The profile of a release's table, made on the first call; raises ReleaseError for a table it does not have."""
    path = settings.warehouse / "catalogue" / release_id / f"{table}.json"
    stored = _read_stored(path)
    if stored is None:
        stored = _make(settings, release_id, table, reader)
        _store(path, stored)
        _forget_others(settings)
    return TableProfile({name: read_profile(raw) for name, raw in stored["columns"].items()}, stored["sampled"])


def _read_stored(path: Path) -> dict[str, Any] | None:
    """A profile that was made before under the rules of now; one that cannot be read is made anew."""
    try:
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stored if stored.get("threshold") == _threshold() else None


def _store(path: Path, profile: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(profile, ensure_ascii=False).encode())


def _forget_others(settings: Settings) -> None:
    """Profiles of releases that are no longer kept go with them."""
    releases = set(release_ids(settings.warehouse))
    for folder in (settings.warehouse / "catalogue").iterdir():
        if folder.name not in releases:
            shutil.rmtree(folder, ignore_errors=True)


def _threshold() -> int:
    return load_parameters().threshold


def _make(settings: Settings, release_id: str, table: str, reader: str) -> dict[str, Any]:
    import duckdb

    release = open_release(release_id, reader=reader)
    with duckdb.connect(config={"memory_limit": f"{settings.load.task_memory_mb}MB"}) as connection:
        rows = release.duckdb(table, connection).limit(SAMPLE_ROWS)
        described = warehouse_tables(settings.views_dir)[table]
        columns = profile_table(described, rows, _threshold())
        if PATIENT_KEY in described.column_types():
            columns = _publish(open_counter(settings, release_id), table, rows, columns)
    profiles = {name: column.to_dict() for name, column in columns.items()}
    sampled = release.tables[table].rows > SAMPLE_ROWS
    return {"threshold": _threshold(), "sampled": sampled, "columns": profiles}


def _publish(
    counter: PatientCounter, table: str, rows: Any, columns: dict[str, ColumnProfile]
) -> dict[str, ColumnProfile]:
    """The profiles as the disclosure ledger lets the hospital publish them: a bar about nearly the same patients as in
    an earlier release is as high as it was."""
    from erios.studies.ledger import publish  # Django's models, once it is set up

    bars = {
        (name, n): _figure(counter, table, name, bar, rows)
        for name, column in columns.items()
        for n, bar in enumerate(column.bars)
        if bar.where
    }
    shares = dict(zip(bars, publish(counter, list(bars.values())), strict=True))
    return {
        name: replace(
            column,
            bars=tuple(replace(bar, share=shares.get((name, n), bar.share)) for n, bar in enumerate(column.bars)),
        )
        for name, column in columns.items()
    }


def _figure(counter: PatientCounter, table: str, column: str, bar: Bar, rows: Any) -> Figure:
    key = DUCKDB.record_key.format(key=PATIENT_KEY)
    who = (
        rows.filter(f"({bar.where}) AND {PATIENT_KEY} IS NOT NULL").project(f"{key} AS k").distinct().fetchnumpy()["k"]
    )
    canonical = json.dumps({"catalogue": table, "column": column, "bar": bar.label}, ensure_ascii=False)
    return Figure(canonical, bar.share, counter.digests_of(who))


def quarantine_figures(settings: Settings) -> list[tuple[str, str, int]]:
    """(resource type, reason, texts) of what waits in quarantine, the commonest first; no text, no name, no id."""
    counts: Counter[tuple[str, str]] = Counter()
    for (_batch, kind, reason), texts in summary(settings.identity / "quarantine").items():
        counts[kind, reason] += texts
    return [(kind, reason, texts) for (kind, reason), texts in counts.most_common()]
