"""The process group in which the ranks of a run train together.

Owns the life of the group, and each rank's share of the items. It must never start a process; torch is imported only
to join.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from experiments.cluster import NOTICES, RankInfo
from experiments.errors import RankError

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")
PATIENCE = 600.0
"""Seconds a rank waits for its peers in an exchange."""


def leave_notices_to_the_rank(_worker: int = 0) -> None:
    """For the workers that load data (``worker_init_fn``): SIGTERM and SIGUSR1 are the rank's to answer.

    Slurm sends both to every process of a task. A worker that died of one would take its rank along, before the
    checkpoint is written; torch gives its workers a handler of SIGTERM that does just that.
    """
    for notice in NOTICES:
        signal.signal(notice, signal.SIG_IGN)


@contextmanager
def join(info: RankInfo, patience: float = PATIENCE) -> Iterator[torch.device]:
    """Join the process group (NCCL on GPUs, gloo otherwise) while the block runs; answers the device to train on.

    A single process joins no group. If a peer dies, the exchange that waits for it raises RankError: at once with
    gloo, whose connection breaks, within ``patience`` seconds with NCCL, whose watchdog ends the process.
    """
    device = _device(info)
    if info.world_size == 1:
        yield device
        return
    try:
        _meet(info, device, patience)
        yield device
        _wait_for_all()
    except RuntimeError as error:
        if not _is_loss(error):
            raise
        raise RankError(
            f"rank {info.rank} on {info.node} lost one of its peers or waited {patience:.0f} s for it in vain: "
            "the log of the rank that ended first says why"
        ) from error
    else:
        _leave()


def _device(info: RankInfo) -> torch.device:
    """The GPU of the local rank; the only one visible where ``srun`` bound one to each task; else the processor."""
    import torch

    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if info.gpus and not seen:
        raise RankError(
            f"the job was given {info.gpus} GPUs on {info.node} but torch sees none: "
            "check the driver, and that torch is the build for these GPUs"
        )
    if not seen:
        return torch.device("cpu")
    if 1 < seen < info.local_world_size:
        raise RankError(f"{info.local_world_size} processes on {info.node} for {seen} GPUs: start one a GPU")
    device = torch.device("cuda", info.local_rank if seen > 1 else 0)
    torch.cuda.set_device(device)
    return device


def _meet(info: RankInfo, device: torch.device, patience: float) -> None:
    from torch import distributed

    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise RankError(f"{' and '.join(missing)} not set: rank {info.rank} cannot find the first one")
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        rank=info.rank,
        world_size=info.world_size,
        timeout=timedelta(seconds=patience),
        device_id=device if device.type == "cuda" else None,
    )


def _wait_for_all() -> None:
    """Nobody leaves before all are done: a rank that ends early takes the store of the group with it."""
    from torch import distributed

    distributed.barrier()


def _leave() -> None:
    """After success only: with a peer missing, NCCL's farewell would wait for it, and the process ends anyway."""
    from torch import distributed

    distributed.destroy_process_group()


def _is_loss(error: RuntimeError) -> bool:
    from torch import distributed

    return isinstance(error, distributed.DistError) or "gloo" in str(error)


def share(items: Sequence[Item], seed: int, *, even: bool) -> list[Item]:
    """This rank's share of the items, so that the ranks together hold each in memory once.

    ``even``: shares of one size, some items twice, as training in step needs; else every item once.
    """
    import torch.distributed as dist
    from monai.data.utils import partition_dataset

    ranks, rank = dist.get_world_size(), dist.get_rank()
    parts = partition_dataset(items, num_partitions=ranks, shuffle=True, seed=seed, even_divisible=even)
    return list(parts[rank])


def gather(mine: Item, info: RankInfo) -> list[Item]:
    """The value of every rank, by rank."""
    return [mine] if info.world_size == 1 else gather_all(mine)


def gather_all(mine: Item) -> list[Item]:
    """The value of every rank of the open process group, by rank."""
    import torch.distributed as dist

    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, mine)
    return values
