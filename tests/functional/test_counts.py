"""Counts of a real release: DuckDB and Spark show the same, from the release the criteria are asked of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from erios.extracts.counts import open_counter
from erios.extracts.criteria import parse
from tests.desk import Desk

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from erios.settings import Settings

QUESTION = parse(
    {
        "and": [
            {"age": {"min": 30, "at": "stay"}},
            {"or": [{"diagnosis": {"codes": ["I00-I99", "E11"]}}, {"treatment": {"atc": ["N02"]}}]},
            {"laboratory": {"loinc": "718-7", "op": "<", "value": 15, "unit": "g/dL"}},
            {"not": {"procedure": {"ccam": ["HHFA"]}}},
            {"within": {"event": {"stay": {"class": ["EMER"]}}, "days": 400, "of": {"stay": {"class": ["IMP"]}}}},
        ]
    }
)


@pytest.mark.long  # `portal/test_engines.py` compares both engines on each form of a criterion
def test_release_is_counted_alike_by_duckdb_and_spark(
    tmp_path: Path, module_settings: Settings, load: Callable[..., object], spark: SparkSession
) -> None:
    from etl.synthetic import generate

    generate(tmp_path / "export", 80, seed=3)
    load([tmp_path / "export"], module_settings)

    duck = Desk().ask(open_counter(module_settings), QUESTION)
    jvm = Desk().ask(open_counter(module_settings, spark=spark), QUESTION)

    assert (duck.everybody, duck.steps, duck.total) == (jvm.everybody, jvm.steps, jvm.total)
    assert duck.entry.answers == jvm.entry.answers
    assert duck.everybody.value is not None
    assert duck.release == "r000001"
    assert len(duck.steps) == 5
