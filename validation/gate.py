"""The gate: runs every suite with Great Expectations and reports whether the tables may be published.

Two passes: one query finds which expectations of a table hold in all its rows; then counts and keys of the others are
computed. No row's value gets out: values are excluded from the results, and an error names the expectation only.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import duckdb

from validation.data_docs import offline, write_index
from validation.report import KEYS_SHOWN, CheckResult, StagedTable, ValidationReport
from validation.staged_tables import fill, join, settings, stage
from validation.suites import Check, Suite, load_suite

if TYPE_CHECKING:
    from validation.engine import Answer, Engine

_FEW_BYTES = 500_000
"""A table of fewer bytes has few rows (``load_suite``)."""


def prepare() -> None:
    """Import Great Expectations, which takes seconds: callers may do it in a thread, ahead of ``check_tables``."""
    import validation.engine  # noqa: F401


def check_tables(tables: Mapping[str, StagedTable], suites: Path, docs: Path) -> ValidationReport:
    """Run the suites in folder ``suites`` on the staged files; write Data Docs into folder ``docs``.

    DuckDB's memory is bounded (512 MB, beside Python's own) whatever the tables' size; the spill folder lies below
    ``docs`` while it runs. Raises SuiteError.
    """
    start = time.monotonic()
    docs.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory(prefix=".gate-", dir=docs) as folder,
        _database(Path(folder)) as database,
        _own_garbage_only(),
    ):
        plans = _plan(database.connection, tables, suites)
        with _engine(database) as engine:
            results = _run(engine, database, plans, tables, docs)
    skipped = tuple(sentence for plan in plans for sentence in plan.skipped)
    index = write_index(docs, results, skipped)
    return ValidationReport(tuple(results), skipped, index, engine.name, time.monotonic() - start)


@dataclass(frozen=True)
class _Database:
    """The DuckDB file of one run: the connection that fills it, its path, and the settings of other connections."""

    connection: duckdb.DuckDBPyConnection
    path: Path
    settings: Mapping[str, Any]


@contextmanager
def _database(folder: Path) -> Iterator[_Database]:
    path, limits = folder / "gate.duckdb", settings(folder)
    with duckdb.connect(str(path), config=limits) as connection:
        yield _Database(connection, path, limits)


def _engine(database: _Database) -> Engine:
    """Great Expectations on the file; imported here because that takes seconds (``prepare``)."""
    from validation.engine import Engine

    return Engine(database.path, database.settings)


@contextmanager
def _own_garbage_only() -> Iterator[None]:
    """Exclude the objects that exist already from garbage collection, which Great Expectations triggers many times.

    With a long-lived Spark session in the process this saves half a second.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _plan(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, StagedTable], suites: Path) -> list[Suite]:
    """The suite of every table to check; a wrong one is refused before Great Expectations starts."""
    columns = stage(connection, tables)
    present = [table.name for table in tables.values() if table.files]
    few = {table.name for table in tables.values() if _bytes(table) < _FEW_BYTES}
    return [load_suite(suites, name, columns[name], present, few=name in few) for name in columns]


def _bytes(table: StagedTable) -> int:
    """Size of the files to check."""
    return sum(Path(file).stat().st_size for file in table.to_check)


def _run(
    engine: Engine, database: _Database, plans: Sequence[Suite], tables: Mapping[str, StagedTable], docs: Path
) -> list[CheckResult]:
    """Check every table and write its page; results are in the order of the plans.

    Another thread fills the tables ahead, the largest last, so that DuckDB works while Great Expectations' Python does.
    """
    results: dict[str, list[CheckResult]] = {}
    order = sorted(plans, key=lambda plan: _bytes(tables[plan.table]))
    with ThreadPoolExecutor(1) as ahead:
        joined = ahead.submit(join, database.connection, plans)
        counts = [(plan, ahead.submit(fill, database.connection, plan)) for plan in order]
        try:
            joined.result()
            for plan, count in counts:
                results[plan.table] = list(_results(engine, plan, count.result(), docs / f"{plan.table}.html"))
        finally:
            ahead.shutdown(cancel_futures=True)
    return [result for plan in plans for result in results[plan.table]]


def _results(engine: Engine, suite: Suite, rows: int, page: Path) -> Iterator[CheckResult]:
    """Results of the checks of a table; its page is written."""
    results = engine.check(suite)
    page.write_text(offline(engine.page(suite.table, results)), encoding="utf-8")
    for check, result in zip(suite.checks, results, strict=True):
        answer = engine.answer(suite.table, check, result)
        names = engine.names(suite, check) if check.naming and not answer.success else ()
        yield _result(suite.table, check, answer, names, rows)


def _result(table: str, check: Check, answer: Answer, names: Sequence[str], rows: int) -> CheckResult:
    """A check and Great Expectations' answer as a result."""
    evaluated = rows if answer.evaluated is None else answer.evaluated
    words = {"count": f"{answer.unexpected:,}", "evaluated": f"{evaluated:,}", "names": ", ".join(names)}
    return CheckResult(
        table=table,
        expectation=check.expectation,
        columns=check.columns or tuple(names),
        severity=check.severity,
        sentence=check.sentence.format_map(words),
        success=answer.success,
        unexpected=answer.unexpected,
        evaluated=evaluated,
        keys=answer.keys[:KEYS_SHOWN],
    )
