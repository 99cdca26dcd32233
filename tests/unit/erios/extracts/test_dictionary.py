"""The codebook of a column names no value that few share, nor lets one reckon how many that are."""

from __future__ import annotations

import duckdb
import pytest

from erios.extracts.dictionary import _values


@pytest.mark.parametrize(
    ("counts", "named"),
    [
        ({"a": 60, "b": 30}, ["a", "b"]),
        ({"a": 60, "b": 30, "rare": 10}, ["a"]),
        ({"a": 60, "b": 30, "rare": 4, "rarer": 3}, ["a"]),
        ({"a": 60, "b": 30, "rare": 9, "rarer": 8}, ["a", "b"]),
    ],
    ids=["none rare", "one rare", "two, under the threshold together", "two that hide each other"],
)
def test_values_left_out_are_not_few_rows_together(counts: dict[str, int], named: list[str]) -> None:
    with duckdb.connect() as connection:
        rows = " UNION ALL ".join(f"SELECT '{value}' AS v FROM range({n})" for value, n in counts.items())
        connection.execute(f"CREATE TABLE t AS {rows}")

        entry = _values(connection, "t", "v", 11, by_patient=False)

    assert list(entry["values_percent"]) == named
    assert entry["values_not_named"] == (len(named) < len(counts))
