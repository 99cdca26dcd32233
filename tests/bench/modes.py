"""One measurement in one process: prints its seconds as JSON, Spark's start left out."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from erios.keys import init_keyring
from erios.settings import Settings, load_settings
from erios.workflows.load import gate, load_config, start_validation
from erios.workflows.spark_session import spark_session
from etl.ingest.landing import receive
from etl.ingest.staging_tasks import stage_all, staging_tasks
from etl.pipeline import load
from etl.tables import load_tables
from etl.task_runner import SparkRunner
from tests.bench.counts import measure_counts


def main() -> None:
    """`python -m tests.bench.modes MODE EXPORT HOME`."""
    mode, export, home = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    os.environ["ERIOS_HOME"] = str(home)
    settings = load_settings()
    settings.make_zones()
    if not settings.keyring.exists():
        init_keyring(settings.keyring)
    os.sync()  # what was written before is no load of this one
    print(json.dumps(MODES[mode](export, settings)))


def _bare(export: Path, settings: Settings) -> dict[str, Any]:
    tables = load_tables(settings.views_dir)
    started = time.monotonic()
    with duckdb.connect() as connection:
        for table in tables:
            files = sorted(map(str, export.glob(f"{table.view.resource}.*.ndjson")))
            if files:
                columns = {name: _duckdb_type(part) for name, part in table.view.structure.items()}
                connection.execute(
                    f"CREATE OR REPLACE VIEW src AS SELECT * FROM read_ndjson({files}, columns = {columns})"
                )
                query = table.view.sql("(SELECT src AS r FROM src)", problems=False)
                connection.execute(f"COPY ({query}) TO '{settings.home / table.name}.parquet'")
    return {"seconds": time.monotonic() - started}


def _duckdb_type(part: Any) -> str:
    if isinstance(part, list):
        return f"{_duckdb_type(part[0])}[]"
    if isinstance(part, dict):
        return "STRUCT(" + ", ".join(f'"{name}" {_duckdb_type(inner)}' for name, inner in part.items()) + ")"
    return str(part)


def _source(export: Path, settings: Settings) -> dict[str, Any]:
    plan = load_config(settings)
    batch = receive([export], settings.landing, split_bytes=plan.split_bytes)
    os.sync()
    work = settings.home / "staged"
    work.mkdir()
    with spark_session(settings) as spark:
        runner = SparkRunner(spark)
        runner.warm(plan.carried).join()
        started = time.monotonic()
        stage_all(staging_tasks(batch, plan, runner.parallelism), plan, work, runner, None)
        return {"seconds": time.monotonic() - started}


def _load(export: Path, settings: Settings) -> dict[str, Any]:
    plan = load_config(settings)
    start_validation()
    with spark_session(settings) as spark:
        runner = SparkRunner(spark)
        runner.warm(plan.carried).join()
        started = time.monotonic()
        report = load([export], plan, runner, gate(settings))
        seconds = time.monotonic() - started
    validation = report.verdict.summary["seconds"] if report.verdict else 0.0
    return {"seconds": seconds, "validation_share": validation / seconds}


def _increment(export: Path, settings: Settings) -> dict[str, Any]:
    """A full load, then the day after of ``export/../day2``, in one session: seconds of both."""
    plan = load_config(settings)
    start_validation()
    with spark_session(settings) as spark:
        runner = SparkRunner(spark)
        runner.warm(plan.carried).join()
        full = load([export], plan, runner, gate(settings)).seconds
        os.sync()  # the day after comes when the disk is at rest
        day = load([export.with_name(f"{export.name}-day2")], plan, runner, gate(settings))
    changed = day.to_dict()["totals"]["in"]
    return {"seconds": day.seconds, "full_seconds": full, "changed": changed, "share": day.seconds / full}


MODES: dict[str, Callable[[Path, Settings], dict[str, Any]]] = {
    "source": _source,
    "load": _load,
    "bare": _bare,
    "increment": _increment,
    "counts": measure_counts,
}

if __name__ == "__main__":
    main()
