"""Great Expectations, run on its own SQL engine over DuckDB, one table at a time.

The only user of Great Expectations besides ``row_by_row``. Results and pages hold no row's value: Great Expectations
is configured to exclude them.
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
from validation.report import KEYS_SHOWN, Severity
from validation.row_expectations import condition, rows_break_none
from validation.sql import identifier
from validation.staged_tables import table_name
from validation.suites import Check, Suite

_NAME = f"Great Expectations {gx.__version__}, SQL engine on DuckDB"
_GX_SEVERITY = {Severity.BLOCK: FailureSeverity.CRITICAL, Severity.WARN: FailureSeverity.WARNING}


@dataclass(frozen=True)
class Answer:
    """Great Expectations' result of one expectation, reduced; ``evaluated`` is None for all rows of the table."""

    success: bool
    unexpected: int = 0
    evaluated: int | None = None
    keys: tuple[str, ...] = ()


class Engine:
    """A Great Expectations context over one DuckDB file; a context manager that closes the file."""

    name = _NAME

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

    def check(self, suite: Suite) -> list[Any]:
        """Great Expectations' results of the checks of ``suite``, in their order. Raises SuiteError.

        The first pass finds the expectations that hold; the second computes counts and keys of the others.
        """
        expectations = [_expectation(suite, index, check) for index, check in enumerate(suite.checks)]
        results = self._holding(suite, expectations)
        others = [expectation for index, expectation in enumerate(expectations) if index not in results]
        detailed = self._validate(suite, others, _detailed(suite.table))
        for result in detailed.values():
            _check_evaluated(suite, result)
        return [result for _, result in sorted((results | detailed).items())]

    def _holding(self, suite: Suite, expectations: Sequence[Expectation]) -> dict[int, Any]:
        """Results, by index, of the expectations that hold; those on single rows are checked together in one query."""
        engine = self._source.get_execution_engine()
        conditions = {i: text for i, each in enumerate(expectations) if (text := condition(each, engine))}
        tolerant = {i for i, check in enumerate(suite.checks) if "mostly" in check.arguments}
        alone = [each for i, each in enumerate(expectations) if i not in conditions.keys() | tolerant]
        together = [rows_break_none(list(conditions.values()), {"index": None})] if conditions else []
        results = self._validate(suite, [*alone, *together], "BOOLEAN_ONLY")
        counted = results.pop(None).meta if conditions else {}
        counts = counted.get("broken", ())  # none where a condition could not be evaluated
        held = {
            i: _held(expectations[i], count, counted["rows"])
            for i, count in zip(conditions, counts, strict=bool(counts))
            if _holds(suite.checks[i], count, counted["rows"])
        }
        return held | {i: result for i, result in results.items() if result.success}

    def answer(self, table: str, check: Check, result: Any) -> Answer:
        """The part of a result that the gate reports."""
        details = result.result
        unexpected = int(details.get("unexpected_count") or 0)
        evaluated = None
        if "element_count" in details:
            nulls = "not_be_null" in check.expectation
            evaluated = int(details["element_count"]) - (0 if nulls else int(details.get("missing_count") or 0))
        return Answer(bool(result.success), unexpected, evaluated, tuple(_keys(details, f"{table}_key")))

    def names(self, suite: Suite, check: Check) -> tuple[str, ...]:
        """Distinct values of a naming column (``Check.naming``), the most frequent first."""
        column = identifier(check.arguments["column"])
        query = f"SELECT {column} FROM {table_name(suite.table)} WHERE {column} IS NOT NULL GROUP BY 1"
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
        """Great Expectations' results by the index of their check."""
        if not expectations:
            return {}
        if suite.table not in self._batches:
            self._batches[suite.table] = self._batch(suite)
        chosen = gx.ExpectationSuite(name=suite.table, expectations=list(expectations))
        results = self._batches[suite.table].validate(chosen, result_format=result_format).results
        return {result.expectation_config.meta["index"]: result for result in results}


def _in_memory() -> DataContextConfig:
    """No folder for pages (we write them), no progress bars, no usage events."""
    return DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )


def _expectation(suite: Suite, index: int, check: Check) -> Expectation:
    registered = list_registered_expectation_implementations()
    where = f"{suite.table}: expectation '{check.expectation}'"
    if check.expectation not in registered:
        near = get_close_matches(check.expectation, registered, 3)
        raise SuiteError(f"{where}: Great Expectations has none of that name; {_hint(near)}")
    try:
        return ExpectationConfiguration(
            type=check.expectation,
            kwargs=dict(check.arguments),
            meta={"index": index, "severity": check.severity.value},
            notes=_note(check),
            severity=_GX_SEVERITY[check.severity],
        ).to_domain_obj()
    except (ValueError, TypeError, GreatExpectationsError) as error:
        reason = str(error).splitlines()
        raise SuiteError(f"{where}: wrong arguments: {'; '.join(reason[1:3]) or reason[0]}") from error


def _held(expectation: Expectation, broken: int, rows: int) -> ExpectationValidationResult:
    """The result of an expectation that holds although ``broken`` of the rows break it."""
    share = 100 * broken / rows if broken else 0.0
    details = {"element_count": rows, "unexpected_count": broken, "unexpected_percent": share}
    return ExpectationValidationResult(success=True, expectation_config=expectation.configuration, result=details)


def _holds(check: Check, broken: int, rows: int) -> bool:
    """Does an expectation hold for certain? ``mostly`` is a share of the rows with a value, whose number is unknown."""
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
    """Raise SuiteError for an expectation that raised; Great Expectations' own text may quote a value."""
    info = result.exception_info or {}
    entries = [info] if "raised_exception" in info else list(info.values())
    if any(entry.get("raised_exception") for entry in entries):
        config = result.expectation_config
        column = config.kwargs.get("column", "the table")
        raise SuiteError(
            f"{suite.table}: expectation '{config.type}' on {column} cannot be evaluated by {_NAME}:"
            " check its arguments against the column's type"
        )


def _keys(details: Mapping[str, Any], column: str) -> Iterator[str]:
    """Distinct keys of offending rows: Great Expectations lists them in one entry, or row by row."""
    lists = [entry.get(column) for entry in details.get("partial_unexpected_index_list") or ()]
    keys = [key for value in lists for key in (value if isinstance(value, list) else [value])]
    yield from dict.fromkeys(str(key) for key in keys if key is not None)


def _document(table: str, results: Sequence[Any]) -> Any:
    successful = sum(bool(result.success) for result in results)
    suite_result = ExpectationSuiteValidationResult(
        success=successful == len(results),
        results=list(results),
        suite_name=table,
        statistics={
            "evaluated_expectations": len(results),
            "successful_expectations": successful,
            "unsuccessful_expectations": len(results) - successful,
            "success_percent": 100 * successful / len(results) if results else None,
        },
        meta={"great_expectations_version": gx.__version__},
    )
    return ValidationResultsPageRenderer(run_info_at_end=True).render(suite_result)
