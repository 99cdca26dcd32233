"""The benchmark of the main job: staging, whole load and bare DuckDB on 1×, 2× and 4× the same hospital; then the
nightly increment: the same change on warehouses of 1×, 2× and 4× the size; last the wait for a feasibility count.

Every measurement runs in a process of its own, whose memory (with Spark's JVM and its workers) is sampled from here.
Prints a table and writes JSON. Figures of one run on one machine compare with each other only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from etl.synthetic import generate
from tests.bench.increment import write_increment

MODES = {
    "source": "(a) staging: read, check, pseudonymise, stage",
    "load": "(b) whole load: landing, source, merge, validation, release",
    "bare": "(c) bare DuckDB: typed read_ndjson to Parquet, same columns",
}


EVERY = 0.2
"""Seconds between two looks at memory; what is looked at the system counts anyway, so that the measured feels none."""
COUNTS = ("first", "cold", "warm", "again")


def main() -> None:
    """Measure every mode at every scale."""
    options = _options()
    rows = []
    with TemporaryDirectory(dir=options.folder) as folder:
        for scale in options.scales:
            export = Path(folder) / f"x{scale}"
            counts = generate(export, options.patients * scale, seed=1)
            size = sum(p.stat().st_size for p in export.glob("*.ndjson"))
            for mode in options.modes:
                rows.append(_measure(mode, scale, export, Path(folder), sum(counts.types.values()), size))
                print(_line(rows[-1]), flush=True)
                shutil.rmtree(Path(folder) / f"{mode}-{scale}")
            shutil.rmtree(export)
        for scale in options.scales if options.day_patients else ():
            rows.append(_measure_increment(scale, Path(folder), options))
            print(_line(rows[-1]), flush=True)
        if options.count_patients:
            rows.append(_measure_counts(Path(folder), options))
            print(_line(rows[-1]), flush=True)
    result = {"cores": os.cpu_count(), "patients": options.patients, "rows": rows, "ratios": _ratios(rows)}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1))
    print(json.dumps(result["ratios"], indent=1))
    print(f"written: {options.out}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--patients", type=int, default=5000, help="patients at scale 1")
    parser.add_argument("--night-patients", type=int, default=5000, help="patients of the increment's warehouse at 1x")
    parser.add_argument("--day-patients", type=int, default=200, help="patients of the increment; 0 leaves it out")
    parser.add_argument("--modes", nargs="*", default=[*MODES], choices=[*MODES])
    parser.add_argument("--scales", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--out", type=Path, default=Path("var/bench.json"))
    parser.add_argument("--folder", type=Path, default=None, help="where the data lie while it runs")
    parser.add_argument("--count-patients", type=int, default=20_000, help="of the feasibility counts; 0: none")
    parser.add_argument("--counts", action="store_true", help="measure feasibility counts alone")
    parser.add_argument("--home", type=Path, help="count on the release of this home instead of a new one")
    options = parser.parse_args()
    if options.counts:
        options.modes, options.day_patients = [], 0
    return options


def _measure_counts(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The wait for a feasibility count, on a hospital of its own unless a home is named."""
    export, home = folder / "count-export", options.home or folder / "load-1"
    if not options.home:
        counts = generate(export, options.count_patients, seed=1)
        _measure("load", 1, export, folder, sum(counts.types.values()), 1)
    return _run("counts", export, home)


