"""A release opens as Spark frame, DuckDB relation, Polars frame and files, and as plain Delta tables."""

from __future__ import annotations

import pytest
from deltalake import DeltaTable

from etl.errors import ReleaseError
from etl.warehouse.data_files import TABLES
from etl.warehouse.release import open_release


@pytest.fixture(scope="module")
def release(module_settings, load, patient, write_ndjson, tmp_path_factory):
    path = write_ndjson(tmp_path_factory.mktemp("in") / "p.ndjson", [patient(f"p{n}") for n in range(50)])
    load([path], module_settings)
    return open_release(module_settings.warehouse)


@pytest.mark.parametrize(("table", "rows"), [("patient", 50), ("encounter", 0)])
def test_every_way_to_open_a_table_has_the_same_rows(release, spark, table, rows):
    import pyarrow.parquet as pq

    counts = {
        "pinned": release.tables[table].rows,
        "spark": release.spark(table, spark).count(),
        "duckdb": release.duckdb(table).count("*").fetchall()[0][0],
        "polars": release.polars(table).collect().height,
        "files": sum(pq.ParquetFile(path).metadata.num_rows for path in release.files(table)),
    }
    assert counts == dict.fromkeys(counts, rows)


def test_any_delta_reader_can_open_every_table(release):
    counts = {}
    for name, pinned in release.tables.items():
        table = DeltaTable(str(release.warehouse / TABLES / name), version=pinned.version)
        counts[name] = table.count()
    assert counts == {name: pinned.rows for name, pinned in release.tables.items()}


def test_an_unknown_release_and_table_name_those_that_exist(release):
    with pytest.raises(ReleaseError, match="no release 'r9'; releases: r000001"):
        open_release(release.warehouse, "r9")
    with pytest.raises(ReleaseError, match=r"has no table 'patients'; tables: .*patient"):
        release.files("patients")


def test_a_warehouse_without_a_release_says_what_to_run(tmp_path):
    with pytest.raises(ReleaseError, match="run `erios etl load PATH` first"):
        open_release(tmp_path)
