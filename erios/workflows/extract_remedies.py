"""What would lower the risk of an extract, tried: each remedy is built in a working folder, measured, and removed.

Owns the order of the work. Only measures are kept; the data of a remedy are gone when its measures are there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from erios.errors import InputError
from erios.extracts.build import build, release_relations
from erios.extracts.build_plan import BuildPlan, KeyReader
from erios.extracts.criteria import cohort_query
from erios.extracts.generalisation.columns import Terms
from erios.extracts.generalisation.dates import MOVED
from erios.extracts.remedies import coarser, summarised, summary_columns
from erios.extracts.risk import Knowledge, RiskReport, measure
from erios.extracts.risk.report import Joined, Measures, Remedy
from erios.extracts.risk.summary_search import MOST_STAYS, Stays, read_stays, search, usefulness_of_finest
from erios.extracts.specification import Specification, dump_specification, extract_tables, read_specification
from erios.extracts.stay_summary import STAYS, summary_sql
from erios.settings import Settings, make_folder
from etl.duckdb_engine import connect, scalar
from etl.warehouse.release import Release

MOST_ROWS, MOST_ROWS_EACH = 2_000_000, 50_000
"""Remedies that keep the event tables are tried on extracts of at most so many rows, all techniques together; each by
itself on smaller ones. Summaries are tried always."""
SUMMARIES, TARGETS = 3, 100


Linkages = Callable[[Path, Specification], Sequence[Joined]]
"""The linkage attacks on the data in a folder, which a specification describes."""


@dataclass(frozen=True)
class Trial:
    """What remedies are tried on: the extract's report and specification, its release, where to work, and how the data
    are joined to all that they may be joined to."""

    report: RiskReport
    specification: Specification
    release: Release
    folder: Path
    knowledge: Knowledge
    read_key: KeyReader
    settings: Settings
    seed: int
    link: Linkages

    @property
    def memory_mb(self) -> int:
        return self.settings.load.task_memory_mb

    @property
    def rows(self) -> int:
        """Rows of the extract's tables that are about patients."""
        return max(1, sum(table.rows for table in self.report.tables))


class _Here:
    """Runs the tasks of a small build one after the other in this process."""

    parallelism = 1

    def warm(self, needed: object = None) -> None:
        """Nothing to start."""

    def run(self, name: str, function: Callable[[Any], Any], items: Sequence[Any], progress: Any = None) -> list[Any]:
        return [function(item) for item in items]


def find_remedies(trial: Trial) -> tuple[Remedy, ...]:
    """Remedies with all measures: those that suffice first, of them the most useful; none where none is needed."""
    if trial.report.enough or not trial.report.patients:
        return ()
    tried = (_tried(trial, *candidate) for candidate in _candidates(trial))
    return tuple(sorted((remedy for remedy in tried if remedy), key=_rank))


def _rank(remedy: Remedy) -> tuple[bool, float, float]:
    return not remedy.enough, -(remedy.auc_low or 0.0) if remedy.enough else 0.0, remedy.reidentified


@dataclass(frozen=True)
class _Use:
    """How well a plain model does on a remedy and on the finest summary."""

    auc: float | None = None
    low: float | None = None
    finest: float | None = None


def _candidates(trial: Trial) -> Iterator[tuple[str, Specification, _Use]]:
    tables = extract_tables(trial.settings.views_dir)
    if len(columns := summary_columns(trial.specification)) > 1 and (stays := _stays(trial, columns)):
        finest = usefulness_of_finest(stays)
        for choice in search(stays, trial.knowledge.reidentified_limit, trial.report.threshold)[:SUMMARIES]:
            use = choice.usefulness
            figures = _Use(use.auc, use.low, finest.auc if finest else None) if use else _Use()
            yield "summary", summarised(trial.specification, choice), figures
    if trial.rows <= MOST_ROWS:
        each = trial.rows <= MOST_ROWS_EACH
        kept = _without_images(trial.specification)
        for name, specification in coarser(kept, tables, trial.report.threshold, each=each):
            yield name, specification, _Use()


def _without_images(specification: Specification) -> Specification:
    """An image tells its patient to whoever has it: no remedy keeps one."""
    tables = (
        replace(table, columns=tuple(choice for choice in table.columns if not choice.form.startswith("images")))
        for table in specification.tables
    )
    return replace(specification, tables=tuple(table for table in tables if len(table.columns) > 1))


def _stays(trial: Trial, columns: frozenset[str]) -> Stays | None:
    """The finest summary of the cohort's stays, as numbers; of very many, those of some patients."""
    query = cohort_query(trial.specification.cohort)
    with connect(trial.memory_mb, trial.folder) as connection:
        for name in trial.release.names():
            trial.release.duckdb(name, connection).create_view(name)
        connection.execute("CREATE TEMP TABLE members AS " + query.sql, list(query.parameters))
        sql = summary_sql(STAYS, release_relations(trial.release), "members")
        connection.execute(f"CREATE TEMP TABLE stays AS {sql}")
        parts = 1 + scalar(connection, "SELECT count(*) FROM stays") // MOST_STAYS
        frame = connection.execute(f"FROM stays WHERE hash(patient_key) % {parts} = 0 ORDER BY ALL").fetchnumpy()
    return read_stays(frame, columns, trial.seed) if len(frame["patient_key"]) else None


def _tried(trial: Trial, technique: str, specification: Specification, use: _Use) -> Remedy | None:
    """The remedy with its measures; None where it changes nothing or would be no specification."""
    content = dump_specification(specification)
    try:
        wanted = read_specification(content, trial.settings.views_dir)
    except InputError:
        return None
    if content == dump_specification(trial.specification):
        return None
    folder = trial.folder / "remedy"
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder, 0o700)
    try:
        measures = _measured(trial, wanted, folder)
        joins = tuple(trial.link(folder / "data", wanted)) if measures.patients else ()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    remedy = Remedy(
        technique=technique,
        specification=content,
        patients=measures.patients,
        rows_kept=min(1.0, measures.rows / trial.rows),
        risk=measures.risk,
        attacks=measures.attacks,
        trajectory=measures.trajectory,
        enough=False,
        auc=use.auc,
        auc_low=use.low,
        auc_finest=use.finest,
        joins=joins,
    )
    return replace(remedy, enough=_suffices(remedy, trial))


def _suffices(remedy: Remedy, trial: Trial) -> bool:
    """Would it be cleared without an exception, as far as these measures go?"""
    few = remedy.trajectory is not None and remedy.reidentified <= trial.knowledge.reidentified_limit
    return few and (remedy.risk.k or 0) >= trial.report.threshold


def _measured(trial: Trial, wanted: Specification, folder: Path) -> Measures:
    tables = extract_tables(trial.settings.views_dir)
    terms = Terms(wanted.dates, datetime.fromisoformat(trial.release.created).year, wanted.clock)
    plan = BuildPlan(folder, wanted, tables, terms, trial.report.threshold, trial.memory_mb, trial.read_key)
    build(plan, trial.release, _Here())
    return measure(
        folder / "data",
        {table.name: table.names() for table in wanted.tables},
        trial.knowledge,
        threshold=trial.report.threshold,
        seed=trial.seed,
        memory_mb=trial.memory_mb,
        population=trial.report.population,
        targets=TARGETS,
        dates_known=wanted.dates not in MOVED,
    )