def _measure_increment(scale: int, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The same change on a warehouse of ``scale`` times the size."""
    export = folder / f"night-x{scale}"
    counts = generate(export, options.night_patients * scale, seed=1)
    changed = write_increment(export, folder / f"{export.name}-day2", options.day_patients)
    size = sum(p.stat().st_size for p in (folder / f"{export.name}-day2").glob("*.ndjson"))
    row = _measure("increment", scale, export, folder, changed, size)
    shutil.rmtree(export)
    shutil.rmtree(folder / f"increment-{scale}")
    return {**row, "warehouse": sum(counts.types.values())}


def _measure(mode: str, scale: int, export: Path, folder: Path, resources: int, size: int) -> dict[str, Any]:
    figures = _run(mode, export, folder / f"{mode}-{scale}")
    rate = {"resources_per_s": resources / figures["seconds"], "mb_per_s": size / 1e6 / figures["seconds"]}
    return {**figures, "scale": scale, "resources": resources, **rate}


def _run(mode: str, export: Path, home: Path) -> dict[str, Any]:
    """One measurement in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.modes", mode, str(export), str(home)]
    return {"mode": mode, **measure_child(command)}


def measure_child(command: Sequence[str]) -> dict[str, Any]:
    """What a process prints last, as JSON, and the greatest memory of it and its children."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = _Peak(child.pid)
    output, _ = child.communicate()
    if child.returncode:
        raise SystemExit(f"the measurement {' '.join(command[2:])} failed; its messages are above")
    return {**json.loads(output.splitlines()[-1]), "peak_mb": peak.stop()}


class _Peak:
    """The greatest memory of a process tree, sampled: pages of its own, those of a fork counted in each process."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._done = threading.Event()
        self._peak = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(EVERY):
            self._peak = max(self._peak, self._now())

    def _now(self) -> int:
        try:
            tree = [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return 0
        return sum(_memory(process) for process in tree)

    def stop(self) -> int:
        self._done.set()
        self._thread.join()
        return self._peak // 1_000_000


def _memory(process: psutil.Process) -> int:
    try:
        used = process.memory_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return 0
    return int(used.rss - used.shared)


def _line(row: dict[str, Any]) -> str:
    if row["mode"] == "increment":
        return (
            f"(d) the day after: {row['resources']:,} resources into {row['warehouse']:,} {row['scale']}x"
            f" {row['seconds']:>7.1f} s, {row['share']:.1%} of the full load's {row['full_seconds']:.1f} s"
        )
    if row["mode"] == "counts":
        waits = ", ".join(f"{name} {row[f'{name}_p50_ms']:.0f}/{row[f'{name}_p95_ms']:.0f}" for name in COUNTS)
        return f"(e) feasibility counts of {row['patients']:,} patients, median/95 % in ms: {waits}"
    share = f", validation {row['validation_share']:.0%}" if "validation_share" in row else ""
    return (
        f"{MODES[row['mode']]:<62} {row['scale']}x {row['resources']:>9,} resources {row['seconds']:>7.1f} s"
        f" {row['resources_per_s']:>9,.0f}/s {row['mb_per_s']:>6.1f} MB/s peak {row['peak_mb']:,} MB{share}"
    )


def _ratios(rows: list[dict[str, Any]]) -> dict[str, Any]:
    by = {(row["mode"], row["scale"]): row for row in rows if "scale" in row}
    scales = sorted({row["scale"] for row in rows if "scale" in row})
    if not scales:
        return {}
    last, first = scales[-1], scales[0]
    ratios: dict[str, Any] = {}
    if ("bare", first) in by and ("source", first) in by:
        ratios["source_to_bare"] = {s: round(by["bare", s]["seconds"] / by["source", s]["seconds"], 2) for s in scales}
    if ("load", first) in by:
        ratios["load_resources_per_s"] = {s: round(by["load", s]["resources_per_s"]) for s in scales}
        ratios["validation_share"] = {s: round(by["load", s]["validation_share"], 2) for s in scales}
        ratios[f"load_peak_{last}x_to_{first}x"] = round(by["load", last]["peak_mb"] / by["load", first]["peak_mb"], 2)
    if ("increment", first) in by:
        ratios["increment_share_of_full_load"] = {s: round(by["increment", s]["share"], 3) for s in scales}
        whole = by["increment", first]["seconds"]
        ratios["increment_seconds_to_1x"] = {s: round(by["increment", s]["seconds"] / whole, 2) for s in scales}
    return ratios


if __name__ == "__main__":
    started = time.monotonic()
    main()
    print(f"in {time.monotonic() - started:.0f} s")
