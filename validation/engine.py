"""Great Expectations, asked about one table at a time.

Owns everything that touches Great Expectations: it runs natively, on its SQL engine over DuckDB's views. It
must never let a row's value into a result or a page: Great Expectations is told to leave them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import great_expectations as gx
from great_expectations.core.expectation_validation_result import (
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
)
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.exceptions.exceptions import GreatExpectationsError
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.expectations.registry import list_registered_expectation_implementations
from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
from great_expectations.render.view.view import DefaultJinjaPageView

from validation import duckdb_dialect
from validation.errors import SuiteError
from validation.report import KEYS_SHOWN
from validation.row_by_row import condition, rows_break_none
from validation.staging import table_name
from validation.suites import Check, Suite

ENGINE = f"Great Expectations {gx.__version__}, SQL engine on DuckDB"
_GX_SEVERITY = {"block": FailureSeverity.CRITICAL, "warn": FailureSeverity.WARNING}


@dataclass(frozen=True)
class Answer:
    """What Great Expectations says of one expectation; ``evaluated`` is None for all rows of the table."""

    success: bool
    unexpected: int = 0
    evaluated: int | None = None
    keys: tuple[str, ...] = ()


class Engine:
    """A Great Expectations context over one DuckDB file; a context manager that lets the file go."""

    def __init__(self, database: Path, settings: Mapping[str, Any]) -> None:
        duckdb_dialect.register()
        self._view: Any = DefaultJinjaPageView()
        self._batches: dict[str, Any] = {}
        context = gx.get_context(mode="ephemeral", project_config=_in_memory())
        sources: Any = context.data_sources
        self._source = sources.add_sql(
            "staged",
            connection_string=f"{duckdb_dialect.SCHEME}:///{database}",
            create_temp_table=False,
            kwargs={"connect_args": {"config": dict(settings)}},
        )

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *failure: object) -> None:
        self._source.get_engine().dispose()

    def ask(self, suite: Suite) -> list[Any]:
        """Great Expectations' results of the checks of ``suite``, in their order. Raises SuiteError.

        First which hold, by the rows that break them; then counts and keys of the others.
        """
        expectations = [_expectation(suite, place, check) for place, check in enumerate(suite.checks)]
        results = self._holding(suite, expectations)
        asked = [expectation for place, expectation in enumerate(expectations) if place not in results]
        detailed = self._validate(suite, asked, _detailed(suite.table))
        for result in detailed.values():
            _check_evaluated(suite, result)
        return [result for _, result in sorted((results | detailed).items())]

    def _holding(self, suite: Suite, expectations: Sequence[Expectation]) -> dict[int, Any]:
        """Results, by place, of what is seen to hold: what a row tells alone is asked of all rows at once."""
        engine = self._source.get_execution_engine()
        conditions = {place: found for place, each in enumerate(expectations) if (found := condition(each, engine))}
        tolerant = {place for place, check in enumerate(suite.checks) if "mostly" in check.arguments}
        alone = [each for place, each in enumerate(expectations) if place not in conditions.keys() | tolerant]
        together = [rows_break_none(list(conditions.values()), {"place": None})] if conditions else []
        results = self._validate(suite, [*alone, *together], "BOOLEAN_ONLY")
        counted = results.pop(None).meta if conditions else {}
        counts = counted.get("broken", ())  # none where a condition could not be evaluated
        held = {
            place: _held(expectations[place], count, counted["rows"])
            for place, count in zip(conditions, counts, strict=bool(counts))
            if _holds(suite.checks[place], count, counted["rows"])
        }
        return held | {place: result for place, result in results.items() if result.success}

    def names(self, suite: Suite, check: Check) -> tuple[str, ...]:
        """What a naming column says, the most frequent first."""
        column = check.arguments["column"]
        query = f'SELECT "{column}" FROM {table_name(suite.table)} WHERE "{column}" IS NOT NULL GROUP BY 1'
        with self._source.get_engine().connect() as connection:
            rows = connection.exec_driver_sql(f"{query} ORDER BY count(*) DESC, 1").fetchall()
        return tuple(str(row[0]) for row in rows)

    def page(self, table: str, results: Sequence[Any]) -> str:
        """The Data Docs page of a table's results, as Great Expectations writes it."""
        return str(self._view.render(_document(table, results)))

    def _batch(self, suite: Suite) -> Any:
        asset = self._source.add_table_asset(suite.table, table_name=table_name(suite.table))
        return asset.get_batch(asset.build_batch_request())

    def _validate(self, suite: Suite, expectations: Sequence[Expectation], result_format: Any) -> dict[Any, Any]:
        """Great Expectations' results by the place of their check."""
        if not expectations:
            return {}
        if suite.table not in self._batches:
            self._batches[suite.table] = self._batch(suite)
        asked = gx.ExpectationSuite(name=suite.table, expectations=list(expectations))
        results = self._batches[suite.table].validate(asked, result_format=result_format).results
        return {result.expectation_config.meta["place"]: result for result in results}


