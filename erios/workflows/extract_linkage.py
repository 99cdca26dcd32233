"""The linkage attacks on an extract: against every living extract of another study, and against the warehouse.

Owns who is attacked with what. Who is who is known here only: the truth is written in the extract's private folder,
and deleted at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erios.checkout import PROJECT
from erios.extracts.build import release_relations
from erios.extracts.generalisation.columns import OTHER, Kind, Terms, column_sql, kind_of
from erios.extracts.membership import write_truth
from erios.extracts.risk import Linkage, link, link_rows, load_knowledge
from erios.extracts.specification import PATIENT_KEY, Specification, TableChoice, extract_tables
from erios.extracts.stay_summary import COLUMNS, summary_sql
from erios.keys import study_key
from erios.settings import Settings
from erios.studies.extract_selectors import extracts_with_data, folder_of, specification_of, workshop_of
from erios.workflows.extract_files import draft_folder
from etl.privacy import PseudonymKey
from etl.sql import identifier, literal
from etl.warehouse.data_files import rows_sql
from etl.warehouse.release import Release

if TYPE_CHECKING:
    from erios.studies.models import Extract
    from etl.tables import WarehouseTable

SEED = 20_240
WAREHOUSE = "warehouse"


def attack_by_linkage(
    extract: Extract, specification: Specification, release: Release, settings: Settings
) -> dict[str, Any]:
    """Try to find this extract's patients in the warehouse and in each living extract of another study.

    ``attacks``: a line each, by what the extract was joined to; those that share no patient are left out.
    """
    lines = [{"with": WAREHOUSE, **_figures(_with_warehouse(extract, specification, release, settings))}]
    for other in extracts_with_data().exclude(study=extract.study).order_by("pk"):
        linkage = _with_extract(extract, other, specification, release, settings)
        if linkage.targets:
            lines.append({"with": other.number, **_figures(linkage)})
    return {"attacks": lines}


def _figures(linkage: Linkage) -> dict[str, Any]:
    return dict(json.loads(linkage.to_json()))


@contextmanager
def _truth(
    extract: Extract,
    specification: Specification,
    release: Release,
    keys: list[PseudonymKey | None],
    settings: Settings,
) -> Iterator[Path]:
    """Who is who, for as long as an attack is judged."""
    truth = draft_folder(workshop_of(extract.number, settings)).with_suffix(".truth")
    try:
        write_truth(truth, release, specification.cohort, keys, settings.load.task_memory_mb)
        yield truth
    finally:
        truth.unlink(missing_ok=True)


def _key(extract: Extract, settings: Settings) -> PseudonymKey:
    return study_key(settings.keyring, extract.study.number, extract.key_id)


def _common(truth: Path, settings: Settings) -> dict[str, Any]:
    return {"seed": SEED, "memory_mb": settings.load.task_memory_mb, "scratch": truth.parent}


def _with_extract(
    extract: Extract, other: Extract, specification: Specification, release: Release, settings: Settings
) -> Linkage:
    keys: list[PseudonymKey | None] = [_key(extract, settings), _key(other, settings)]
    with _truth(extract, specification, release, keys, settings) as truth:
        return link(
            workshop_of(extract.number, settings) / "data",
            {table.name: table.names() for table in specification.tables},
            folder_of(other, settings) / "data",
            {table.name: table.names() for table in specification_of(other).tables},
            load_knowledge(PROJECT / "conf" / "risk.toml"),
            truth,
            **_common(truth, settings),
        )


def _with_warehouse(extract: Extract, specification: Specification, release: Release, settings: Settings) -> Linkage:
    """An attacker who has the warehouse puts its rows in the extract's forms, which its manifest tells; what is not
    known is by how much dates were moved, and which stays were drawn."""
    with _truth(extract, specification, release, [_key(extract, settings), None], settings) as truth:
        return link_rows(
            workshop_of(extract.number, settings) / "data",
            {table.name: table.names() for table in specification.tables},
            warehouse_rows(specification, release, truth, settings),
            load_knowledge(PROJECT / "conf" / "risk.toml"),
            truth,
            **_common(truth, settings),
        )


def warehouse_rows(specification: Specification, release: Release, truth: Path, settings: Settings) -> dict[str, str]:
    """A SELECT a table of the cohort's rows of the warehouse, in the specification's forms, under their own keys."""
    known = extract_tables(settings.views_dir)
    terms = Terms(specification.dates, datetime.fromisoformat(release.created).year, specification.clock)
    members = f"(SELECT key_b AS patient_key, key_b AS study_key, 0 AS shift FROM read_parquet({literal(truth)}))"
    return {
        table.name: _select(known[table.name], table, terms, _source(known[table.name], release, members), members)
        for table in specification.tables
        if PATIENT_KEY in known[table.name].column_types()
    }


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
