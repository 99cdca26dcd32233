"""The risk report of an extract: one pass over its files, then only aggregates.

Owns the order of the work. No row and no patient's value comes into Python; what is held there are class sizes, sums,
and the values that at least ``threshold`` patients share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from erios.errors import UsageError
from erios.extracts.risk.attacker_knowledge import Knowledge, Quasi, Sensitive
from erios.extracts.risk.diversity import sensitive_columns
from erios.extracts.risk.equivalence_classes import Lattice
from erios.extracts.risk.extract_tables import Extract, open_folder
from erios.extracts.risk.figures import rounded
from erios.extracts.risk.generalisation_search import proposals
from erios.extracts.risk.metrics import risk_of
from erios.extracts.risk.patient_facts import Pair, make_pairs, sources
from erios.extracts.risk.quasi_identifiers import Dimension, make_coded, make_persons
from erios.extracts.risk.report import (
    VERSION,
    CommonValue,
    Contribution,
    LevelLoss,
    Measures,
    QuasiIdentifier,
    RiskReport,
    TableRows,
)
from erios.extracts.risk.singling_out import attacks
from erios.extracts.risk.trajectories import WHOLE, full_trajectory, trajectory_sources
from erios.governance.disclosure import THRESHOLD

TARGETS = 500
_COMMON = 5


def assess(
    folder: Path,
    tables: Mapping[str, Sequence[str]],
    knowledge: Knowledge,
    *,
    threshold: int = THRESHOLD,
    seed: int,
    memory_mb: int = 1024,
    population: int | None = None,
    targets: int = TARGETS,
    dates_known: bool = True,
    scratch: Path | None = None,
) -> RiskReport:
    """The report of the extract in ``folder``, whose tables are its sub-folders.

    ``population``: people whom the extract's patients were drawn from, for the journalist's risk. ``dates_known``: the
    days are the true ones, which somebody may know; false where each patient's are moved. ``scratch``: where a working
    folder is made and removed (default: ``folder``). InputError for a folder that lacks a table or column, StorageError
    when disk or memory do not suffice.
    """
    if threshold < 1 or targets < 1 or (population is not None and population < 1):
        raise UsageError("threshold, targets and population of a risk report are 1 or more")
    with open_folder(folder, tables, memory_mb, scratch) as extract:
        return _report(extract, knowledge, threshold, seed, memory_mb, population, targets, dates_known)


def measure(
    folder: Path,
    tables: Mapping[str, Sequence[str]],
    knowledge: Knowledge,
    *,
    threshold: int,
    seed: int,
    memory_mb: int,
    population: int | None,
    targets: int,
    dates_known: bool,
) -> Measures:
    """The measures alone, without what weighs in them and what would lower them; as ``assess`` otherwise."""
    with open_folder(folder, tables, memory_mb, None) as extract:
        patients = make_persons(extract)
        lattice = Lattice(extract, make_coded(extract, knowledge, patients), patients)
        pairs, facts = _facts(extract, knowledge, dates_known)
        return Measures(
            patients,
            sum(table.rows for table in _rows(extract)),
            risk_of(lattice.sizes(lattice.bottom), threshold, population),
            attacks(extract, facts, patients, targets=targets, threshold=threshold, seed=seed, memory_mb=memory_mb),
            full_trajectory(extract, [*facts, *_whole(pairs)], patients),
        )


def _facts(extract: Extract, knowledge: Knowledge, dates_known: bool) -> tuple[list[Pair], list[Pair]]:
    """All pairs, and those that single facts are drawn from: no whole rows, and no dates that were moved."""
    columns = sources(extract, knowledge)
    named = {(source.table, source.column) for source in columns}
    pairs = make_pairs(extract, [*columns, *trajectory_sources(extract, dates_known=dates_known, besides=named)])
    return pairs, [pair for pair in pairs if pair.source.column != WHOLE and (dates_known or not pair.source.dated)]


def _report(
    extract: Extract,
    knowledge: Knowledge,
    threshold: int,
    seed: int,
    memory_mb: int,
    population: int | None,
    targets: int,
    dates_known: bool,
) -> RiskReport:
    patients = make_persons(extract)
    dimensions = make_coded(extract, knowledge, patients)
    lattice = Lattice(extract, dimensions, patients)
    sizes = lattice.sizes(lattice.bottom)
    contributions = _contributions(lattice, threshold, population)
    proposed, search = proposals(lattice, threshold, population, knowledge.suppression_limit)
    pairs, facts = _facts(extract, knowledge, dates_known)
    return RiskReport(
        version=VERSION,
        threshold=threshold,
        seed=seed,
        population=population,
        patients=patients,
        tables=_rows(extract),
        unweighed=_unweighed(extract, knowledge),
        quasi=tuple(_quasi(extract, n, dimension, threshold) for n, dimension in enumerate(dimensions)),
        risk=risk_of(sizes, threshold, population),
        histogram=sizes,
        sensitive=sensitive_columns(extract, knowledge, lattice, pairs),
        contributions=contributions,
        proposals=proposed,
        search=search,
        attacks=attacks(extract, facts, patients, targets=targets, threshold=threshold, seed=seed, memory_mb=memory_mb),
        trajectory=full_trajectory(extract, [*facts, *_whole(pairs)], patients),
        limit=knowledge.reidentified_limit,
    )


def _whole(pairs: Sequence[Pair]) -> list[Pair]:
    return [pair for pair in pairs if pair.source.column == WHOLE]


def _contributions(lattice: Lattice, threshold: int, population: int | None) -> tuple[Contribution, ...]:
    return tuple(
        Contribution(
            dimension.quasi.name,
            without=risk_of(lattice.sizes(lattice.without(n)), threshold, population),
            alone=risk_of(lattice.sizes(lattice.alone(n)), threshold, population),
        )
        for n, dimension in enumerate(lattice.dimensions)
    )


def _rows(extract: Extract) -> tuple[TableRows, ...]:
    return tuple(
        TableRows(name, int(extract.scalar(f"SELECT count(*) FROM {table.view}")) if table.types else 0)
        for name, table in extract.tables.items()
    )


def _unweighed(extract: Extract, knowledge: Knowledge) -> tuple[str, ...]:
    entries: list[Quasi | Sensitive] = [*knowledge.quasi, *knowledge.sensitive]
    weighed = {(entry.table, column) for entry in entries for column in entry.columns}
    return tuple(
        f"{name}.{column}"
        for name, table in extract.tables.items()
        if table.has_patients
        for column in table.types
        if (name, column) not in weighed and not column.endswith(("_key", "_keys"))
    )


def _quasi(extract: Extract, n: int, dimension: Dimension, threshold: int) -> QuasiIdentifier:
    quasi = dimension.quasi
    rare, patients = extract.rows(f"SELECT count(*), coalesce(sum(n), 0) FROM dim{n} WHERE n < ?", [threshold])[0]
    levels = tuple(
        LevelLoss(level.name, level.distinct, rounded(level.ncp), rounded(level.entropy)) for level in dimension.levels
    )
    return QuasiIdentifier(
        name=quasi.name,
        fr=quasi.fr,
        en=quasi.en,
        table=quasi.table,
        columns=quasi.columns,
        how=quasi.how,
        levels=levels,
        rare_values=int(rare),
        rare_patients=int(patients),
        common=_common_values(extract, n, threshold),
    )


def _common_values(extract: Extract, n: int, threshold: int) -> tuple[CommonValue, ...]:
    """The commonest values of a quasi-identifier, as far as enough patients share them."""
    rows = extract.rows(
        f"SELECT x, n FROM dim{n} WHERE n >= ? AND starts_with(x, '=') ORDER BY n DESC, x LIMIT {_COMMON}", [threshold]
    )
    return tuple(CommonValue(x[1:].replace("\x1f=", " · ").replace("\x1f", ""), int(count)) for x, count in rows)
