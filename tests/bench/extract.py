"""The benchmark of an extract with its risk report, at 2.5, 5 and 10 million rows, beside a bare Spark copy.

A generated hospital is loaded once; its release is then multiplied: every row comes again under other keys, made from
its own. (a) builds the extract of everybody (cohort, study pseudonyms, moved dates, coarser values, dictionary, hashes)
and assesses its risk; (b) is Spark alone, reading the same columns of the same release and writing them as Parquet.
Each measurement runs in a process of its own, whose memory is sampled with that of Spark; the start of Spark is left
out of both. Figures of one run on one machine compare with each other only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from erios.checkout import PROJECT
from erios.extracts.specification import Specification, read_specification, warehouse_tables
from erios.keys import init_keyring
from erios.settings import load_settings
from etl.duckdb_engine import connect
from etl.sql import literal
from etl.synthetic import generate
from etl.tables import WarehouseTable
from etl.warehouse.changes import TableChanges
from etl.warehouse.data_files import DataFile, new_path, stamp
from etl.warehouse.delta import commit_table
from etl.warehouse.release import Release, open_release, publish
from tests.bench.__main__ import measure_child

ROWS = 2_500_000
SPECIFICATION: Mapping[str, Any] = {
    "cohort": {"and": []},
    "dates": "shifted",
    "destination": "benchmark",
    "tables": {
        "patient": {
            "gender": "x",
            "deceased": "x",
            "birth_date": {"why": "x", "as": "years:10"},
            "departement": {"why": "x", "as": "region"},
        },
        "encounter": {"encounter_key": "x", "class": "x", "period_start": "x", "period_end": "x"},
        "condition": {"encounter_key": "x", "code_icd10": {"why": "x", "as": "category"}, "recorded_date": "x"},
        "observation": {"encounter_key": "x", "code_loinc": "x", "value_quantity": "x", "effective": "x"},
    },
}


def specification() -> Specification:
    """The columns of a usual request: who, which stays, which diagnoses, which results."""
    return read_specification(SPECIFICATION, load_settings().views_dir)


def load_hospital(patients: int) -> Release:
    """A generated hospital as a release of the home that the environment names."""
    from erios.workflows.load import load_export

    settings = load_settings()
    settings.make_zones()
    init_keyring(settings.keyring)
    export = settings.home / "export"
    generate(export, patients, seed=1)
    load_export([export], settings)
    shutil.rmtree(export)
    shutil.rmtree(settings.landing)
    return open_release(settings.warehouse)


def multiply(release: Release, rows: int, warehouse: Path) -> Release:
    """A release in ``warehouse`` of at least ``rows`` rows of the specification's tables, copies under other keys."""
    tables = {table.name: warehouse_tables(load_settings().views_dir)[table.name] for table in specification().tables}
    times = -(-rows // sum(release.tables[name].rows for name in tables))
    for name, table in tables.items():
        files = _files(release, name)
        copies = [_copy(table, path, file, number, warehouse) for number in range(times) for path, file in files]
        commit_table(warehouse, name, table.column_types(), TableChanges(name, added=copies), "copies")
    draft = replace(release, batch="copies", warehouse=warehouse, totals={}, types={}, validation={})
    return publish(draft, list(tables))


def _files(release: Release, name: str) -> list[tuple[str, DataFile]]:
    return list(zip(release.files(name), release.data_files(name), strict=True))


def _copy(table: WarehouseTable, source: str, file: DataFile, number: int, warehouse: Path) -> DataFile:
    """One file of a table with every pseudonym replaced by one of its own and the copy's number."""
    keys = [c.name for c in table.view.columns if c.privacy == "pseudonym" and not c.collection]
    renamed = ", ".join(f"""md5("{name}" || '/{number}') AS "{name}\"""" for name in keys)
    folder = warehouse / "tables" / table.name
    draft = new_path(file.bucket, *file.range)
    (folder / draft).parent.mkdir(parents=True, exist_ok=True)
    with connect(1024) as sql:
        sql.execute(
            f"COPY (SELECT * REPLACE ({renamed}) FROM read_parquet({literal(source)}, hive_partitioning = false))"
            f" TO {literal(folder / draft)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 16384)"
        )
    path = stamp(folder, draft)
    return DataFile(path, file.bucket, (folder / path).stat().st_size, file.rows)


def measure_extract(release: Release, folder: Path) -> dict[str, Any]:
    """Seconds of building the extract of everybody, and of assessing it."""
    from erios.extracts.risk import assess, load_knowledge
    from erios.workflows.spark_session import spark_session
    from etl.task_runner import SparkRunner

    settings, wanted = load_settings(), specification()
    names = {table.name: table.names() for table in wanted.tables}
    with spark_session(settings) as spark:
        runner = SparkRunner(spark)
        runner.warm().join()
        started = time.monotonic()
        rows = _build(release, wanted, folder, runner)
        built = time.monotonic()
        knowledge, memory = load_knowledge(PROJECT / "conf" / "risk.toml"), settings.load.task_memory_mb
        assess(folder / "data", names, knowledge, threshold=11, seed=1, memory_mb=memory)
        done = time.monotonic()
    return {"seconds": done - started, "build": built - started, "report": done - built, "rows": rows}


def _build(release: Release, wanted: Specification, folder: Path, runner: Any) -> int:
    from erios.extracts.build import build
    from erios.extracts.build_plan import BuildPlan
    from erios.extracts.dictionary import Context, write_dictionary
    from erios.extracts.generalisation.columns import Terms
    from erios.extracts.manifest import list_files, root_of
    from erios.keys import study_key
    from erios.view_texts import view_texts

    settings = load_settings()
    tables, memory = warehouse_tables(settings.views_dir), settings.load.task_memory_mb
    key = partial(study_key, settings.keyring, "E2026-001", release.key_id)
    plan = BuildPlan(folder, wanted, tables, Terms(wanted.dates, 2026), 11, memory, key)
    done = build(plan, release, runner)
    texts = view_texts(settings.views_dir, "fr")
    context = Context("E2026-001-X01", "E2026-001", "Benchmark", release.id, "CHU", release.created, texts)
    rows = write_dictionary(folder, wanted, tables, context, runner, threshold=11, memory_mb=memory)
    root_of(list_files(folder, rows))
    return sum(done.rows.values())


def measure_spark(release: Release, folder: Path) -> dict[str, Any]:
    """Seconds of reading and writing the same columns by Spark, as many tasks at once as there are cores."""
    from erios.workflows.spark_session import spark_session

    with spark_session(load_settings()) as spark:
        spark.range(10).count()
        started = time.monotonic()
        for table in specification().tables:
            names = [name for name in table.names() if name != "patient_key"]
            release.spark(table.name, spark).select("patient_key", *names).write.parquet(str(folder / table.name))
        return {"seconds": time.monotonic() - started}


MODES: Mapping[str, Callable[[Release, Path], dict[str, Any]]] = {"extract": measure_extract, "spark": measure_spark}


def main() -> None:
    """Print a line for each measurement, and the ratios."""
    options = _options()
    if options.child:
        _measure_here(options.child, options.warehouse)
        return
    with TemporaryDirectory(dir=options.folder) as place:
        os.environ["ERIOS_HOME"] = place
        release = load_hospital(options.patients)
        for scale in options.scales:
            _measure_scale(release, options.rows * scale, Path(place))


def _measure_scale(release: Release, rows: int, place: Path) -> None:
    warehouse = place / f"copies-{rows}"
    copies = multiply(release, rows, warehouse)
    rows = sum(table.rows for table in copies.tables.values())
    found = {mode: _measure(mode, warehouse) for mode in MODES}
    ours, bare = found["extract"], found["spark"]
    print(
        f"{rows:>11,} rows  build {ours['build']:.1f} s  report {ours['report']:.1f} s  peak {ours['peak_mb']:,} MB"
        f"  Spark's copy {bare['seconds']:.1f} s  rate beside it {bare['seconds'] / ours['seconds']:.2f}",
        flush=True,
    )
    shutil.rmtree(warehouse)


def _measure(mode: str, warehouse: Path) -> dict[str, Any]:
    return measure_child([sys.executable, "-m", "tests.bench.extract", "--child", mode, "--warehouse", str(warehouse)])


def _measure_here(mode: str, warehouse: Path) -> None:
    with TemporaryDirectory(dir=warehouse) as folder:
        print(json.dumps(MODES[mode](open_release(warehouse), Path(folder))))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.extract")
    parser.add_argument("--patients", type=int, default=5000, help="patients of the hospital that is multiplied")
    parser.add_argument("--rows", type=int, default=ROWS, help="rows at scale 1, at least")
    parser.add_argument("--scales", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--folder", type=Path, default=None, help="where the data lie while it runs")
    parser.add_argument("--child", choices=[*MODES], help=argparse.SUPPRESS)
    parser.add_argument("--warehouse", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
