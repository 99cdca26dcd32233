"""Files of rows in their patients' order: every row once, no file over two buckets, the values as they were."""

from __future__ import annotations

from decimal import Decimal
from hashlib import md5

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl.warehouse.data_files import bucket_sql, is_whole, within_sql
from etl.warehouse.parquet_writer import WriteTarget, copy_without, write_clustered, write_file

NAMES = ("thing_key", "happened", "size", "marks", "nothing", "number")
ROWS = """
SELECT md5(i::VARCHAR) AS thing_key, TIMESTAMPTZ '2026-01-01 00:00:00+01' + to_hours(i::INTEGER) AS happened,
       (i * 1.10)::DECIMAL(38, 22) AS size, CASE WHEN i % 3 = 0 THEN ['a', NULL, i::VARCHAR] END AS marks,
       NULL::VARCHAR AS nothing, i AS number, thing_key AS _cluster
FROM range({count}) t(i)
"""


def _write(folder, count, **place):
    sql = duckdb.connect(config={"threads": 1})
    sql.execute("SET TimeZone = 'UTC'")
    known = {"buckets": 4, "first": 0, "last": 3, "file_rows": 1024, **place}
    inside = within_sql("_cluster", known["buckets"], known["first"], known["last"])
    return write_clustered(
        sql, f"SELECT * FROM ({ROWS.format(count=count)}) WHERE {inside}", NAMES, WriteTarget(folder, **known)
    )


def _rows(folder, files, order="number"):
    paths = [str(folder / file.path) for file in files]
    names = ", ".join(NAMES)
    return duckdb.execute(
        f"SELECT {names} FROM read_parquet({paths}, hive_partitioning = false) ORDER BY {order}"
    ).fetchall()


@pytest.mark.parametrize("parts", [1, 3, 16])
def test_every_row_is_written_once_and_reads_as_it_was(tmp_path, parts):
    files = _write(tmp_path, 5000, parts=parts)
    expected = duckdb.execute(f"SELECT {', '.join(NAMES)} FROM ({ROWS.format(count=5000)}) ORDER BY number").fetchall()
    assert _rows(tmp_path, files) == expected
    assert expected[1][2] == Decimal("1.1")
    assert sum(file.rows for file in files) == 5000


def test_a_file_lies_in_one_bucket_is_sorted_bounded_and_says_its_range(tmp_path):
    files = _write(tmp_path, 9000)
    assert {file.bucket for file in files} == {0, 1, 2, 3}
    for file in files:
        keys = pq.read_table(tmp_path / file.path, columns=["thing_key"], partitioning=None)["thing_key"].to_pylist()
        buckets = duckdb.execute(f"SELECT DISTINCT {bucket_sql('k', 4)} FROM (SELECT unnest({keys}) AS k)").fetchall()
        assert buckets == [(file.bucket,)]
        assert keys == sorted(keys)
        assert file.range == (keys[0][:8], keys[-1][:8])
        assert len(keys) == file.rows <= 1024
        assert is_whole(tmp_path / file.path)


def test_files_of_a_bucket_are_about_even(tmp_path):
    files = _write(tmp_path, 5000, file_rows=1200)
    per_bucket = [[file.rows for file in files if file.bucket == bucket] for bucket in range(4)]
    assert [len(rows) for rows in per_bucket] == [2, 2, 2, 2]
    assert all(max(rows) - min(rows) <= 1 for rows in per_bucket)


def test_no_rows_make_no_file_and_buckets_without_rows_none(tmp_path):
    assert _write(tmp_path, 0) == []
    one = _write(tmp_path, 1)
    assert [(file.rows, file.bucket) for file in one] == [(1, int(md5(b"0").hexdigest()[:4], 16) // 16384)]


def test_only_the_buckets_of_the_place_are_written(tmp_path):
    files = _write(tmp_path, 5000, first=1, last=2, parts=2)
    assert {file.bucket for file in files} == {1, 2}


def test_an_empty_column_keeps_its_type(tmp_path):
    (file, *_) = _write(tmp_path, 50)
    schema = pq.read_schema(tmp_path / file.path)
    assert str(schema.field("nothing").type) == "string"
    assert str(schema.field("happened").type) == "timestamp[us, tz=UTC]"
    assert str(schema.field("size").type) == "decimal128(38, 22)"


@pytest.mark.parametrize("gone", [(0, 7, 899), range(0, 900, 3), (450,)], ids=["a few", "many", "one"])
def test_a_copy_lacks_the_rows_named_and_nothing_else(tmp_path, gone):
    """Also a copy of a copy: an empty column stays one, and what repeats reads as before."""
    (file, *_) = _write(tmp_path, 900, buckets=1, last=0)
    before = _rows(tmp_path, [file], "thing_key")
    first = copy_without(tmp_path, file, list(gone))
    copied = copy_without(tmp_path, first, [1])
    left = [row for n, row in enumerate(before) if n not in gone]
    assert _rows(tmp_path, [copied], "thing_key") == [left[0], *left[2:]]
    assert (copied.rows, copied.bucket, copied.range) == (len(left) - 1, 0, file.range)
    assert pq.read_schema(tmp_path / copied.path) == pq.read_schema(tmp_path / file.path)


def test_a_column_that_is_empty_in_one_row_group_only_is_copied(tmp_path):
    rows = pa.table({"thing_key": list("abcdef"), "late": pa.array([None, None, None, "p", "q", "r"], pa.string())})
    file = write_file(rows, tmp_path, 0, "0" * 8, "f" * 8)
    pq.write_table(rows, tmp_path / file.path, row_group_size=3)
    copied = copy_without(tmp_path, file, [0])
    left = pq.read_table(tmp_path / copied.path, partitioning=None)
    assert left["late"].to_pylist() == [None, None, "p", "q", "r"]
