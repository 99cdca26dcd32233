"""The benchmark of the risk report: its time and peak memory at 2.5, 5 and 10 million rows, beside bare copies.

Four tables of made-up patients (demography, stays, diagnoses, results), 40 rows a patient. Each measurement runs in a
process of its own; the copies read and write the same columns as Parquet. The time of the copy by Spark leaves out
the start of its JVM, and its memory is not taken. Figures of one run on one machine compare with each other only.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from erios.checkout import PROJECT
from erios.extracts.risk import assess, load_knowledge

ROWS = 2_500_000
ROWS_PER_PATIENT = 40
MEMORY_MB = 512
_KEY = "left(sha256('bench ' || p), 32) AS patient_key"
_DAY = "strftime(DATE '2018-01-01' + CAST(hash(n * {}) % 2000 AS INTEGER), '%Y-%m-%d')"
TABLES: Mapping[str, tuple[int, str]] = {
    "patient": (
        1,
        "CASE WHEN hash(p) % 2 = 0 THEN 'female' ELSE 'male' END AS gender, hash(p * 11) % 20 = 0 AS deceased,"
        " CAST(1930 + hash(p * 3) % 90 AS VARCHAR) AS birth_date,"
        " CASE WHEN hash(p * 5) % 4 > 0 THEN '69' ELSE CAST(10 + hash(p * 7) % 19 AS VARCHAR) END AS departement",
    ),
    "encounter": (
        2,
        "left(sha256('stay ' || n), 32) AS encounter_key, CASE WHEN hash(n) % 3 = 0 THEN 'IMP' ELSE 'AMB' END AS class,"
        f" {_DAY.format(13)} AS period_start, CAST(hash(n * 17) % 20 AS DOUBLE) AS length_value",
    ),
    "condition": (
        5,
        "chr(CAST(65 + hash(n * 19) % 26 AS INTEGER)) || CAST(10 + sqrt(hash(n * 23) % 400) AS INTEGER) || '.'"
        f" || hash(n * 29) % 10 AS code_icd10, {_DAY.format(31)} AS recorded_date",
    ),
    "observation": (
        32,
        "CAST(sqrt(hash(n * 37) % 90000) AS INTEGER) || '-1' AS code_loinc,"
        f" hash(n * 41) % 1000 / 10.0 AS value_quantity, {_DAY.format(43)} AS effective",
    ),
}


def generate(folder: Path, rows: int) -> None:
    """The made-up extract, two files a table."""
    patients = rows // ROWS_PER_PATIENT
    for name, (each, columns) in TABLES.items():
        (folder / name).mkdir(parents=True)
        who = "n" if each == 1 else f"hash(n * 47) % {patients}"
        for part, (start, stop) in enumerate([(0, patients * each // 2), (patients * each // 2, patients * each)]):
            source = f"SELECT n, {who} AS p FROM range({start}, {stop}) rows_of(n)"
            target = folder / name / f"part-{part}.parquet"
            duckdb.execute(f"COPY (SELECT {_KEY}, {columns} FROM ({source})) TO '{target}' (COMPRESSION zstd)")


def measure_assess(folder: Path, _: Path) -> float:
    """The whole report, DuckDB within ``MEMORY_MB``."""
    knowledge = load_knowledge(PROJECT / "conf" / "risk.toml")
    started = time.monotonic()
    assess(folder, {name: [] for name in TABLES}, knowledge, seed=1, memory_mb=MEMORY_MB, population=5_000_000)
    return time.monotonic() - started


def measure_duckdb(folder: Path, target: Path) -> float:
    """A copy of all tables by DuckDB."""
    started = time.monotonic()
    for name in TABLES:
        duckdb.execute(f"COPY (FROM '{folder / name}/part-*.parquet') TO '{target / name}.parquet'")
    return time.monotonic() - started


def measure_spark(folder: Path, target: Path) -> float:
    """A copy of all tables by Spark, as many tasks at once as there are cores."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[*]").config("spark.driver.memory", "2g")
    spark = builder.config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    spark.range(10).count()
    started = time.monotonic()
    for name in TABLES:
        spark.read.parquet(str(folder / name)).write.parquet(str(target / name))
    seconds = time.monotonic() - started
    spark.stop()
    return seconds


MODES: Mapping[str, Callable[[Path, Path], float]] = {
    "assess": measure_assess,
    "spark": measure_spark,
    "duckdb": measure_duckdb,
}


def main() -> None:
    """Print a line for each measurement, and the ratios."""
    options = _options()
    if options.child:
        _measure_here(options.child, options.folder)
        return
    seconds: dict[tuple[str, int], float] = {}
    for scale in options.scales:
        with TemporaryDirectory(dir=options.folder) as place:
            generate(Path(place) / "extract", options.rows * scale)
            for mode in options.modes:
                seconds[mode, scale] = _measure(mode, scale, options.rows * scale, Path(place))
    for scale in options.scales:
        if ("assess", scale) in seconds and ("spark", scale) in seconds:
            print(f"rate of the report beside a bare Spark copy {scale}x: {_ratio(seconds, scale):.2f}")


def _ratio(seconds: Mapping[tuple[str, int], float], scale: int) -> float:
    return seconds["spark", scale] / seconds["assess", scale]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.risk")
    parser.add_argument("--rows", type=int, default=ROWS, help="rows at scale 1")
    parser.add_argument("--scales", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--modes", nargs="*", default=[*MODES], choices=[*MODES])
    parser.add_argument("--folder", type=Path, default=None, help="where the data lie while it runs")
    parser.add_argument("--child", choices=[*MODES], help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(mode: str, scale: int, rows: int, place: Path) -> float:
    command = [sys.executable, "-m", "tests.bench.risk", "--child", mode, "--folder", str(place)]
    child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures = json.loads(child.stdout.splitlines()[-1])
    memory = "" if mode == "spark" else f"  peak {figures['peak_mb']:,} MB"
    seconds = float(figures["seconds"])
    print(f"{mode:<8} {scale}x {rows:>11,} rows {seconds:>7.1f} s {rows / seconds:>11,.0f} rows/s{memory}", flush=True)
    return seconds


def _measure_here(mode: str, place: Path) -> None:
    with TemporaryDirectory(dir=place) as target:
        seconds = MODES[mode](place / "extract", Path(target))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak}))


if __name__ == "__main__":
    main()
