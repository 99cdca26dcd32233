"""The benchmark of loading images: an epoch of patches and the memory of a node, by the number of ranks on it.

(a) as runs of the workbench do: each rank keeps its own share of the volumes; (b) as MONAI's CacheDataset does
by itself: each rank keeps all of them, and a sampler gives it its share. Each rank is a process; memory is what is its
own (unique set size) beyond what it had before the volumes. Figures of one run on one machine compare with each other.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from erios.checkout import PROJECT

TABLES: dict[str, dict[str, Any]] = {
    "dicom_series": {
        "series_uid_key": "x",
        "labels_of_uid_key": "x",
        "kind": "x",
        "voxels_sha256": {"why": "x", "as": "images:volume"},
    }
}
MODES = ("erios", "monai")


def main() -> None:
    """Print a line for each number of ranks and way of loading."""
    options = _options()
    if options.child:
        _load_here(options)
        return
    with TemporaryDirectory(prefix="erios-bench-") as folder:
        extract = make_extract(Path(folder), options.patients)
        for ranks in options.ranks:
            for mode in MODES:
                found = _measure(mode, ranks, extract, Path(folder) / f"meet-{mode}-{ranks}", options.epochs)
                print(
                    f"{mode:<6} {ranks} rank(s)  filled in {found['filled']:.1f} s  an epoch in {found['epoch']:.3f} s"
                    f"  volumes in memory of the node {found['memory']:,.0f} MB",
                    flush=True,
                )


def make_extract(folder: Path, patients: int) -> Path:
    """An extract with a CT volume and its labels of each patient."""
    from erios.extracts.build import build
    from erios.extracts.build_plan import BuildPlan
    from erios.extracts.generalisation.columns import Terms
    from erios.extracts.generalisation.dates import DatePolicy
    from erios.extracts.specification import read_specification
    from etl.privacy import PseudonymKey
    from etl.synthetic import generate
    from etl.tables import load_tables
    from tests.imaging import WANTED, Imaging
    from tests.inline import InlineRunner

    views = PROJECT / "conf" / "views"
    generate(folder / "out", patients, 3, imaging=patients)
    known = {table.name: table for table in load_tables(views) if table.name in WANTED}
    imaging = Imaging(folder)
    imaging.plan = replace(imaging.plan, tables=tuple(known.values()))
    imaging.load(folder / "out")
    extract = folder / "extract"
    extract.mkdir()
    wanted = read_specification({"cohort": {"and": []}, "tables": TABLES}, views)
    terms = Terms(DatePolicy.SHIFTED, 2026)
    plan = BuildPlan(extract, wanted, known, terms, 2, 512, lambda: PseudonymKey("k1", b"s" * 32))
    build(plan, imaging.release, InlineRunner())
    return extract


def _measure(mode: str, ranks: int, extract: Path, meet: Path, epochs: int) -> dict[str, float]:
    """All ranks at once; the slowest's seconds, everybody's memory."""
    command = [sys.executable, "-m", "tests.bench.loading", "--child", mode, "--extract", str(extract)]
    command += ["--meet", str(meet), "--epochs", str(epochs), "--ranks", str(ranks), "--rank"]
    alike = os.environ | {"OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, text=True, env=alike) for rank in range(ranks)
    ]
    said = [json.loads(child.communicate()[0].splitlines()[-1]) for child in started]
    return {
        "filled": max(one["filled"] for one in said),
        "epoch": max(one["epoch"] for one in said),
        "memory": sum(one["memory"] for one in said),
    }


def _load_here(options: argparse.Namespace) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    rank, ranks = options.rank, options.ranks[0]
    dist.init_process_group("gloo", init_method=f"file://{options.meet}", rank=rank, world_size=ranks)
    varied, items = _bundle(options.extract)
    varied(items[0])  # what reading brings into memory by itself is no volume
    before = _own_mb()
    started = time.perf_counter()
    loader = _loader(options.child, varied, items, rank, ranks)
    filled, memory = time.perf_counter() - started, _own_mb() - before
    seconds = []
    for _epoch in range(options.epochs):
        dist.barrier()
        started = time.perf_counter()
        for _batch in loader:
            pass
        seconds.append(time.perf_counter() - started)
    dist.barrier()
    print(json.dumps({"filled": filled, "epoch": sorted(seconds)[len(seconds) // 2], "memory": memory}))


def _bundle(extract: Path) -> tuple[Any, list[dict[str, Any]]]:
    """The bundle's transforms, and all series of the extract."""
    from monai.bundle.config_parser import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(PROJECT / "conf" / "bundles" / "lesion_segmentation" / "configs" / "train.json"))
    parser["dataset_dir"] = str(extract)
    return parser.get_parsed_content("varied"), [{"series": one} for one in parser.get_parsed_content("drawn")]


def _loader(mode: str, varied: Any, items: list[dict[str, Any]], rank: int, ranks: int) -> Any:
    """The series through the transforms, cached and loaded as the mode does."""
    from monai.data.dataset import CacheDataset
    from monai.data.samplers import DistributedSampler
    from monai.data.thread_buffer import ThreadDataLoader

    from experiments.distributed import share

    kept = share(items, 0, even=True) if mode == "erios" else items
    data = CacheDataset(kept, varied, cache_rate=1.0, num_workers=1, progress=False)
    sampler = DistributedSampler(data, num_replicas=ranks, rank=rank, shuffle=True) if mode == "monai" else None
    return ThreadDataLoader(data, batch_size=4, shuffle=sampler is None, sampler=sampler, num_workers=0)


def _own_mb() -> float:
    import psutil

    return float(psutil.Process().memory_full_info().uss) / 1e6


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.loading")
    parser.add_argument("--patients", type=int, default=60, help="patients, each with a CT volume")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--epochs", type=int, default=9, help="the median of these is told")
    parser.add_argument("--child", choices=MODES, help=argparse.SUPPRESS)
    parser.add_argument("--extract", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--meet", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
