"""The linkage attacks on an extract: against every living extract of another study, and against the warehouse.

Owns who is attacked with what. Who is who is known here only: the truth is written in the extract's private folder,
and deleted at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erios.checkout import PROJECT
from erios.extracts.build import event_columns, event_sql, release_relations
from erios.extracts.generalisation.columns import OTHER, Kind, Terms, column_sql, kind_of
from erios.extracts.membership import write_truth
from erios.extracts.risk import Linkage, link, link_rows, load_knowledge
from erios.extracts.risk.linkage import TARGETS
from erios.extracts.risk.report import Joined
from erios.extracts.specification import PATIENT_KEY, Specification, TableChoice, extract_tables
from erios.extracts.stay_summary import COLUMNS, summary_sql
from erios.keys import study_key
from erios.settings import Settings
from erios.studies.extract_selectors import extracts_with_data, folder_of, specification_of, workshop_of
from erios.studies.models import Extract
from erios.workflows.extract_files import draft_folder
from etl.privacy import PseudonymKey
from etl.sql import identifier, literal
from etl.warehouse.data_files import rows_sql
from etl.warehouse.release import Release

if TYPE_CHECKING:
    from etl.tables import WarehouseTable

SEED, REMEDY_TARGETS = 20_240, 100
WAREHOUSE = "warehouse"


def attack_by_linkage(
    extract: Extract, specification: Specification, release: Release, settings: Settings
) -> dict[str, Any]:
    """Try to find this extract's patients in the warehouse and in each living extract of another study.

    ``attacks``: a line each, by what the extract was joined to; those that share no patient are left out.
    """
    data = workshop_of(extract.number, settings) / "data"
    joins = _linkages(extract, specification, release, settings, data, TARGETS)
    return {"attacks": [{"with": other, **json.loads(linkage.to_json())} for other, linkage in joins]}


def linkages_of_remedy(
    extract: Extract, release: Release, settings: Settings, data: Path, specification: Specification
) -> list[Joined]:
    """The same attacks on what a remedy would make of the extract, which lies in ``data``, on fewer patients."""
    joins = _linkages(extract, specification, release, settings, data, REMEDY_TARGETS)
    return [Joined(o, j.targets, j.correct, j.share, j.low, j.high, j.chance) for o, j in joins]


def _linkages(
    extract: Extract, specification: Specification, release: Release, settings: Settings, data: Path, targets: int
) -> Iterator[tuple[str, Linkage]]:
    """What each attack finds, by what the extract is joined to; without those that share no patient."""
    attacked = _Attacked(extract, specification, release, settings, data, targets)
    yield WAREHOUSE, _with_warehouse(attacked)
    for other in extracts_with_data().exclude(study=extract.study).order_by("pk"):
        linkage = _with_extract(attacked, other)
        if linkage.targets:
            yield other.number, linkage


@dataclass(frozen=True)
class _Attacked:
    """An extract whose data lie in ``data``, as ``specification`` says, and how many patients are looked for."""

    extract: Extract
    specification: Specification
    release: Release
    settings: Settings
    data: Path
    targets: int

    @property
    def key(self) -> PseudonymKey:
        return _key(self.extract, self.settings)

    def tables(self) -> dict[str, tuple[str, ...]]:
        return _tables(self.specification)


def _tables(specification: Specification) -> dict[str, tuple[str, ...]]:
    return {table.name: table.names() for table in specification.tables}


@contextmanager
def _truth(attacked: _Attacked, other: PseudonymKey | None) -> Iterator[Path]:
    """Who is who, for as long as an attack is judged."""
    settings = attacked.settings
    truth = draft_folder(workshop_of(attacked.extract.number, settings)).with_suffix(".truth")
    cohort, keys = attacked.specification.cohort, (attacked.key, other)
    try:
        write_truth(truth, attacked.release, cohort, keys, settings.load.task_memory_mb)
        yield truth
    finally:
        truth.unlink(missing_ok=True)


def _key(extract: Extract, settings: Settings) -> PseudonymKey:
    return study_key(settings.keyring, extract.study.number, extract.key_id)


def _common(attacked: _Attacked, truth: Path) -> dict[str, Any]:
    memory_mb = attacked.settings.load.task_memory_mb
    return {"seed": SEED, "targets": attacked.targets, "memory_mb": memory_mb, "scratch": truth.parent}


def _with_extract(attacked: _Attacked, other: Extract) -> Linkage:
    with _truth(attacked, _key(other, attacked.settings)) as truth:
        return link(
            attacked.data,
            attacked.tables(),
            folder_of(other, attacked.settings) / "data",
            _tables(specification_of(other)),
            load_knowledge(PROJECT / "conf" / "risk.toml"),
            truth,
            **_common(attacked, truth),
        )


def _with_warehouse(attacked: _Attacked) -> Linkage:
    """An attacker who has the warehouse puts its rows in the extract's forms, which its manifest tells; what is not
    known is by how much dates were moved, and which patients and stays were drawn."""
    with _truth(attacked, None) as truth:
        return link_rows(
            attacked.data,
            attacked.tables(),
            warehouse_rows(attacked.specification, attacked.release, truth, attacked.settings),
            load_knowledge(PROJECT / "conf" / "risk.toml"),
            truth,
            **_common(attacked, truth),
        )


def warehouse_rows(specification: Specification, release: Release, truth: Path, settings: Settings) -> dict[str, str]:
    """A SELECT a table of the cohort's rows of the warehouse, in the specification's forms, under their own keys."""
    known = extract_tables(settings.views_dir)
    terms = Terms(specification.dates, datetime.fromisoformat(release.created).year, specification.clock)
    members = f"(SELECT key_b AS patient_key, key_b AS study_key, 0 AS shift FROM read_parquet({literal(truth)}))"
    return {
        table.name: _as_shared(
            _select(known[table.name], table, terms, _source(known[table.name], release, members), members),
            table.name,
            event_columns(specification, known, table.name),
        )
        for table in specification.tables
        if PATIENT_KEY in known[table.name].column_types()
    }


def _as_shared(select: str, table: str, columns: tuple[str, ...]) -> str:
    """Without the events that the extract leaves out because few share them: it holds none that say the same."""
    if not columns:
        return select
    event = event_sql(columns)
    return f"FROM ({select}) WHERE {event} IN (SELECT {event} FROM {identifier('rows_' + table)})"


def _source(table: WarehouseTable, release: Release, members: str) -> str:
    if table.name in COLUMNS:
        return summary_sql(table.name, release_relations(release), members)
    return rows_sql(release.files(table.name), table.column_types())


def _select(table: WarehouseTable, wanted: TableChoice, terms: Terms, source: str, members: str) -> str:
    columns = {column.name: column for column in table.view.columns}
    parts = [f"m.study_key AS {PATIENT_KEY}"]
    for choice in wanted.columns:
        column, name = columns[choice.name], identifier(choice.name)
        if kind_of(table.name, column) in (Kind.KEY, Kind.IMAGES, Kind.NOTHING):
            continue
        if choice.form == "rare" or choice.form.startswith("commonest:"):
            kept = f"(SELECT {name} FROM {identifier('rows_' + table.name)})"
            parts.append(f"CASE WHEN t.{name} IS NULL OR t.{name} IN {kept} THEN t.{name} ELSE '{OTHER}' END AS {name}")
        else:
            parts.append(f"{column_sql(table.name, column, choice.form, terms)} AS {name}")
    return f"SELECT {', '.join(parts)} FROM ({source}) t JOIN {members} m ON t.patient_key = m.patient_key"
