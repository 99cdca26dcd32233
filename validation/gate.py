"""The gate: runs every suite with Great Expectations and says whether the tables may be published.

Owns the order of the run and the translation of Great Expectations' answers. Two passes: first whether the
expectations of a table hold in all its rows, which one query answers; then counts and keys of those that do not. It
must never let a row's value out: values are excluded from the results, and an error names the expectation only.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from validation.report import KEYS_SHOWN, CheckResult, StagedTable, ValidationReport
from validation.suites import Check, Suite, load_suite

if TYPE_CHECKING:
    import duckdb

    from validation.engine import Answer, Engine

_FEW_BYTES = 500_000
Progress = Callable[[str, int, int], None]
"""Called with the table's name, its place from 1, and the number of tables."""


def prepare() -> None:
    """Import Great Expectations, which takes seconds; a caller may do it in a thread while others work."""
    import validation.engine  # noqa: F401


def check_tables(
    tables: Mapping[str, StagedTable],
    suites: Path,
    docs: Path,
    *,
    progress: Progress | None = None,
    memory: str = "512MB",
    threads: int | None = None,
) -> ValidationReport:
    """Run the suites in folder ``suites`` on the staged files; write Data Docs into folder ``docs``.

    Memory is bounded by ``memory`` (DuckDB's, beside Python's own) whatever the tables' size; the spill folder
    lies below ``docs`` while it runs. Raises SuiteError.
    """
    start = time.monotonic()
    docs.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory(prefix=".gate-", dir=docs) as folder,
        _database(Path(folder), memory, threads) as database,
        _own_garbage_only(),
    ):
        plans = _plan(database.connection, tables, suites)
        results = _run(database, plans, tables, docs, progress)
    from validation.engine import ENGINE
    from validation.pages import write_index

    skipped = tuple(sentence for plan in plans for sentence in plan.skipped)
    index = write_index(docs, results, skipped)
    return ValidationReport(tuple(results), skipped, index, ENGINE, time.monotonic() - start)


@dataclass(frozen=True)
class _Database:
    """The DuckDB file of one run: the connection that fills it, and how another one is opened."""

    connection: duckdb.DuckDBPyConnection
    path: Path
    settings: Mapping[str, Any]


@contextmanager
def _database(folder: Path, memory: str, threads: int | None) -> Iterator[_Database]:
    import duckdb

    from validation.staging import settings

    path, limits = folder / "gate.duckdb", settings(folder, memory, threads)
    with duckdb.connect(str(path), config=limits) as connection:
        yield _Database(connection, path, limits)


@contextmanager
def _own_garbage_only() -> Iterator[None]:
    """Great Expectations makes so many objects that Python looks for garbage among all of the process's, many times.

    It looks at new ones only: with a long-lived Spark session in the process, that is half a second.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _plan(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, StagedTable], suites: Path) -> list[Suite]:
    """The suite of every table to check: a wrong one is refused before Great Expectations starts."""
    from validation.staging import stage

    columns = stage(connection, tables)
    present = [table.name for table in tables.values() if table.files]
    few = {table.name for table in tables.values() if _bytes(table) < _FEW_BYTES}
    return [load_suite(suites, name, columns[name], present, few=name in few) for name in columns]


def _bytes(table: StagedTable) -> int:
    """Of the files to check."""
    return sum(Path(file).stat().st_size for file in table.to_check)


def _run(
    database: _Database,
    plans: Sequence[Suite],
    tables: Mapping[str, StagedTable],
    docs: Path,
    progress: Progress | None,
) -> list[CheckResult]:
    """Ask Great Expectations about every table and write its page; results are in the order of the plans.

    Tables are filled ahead, on a thread of their own, the biggest last: DuckDB and Great Expectations' Python share
    the machine.
    """
    from validation.engine import Engine
    from validation.staging import fill, join

    results: dict[str, list[CheckResult]] = {}
    order = sorted(plans, key=lambda plan: _bytes(tables[plan.table]))
    with Engine(database.path, database.settings) as engine, ThreadPoolExecutor(1) as ahead:
        joined = ahead.submit(join, database.connection, plans)
        counts = [(plan, ahead.submit(fill, database.connection, plan)) for plan in order]
        try:
            joined.result()
            for place, (plan, count) in enumerate(counts, 1):
                rows = count.result()
                results[plan.table] = list(_results(engine, plan, rows, docs / f"{plan.table}.html"))
                if progress:
                    progress(plan.table, place, len(plans))
        finally:
            ahead.shutdown(cancel_futures=True)
    return [result for plan in plans for result in results[plan.table]]


def _results(engine: Engine, suite: Suite, rows: int, page: Path) -> Iterator[CheckResult]:
    """The checks of a table with their answers; its page is written."""
    from validation.engine import to_answer
    from validation.pages import offline

    results = engine.ask(suite)
    page.write_text(offline(engine.page(suite.table, results)), encoding="utf-8")
    for check, result in zip(suite.checks, results, strict=True):
        answer = to_answer(suite.table, result, check)
        names = engine.names(suite, check) if check.naming and not answer.success else ()
        yield _result(suite.table, check, answer, names, rows)


def _result(table: str, check: Check, answer: Answer, names: Sequence[str], rows: int) -> CheckResult:
    """A check and Great Expectations' answer as one result."""
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
