"""Quoting for SQL: DuckDB reads back what was quoted."""

from pathlib import Path

import duckdb
import pytest

from etl.sql import identifier, list_literal, literal

ODD = ["plain", "l'hôpital", "''", '"quoted"', "back\\slash", "a;--b"]


@pytest.mark.parametrize("text", ODD)
def test_literal_reads_back(text):
    assert duckdb.execute(f"SELECT {literal(text)}").fetchone() == (text,)


@pytest.mark.parametrize("text", ODD)
def test_identifier_names_a_column(text):
    assert duckdb.execute(f"SELECT 1 AS {identifier(text)}").description[0][0] == text


def test_list_literal_reads_back_in_order():
    assert duckdb.execute(f"SELECT {list_literal(ODD)}").fetchone() == (ODD,)


def test_list_literal_of_paths():
    assert list_literal([Path("a/b.parquet"), Path("c")]) == "['a/b.parquet', 'c']"
