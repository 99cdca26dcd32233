"""One expectation that checks many others at once: it counts the rows that break each of them.

Great Expectations spends some ten milliseconds of Python on every expectation, and almost all expectations of a suite
look at single rows and hold. One query checks them all here, with the conditions of their own metrics; only those
that some row breaks are then run one by one. Nothing of a row is read but whether it breaks a condition.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import sqlalchemy as sa
from great_expectations.core.metric_function_types import MetricPartialFunctionTypes
from great_expectations.exceptions.exceptions import MetricProviderError
from great_expectations.execution_engine.sqlalchemy_execution_engine import SqlAlchemyExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation, ColumnMapExpectation, Expectation
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from great_expectations.expectations.registry import get_metric_kwargs, get_metric_provider
from great_expectations.validator.metric_configuration import MetricConfiguration

Condition = str
"""JSON text of ``metric``, ``column`` and ``arguments``; text because Great Expectations hashes it many times."""

_METRIC = "table.unexpected_rows_of_each"
_BASE_METRICS: Mapping[str, Any] = {
    "table.columns": None,
    "table.column_types": {"include_nested": True},
    "table.row_count": None,
}
"""Metrics, with their arguments, that a condition may depend on; an expectation that needs others is run alone."""


def condition(expectation: Expectation, engine: SqlAlchemyExecutionEngine) -> Condition | None:
    """The condition of the rows that break an expectation; None for an expectation that is not on single rows."""
    if not isinstance(expectation, ColumnMapExpectation) or expectation.row_condition:
        return None
    metric = f"{expectation.map_metric}.{MetricPartialFunctionTypes.MAP_CONDITION_FN.metric_suffix}"
    names = _arguments(metric, engine)
    if names is None:
        return None
    arguments = {name: getattr(expectation, name) for name in names if hasattr(expectation, name)}
    try:
        return json.dumps({"metric": metric, "column": expectation.column, "arguments": arguments})
    except TypeError:  # an argument without a JSON form, such as an instant
        return None


def _arguments(metric: str, engine: SqlAlchemyExecutionEngine) -> tuple[str, ...] | None:
    """Names of the metric's arguments; None if it looks at more than a row or depends on other metrics than ours."""
    try:
        provider, function = get_metric_provider(metric, engine)
    except MetricProviderError:
        return None
    needed = provider.get_evaluation_dependencies(metric=MetricConfiguration(metric, {}, {}), execution_engine=engine)
    implementation: Any = function
    if (
        implementation.metric_fn_type != MetricPartialFunctionTypes.MAP_CONDITION_FN
        or not needed.keys() <= _BASE_METRICS.keys()
    ):
        return None
    return tuple(get_metric_kwargs(metric)["metric_value_keys"])


class ExpectRowsToBreakNone(BatchExpectation):
    """No row breaks any of the conditions.

    The counts are in the result's meta (``rows``, and ``broken``: one count a condition), because the result format
    ``BOOLEAN_ONLY`` empties the result itself.
    """

    conditions: list[str]

    metric_dependencies: ClassVar[tuple[str, ...]] = (_METRIC,)
    success_keys: ClassVar[tuple[str, ...]] = ("conditions",)

    def _validate(
        self, metrics: dict[str, Any], runtime_configuration: Any = None, execution_engine: Any = None
    ) -> dict[str, Any]:
        rows, *broken = metrics[_METRIC]
        return {"success": not any(broken), "meta": {"broken": broken, "rows": rows}}


class UnexpectedRowsOfEach(TableMetricProvider):
    """The number of rows, and of those that each condition finds, in one query."""

    metric_name = _METRIC
    value_keys = ("conditions",)

    @metric_value(engine=SqlAlchemyExecutionEngine)
    def _sqlalchemy(
        cls,  # noqa: N805 - Great Expectations calls it with the class
        execution_engine: SqlAlchemyExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> list[int]:
        conditions = [
            _unexpected(json.loads(each), execution_engine, metric_domain_kwargs, metrics)
            for each in metric_value_kwargs["conditions"]
        ]
        counts = [sa.func.count(sa.case((each, 1))).label(f"broken_{i}") for i, each in enumerate(conditions)]
        query = sa.select(sa.func.count(), *counts).select_from(
            execution_engine.get_domain_records(metric_domain_kwargs)
        )
        return [int(count) for count in execution_engine.execute_query(query).fetchone()]

    @classmethod
    def _get_evaluation_dependencies(cls, metric: MetricConfiguration, *_: Any, **__: Any) -> Any:
        domain = metric.metric_domain_kwargs
        return {name: MetricConfiguration(name, domain, arguments) for name, arguments in _BASE_METRICS.items()}


def _unexpected(
    condition: Mapping[str, Any],
    engine: SqlAlchemyExecutionEngine,
    domain: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> Any:
    """SQL of a condition, written by its own metric."""
    provider, function = get_metric_provider(condition["metric"], engine)
    return function(
        cls=provider,
        execution_engine=engine,
        metric_domain_kwargs={**domain, "column": condition["column"]},
        metric_value_kwargs=condition["arguments"],
        metrics=metrics,
        runtime_configuration={},
    )[0]


def rows_break_none(conditions: Sequence[Condition], meta: Mapping[str, Any]) -> Expectation:
    """The expectation that counts the rows that break each of the conditions."""
    return ExpectRowsToBreakNone(conditions=list(conditions), meta=dict(meta))
