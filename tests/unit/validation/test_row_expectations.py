"""What is asked of all rows at once has the answers that Great Expectations gives when it is asked one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

import validation.engine
from validation import StagedTable, SuiteError, ValidationReport, check_tables

ROWS = """
SELECT md5(i::VARCHAR) AS thing_key, CASE WHEN i % 7 > 0 THEN ['a', 'bb', 'ccc'][i % 3 + 1] END AS word,
       CASE WHEN i % 5 > 0 THEN i END AS number, (i * 0.5)::DECIMAL(38, 22) AS size,
       DATE '2026-01-01' + (i % 9)::INTEGER AS day, i % 11 = 0 AS rare
FROM range(200) t(i)
"""
ASKED: list[dict[str, Any]] = [
    {"expectation": "expect_column_values_to_be_in_set", "column": "word", "value_set": ["a", "bb"]},
    {"expectation": "expect_column_values_to_be_in_set", "column": "word", "value_set": ["a", "bb", "ccc"]},
    {"expectation": "expect_column_values_to_be_in_set", "column": "rare", "value_set": [False]},
    {"expectation": "expect_column_values_to_be_in_set", "column": "word", "value_set": ["a", "bb"], "mostly": 0.6},
    {"expectation": "expect_column_values_to_not_be_in_set", "column": "word", "value_set": ["ccc"]},
    {"expectation": "expect_column_values_to_be_between", "column": "number", "min_value": 2, "max_value": 150},
    {"expectation": "expect_column_values_to_be_between", "column": "number", "min_value": 1, "strict_min": True},
    {"expectation": "expect_column_values_to_be_between", "column": "size", "max_value": 99.5, "strict_max": True},
    {"expectation": "expect_column_values_to_be_between", "column": "day", "min_value": "2026-01-03"},
    {"expectation": "expect_column_values_to_not_be_null", "column": "word"},
    {"expectation": "expect_column_values_to_not_be_null", "column": "word", "mostly": 0.8},
    {"expectation": "expect_column_values_to_not_be_null", "column": "word", "mostly": 0.9},
    {"expectation": "expect_column_values_to_be_null", "column": "number"},
    {"expectation": "expect_column_values_to_match_regex", "column": "word", "regex": "^[a-z]{1,2}$"},
    {"expectation": "expect_column_values_to_not_match_regex", "column": "word", "regex": "d"},
    {"expectation": "expect_column_value_lengths_to_equal", "column": "word", "value": 1},
    {"expectation": "expect_column_values_to_be_unique", "column": "word"},
    {"expectation": "expect_column_values_to_be_unique", "column": "thing_key"},
    {"expectation": "expect_column_pair_values_a_to_be_greater_than_b", "column_A": "number", "column_B": "size"},
    {"expectation": "expect_column_max_to_be_between", "column": "number", "max_value": 100},
]


def _report(folder: Path, asked: list[dict[str, Any]], rows: str = ROWS) -> ValidationReport:
    suites = folder / "suites"
    suites.mkdir(exist_ok=True)
    sentences = [
        {"severity": "warn", "sentence": f"{n}: {{count}} of {{evaluated}}"} | one for n, one in enumerate(asked)
    ]
    (suites / "thing.json").write_text(json.dumps({"expectations": sentences}))
    (suites / "every_table.json").write_text(json.dumps({"expectations": []}))
    duckdb.execute(f"COPY ({rows}) TO '{folder / 'thing.parquet'}' (FORMAT parquet)")
    return check_tables({"thing": StagedTable("thing", (str(folder / "thing.parquet"),))}, suites, folder / "docs")


@pytest.mark.parametrize("asked", ASKED, ids=lambda one: f"{one['expectation']}-{one.get('column')}")
def test_answers_are_those_of_expectations_asked_one_by_one(asked, tmp_path, monkeypatch):
    together = _report(tmp_path, [asked, *ASKED[:2]]).results[0]
    monkeypatch.setattr(validation.engine, "condition", lambda *_: None)
    alone = _report(tmp_path, [asked]).results[0]
    assert (together.success, together.unexpected) == (alone.success, alone.unexpected)
    assert alone.success or set(together.keys) == set(alone.keys)


def test_all_at_once_each_has_its_own_answer(tmp_path):
    results = _report(tmp_path, ASKED).results
    good = [n for n, result in enumerate(results) if result.success]
    assert good == [1, 3, 10, 14, 17, 18]
    assert [results[n].unexpected for n in (0, 5, 9, 13)] == [57, 41, 29, 57]


def test_no_rows_break_nothing(tmp_path):
    report = _report(tmp_path, [*ASKED[:9], ASKED[9]], f"SELECT * FROM ({ROWS}) WHERE false")
    assert all(result.success and result.evaluated == 0 for result in report.results)


def test_one_expectation_that_cannot_be_evaluated_is_named_among_many(tmp_path):
    wrong = {"expectation": "expect_column_values_to_match_regex", "column": "number", "regex": "["}
    with pytest.raises(SuiteError, match="thing: expectation 'expect_column_values_to_match_regex' on number"):
        _report(tmp_path, [*ASKED[:5], wrong, *ASKED[5:9]])