def _in_memory() -> DataContextConfig:
    """No folder for pages (we write them), no progress bars, no usage events."""
    return DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )


def _expectation(suite: Suite, place: int, check: Check) -> Expectation:
    known = list_registered_expectation_implementations()
    where = f"{suite.table}: expectation '{check.expectation}'"
    if check.expectation not in known:
        near = get_close_matches(check.expectation, known, 3)
        raise SuiteError(f"{where}: Great Expectations has none of that name; {_hint(near)}")
    try:
        return ExpectationConfiguration(
            type=check.expectation,
            kwargs=dict(check.arguments),
            meta={"place": place, "severity": check.severity},
            notes=_note(check),
            severity=_GX_SEVERITY[check.severity],
        ).to_domain_obj()
    except (ValueError, TypeError, GreatExpectationsError) as error:
        reason = str(error).splitlines()
        raise SuiteError(f"{where}: wrong arguments: {'; '.join(reason[1:3]) or reason[0]}") from error


def _held(expectation: Expectation, broken: int, rows: int) -> ExpectationValidationResult:
    """The result of an expectation that so many rows break, and that holds."""
    share = 100 * broken / rows if broken else 0.0
    found = {"element_count": rows, "unexpected_count": broken, "unexpected_percent": share}
    return ExpectationValidationResult(success=True, expectation_config=expectation.configuration, result=found)


def _holds(check: Check, broken: int, rows: int) -> bool:
    """Does it hold, as far as the number of all rows tells? A share of faults is one of the rows with a value."""
    of_all = check.expectation == "expect_column_values_to_not_be_null"
    share = check.arguments.get("mostly", 1) if of_all else 1
    return not broken or (rows - broken) / rows >= share


def _hint(near: Sequence[str]) -> str:
    return f"did you mean {' or '.join(near)}?" if near else "see its Expectation Gallery for the names"


def _note(check: Check) -> str:
    text = check.sentence.format_map({"count": "…", "evaluated": "…", "names": "…"})
    return f"{check.severity}: {text}"


def _detailed(table: str) -> dict[str, Any]:
    return {
        "result_format": "SUMMARY",
        "partial_unexpected_count": KEYS_SHOWN,
        "unexpected_index_column_names": [f"{table}_key"],
        "return_unexpected_index_query": False,
        "exclude_unexpected_values": True,
        "include_unexpected_rows": False,
    }


def _check_evaluated(suite: Suite, result: Any) -> None:
    """Great Expectations catches what an expectation raises; its text may quote a value."""
    info = result.exception_info or {}
    parts = [info] if "raised_exception" in info else list(info.values())
    if any(part.get("raised_exception") for part in parts):
        config = result.expectation_config
        column = config.kwargs.get("column", "the table")
        raise SuiteError(
            f"{suite.table}: expectation '{config.type}' on {column} cannot be evaluated by {ENGINE}:"
            " check its arguments against the column's type"
        )


def to_answer(table: str, result: Any, check: Check) -> Answer:
    """What the gate needs of a result."""
    found = result.result
    unexpected = int(found.get("unexpected_count") or 0)
    evaluated = None
    if "element_count" in found:
        nulls = "not_be_null" in check.expectation
        evaluated = int(found["element_count"]) - (0 if nulls else int(found.get("missing_count") or 0))
    return Answer(bool(result.success), unexpected, evaluated, tuple(_keys(found, f"{table}_key")))


def _keys(found: Mapping[str, Any], column: str) -> Iterator[str]:
    """Distinct keys of offending rows: Great Expectations lists them in one entry, or row by row."""
    lists = [entry.get(column) for entry in found.get("partial_unexpected_index_list") or ()]
    keys = [key for value in lists for key in (value if isinstance(value, list) else [value])]
    yield from dict.fromkeys(str(key) for key in keys if key is not None)


def _document(table: str, results: Sequence[Any]) -> Any:
    good = sum(bool(result.success) for result in results)
    whole = ExpectationSuiteValidationResult(
        success=good == len(results),
        results=list(results),
        suite_name=table,
        statistics={
            "evaluated_expectations": len(results),
            "successful_expectations": good,
            "unsuccessful_expectations": len(results) - good,
            "success_percent": 100 * good / len(results) if results else None,
        },
        meta={"great_expectations_version": gx.__version__},
    )
    return ValidationResultsPageRenderer(run_info_at_end=True).render(whole)
