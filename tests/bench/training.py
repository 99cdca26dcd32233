"""The benchmark of training: the same bundle bare under MONAI and through ``erios train``, epoch by epoch.

Both run in processes of their own, in turn. An epoch through the workbench holds all that it adds: telling the losses,
the record's process, the energy meter, checkpoints, and reading the extract's bytes again. Then what telling costs an
iteration, alone. Figures of one run on one machine compare with each other only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from erios.checkout import PROJECT

REPEAT = "$@train_rows.items() * {}"


def main() -> None:
    """Print both epochs' seconds, their ratio, and the cost of telling an iteration."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.training")
    parser.add_argument("--patients", type=int, default=2000)
    parser.add_argument("--times", type=int, default=60, help="how often an epoch goes through the rows")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bare", nargs=2, metavar=("DATASET", "OUT"), help="used by the benchmark itself")
    options = parser.parse_args()
    if options.bare:
        print(json.dumps(bare_epochs(Path(options.bare[0]), Path(options.bare[1]), options)))
        return
    with TemporaryDirectory(prefix="erios-bench-") as folder:
        measure(Path(folder), options)


def measure(folder: Path, options: argparse.Namespace) -> None:
    """Make the hospital, then train in turn."""
    from erios.database import set_up_django

    set_up_django("tests.site")
    from tests.training.hospital import make_hospital

    home = make_hospital(folder / "home", options.patients)
    dataset = next((home / "studies").glob("*/*/manifest.json")).parent
    bare, ours = [], []
    for number in range(options.rounds):
        bare += _bare(dataset, folder / f"bare-{number}", options)
        ours += _ours(home, number + 1, options)
    result = {
        "bare_s": round(median(bare), 3),
        "erios_s": round(median(ours), 3),
        "ratio": round(median(ours) / median(bare), 3),
        "telling_ms": round(telling_ms(folder), 4),
        "epochs": len(ours),
    }
    print(json.dumps(result, indent=1))


def _bare(dataset: Path, out: Path, options: argparse.Namespace) -> list[float]:
    size = ["--times", str(options.times), "--epochs", str(options.epochs)]
    command = [sys.executable, "-m", "tests.bench.training", "--bare", str(dataset), str(out), *size]
    alike = os.environ | {"OMP_NUM_THREADS": "1"}  # as the profile of this machine gives each process
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=alike).stdout
    return [float(one) for one in json.loads(said.splitlines()[-1])]


def bare_epochs(dataset: Path, out: Path, options: argparse.Namespace) -> list[float]:
    """Seconds from the end of an epoch to that of the next, under MONAI alone."""
    from ignite.engine import Events
    from monai.bundle.workflows import ConfigWorkflow

    bundle = PROJECT / "conf" / "bundles" / "readmission"
    workflow = ConfigWorkflow(str(bundle / "configs" / "train.json"), workflow_type="train", logging_file=False)
    paths = {"bundle_root": str(bundle), "dataset_dir": str(dataset), "output_dir": str(out), "ckpt_dir": str(out)}
    workflow.parser.update(paths | _overrides(options))
    workflow.initialize()
    ends: list[float] = []
    workflow.trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: ends.append(time.time()))
    workflow.run()
    return _gaps(ends)


def _overrides(options: argparse.Namespace) -> dict[str, Any]:
    return {"epochs": options.epochs, "train#dataset#data": REPEAT.format(options.times)}


def _ours(home: Path, number: int, options: argparse.Namespace) -> list[float]:
    settings = [text for one in _overrides(options).items() for text in ("--set", "=".join(map(str, one)))]
    extract = next((home / "studies").glob("*/*/manifest.json")).parent.name
    environ = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    command = [sys.executable, "-m", "erios", "train", "readmission", "--extract", extract, *settings]
    subprocess.run(command, check=True, env=environ | {"ERIOS_HOME": str(home)}, stderr=subprocess.DEVNULL)
    events = next((home / "studies").glob(f"*/runs/*-R{number:03d}/attempts/1/events.jsonl"))
    told = [json.loads(line) for line in events.read_text().splitlines()]
    return _gaps([one["t"] / 1000 for one in told if "train/seconds_per_epoch" in one.get("metrics", {})])


def _gaps(ends: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(ends)]


def telling_ms(folder: Path, count: int = 20_000) -> float:
    """What telling one loss costs, on average."""
    from experiments.event_log import EventLog

    event_log = EventLog(folder / "telling")
    began = time.perf_counter()
    for step in range(count):
        event_log.metrics({"train/loss": 0.5}, step)
    seconds = time.perf_counter() - began
    event_log.close()
    return 1000 * seconds / count


if __name__ == "__main__":
    main()
