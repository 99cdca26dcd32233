"""The rank of this process in its run, and the process group.

Owns the reading of the environment that ``srun``, ``torchrun`` or the local cluster gives, and the life of the process
group. It must never start a process; torch is imported only to join.
"""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from experiments.errors import RankError

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")
PATIENCE = 600.0
"""Seconds a rank waits for its peers in one exchange before it takes them for dead."""


@dataclass(frozen=True)
class RankInfo:
    """``rank`` of ``world_size``; ``local_rank`` of ``local_world_size`` on ``node``; ``restart`` counts from 0.

    ``gpus``: how many the job was given on this node, shared by its local ranks.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1
    node: str = "localhost"
    restart: int = 0
    gpus: int = 0

    @property
    def is_first(self) -> bool:
        """This process writes what is written once a run."""
        return self.rank == 0

    @property
    def is_first_on_node(self) -> bool:
        """This process does what is done once a node."""
        return self.local_rank == 0


def leave_notices_to_the_rank(_worker: int = 0) -> None:
    """For the workers that load data (``worker_init_fn``): SIGTERM and SIGUSR1 are the rank's to answer.

    Slurm sends both to every process of a task. A worker that died of one would take its rank along, before the
    checkpoint is written; torch gives its workers a handler of SIGTERM that does just that.
    """
    for notice in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(notice, signal.SIG_IGN)


def find_rank(environ: Mapping[str, str] | None = None) -> RankInfo:
    """The rank given by ``environ`` (default: the process's own); RankError if its variables contradict each other.

    torchrun's variables come first, since ``srun torchrun`` sets both. Of Slurm's, only those of a step count: a batch
    script carries SLURM_PROCID and SLURM_NTASKS as well, and is no rank.
    """
    environ = os.environ if environ is None else environ
    if "RANK" in environ:
        info = _from_torchrun(environ)
    elif "SLURM_STEP_NUM_TASKS" in environ:
        info = _from_srun(environ)
    else:
        info = RankInfo(node=socket.gethostname())
    if not (0 <= info.rank < info.world_size and 0 <= info.local_rank < info.local_world_size):
        raise RankError(
            f"rank {info.rank} of {info.world_size}, local rank {info.local_rank} of {info.local_world_size}: "
            "these variables contradict each other; start the processes with srun, torchrun or `erios train`"
        )
    return info


def _from_torchrun(environ: Mapping[str, str]) -> RankInfo:
    return RankInfo(
        rank=_number(environ, "RANK"),
        world_size=_number(environ, "WORLD_SIZE"),
        local_rank=_number(environ, "LOCAL_RANK"),
        local_world_size=_number(environ, "LOCAL_WORLD_SIZE"),
        node=environ.get("SLURMD_NODENAME") or socket.gethostname(),
        restart=_number(environ, "SLURM_RESTART_COUNT", 0) + _number(environ, "TORCHELASTIC_RESTART_COUNT", 0),
        gpus=_number(environ, "SLURM_GPUS_ON_NODE", 0),
    )


def _from_srun(environ: Mapping[str, str]) -> RankInfo:
    """Two nodes of one host report the same host name, so the node is the one that slurmd names."""
    return RankInfo(
        rank=_number(environ, "SLURM_PROCID"),
        world_size=_number(environ, "SLURM_STEP_NUM_TASKS"),
        local_rank=_number(environ, "SLURM_LOCALID"),
        local_world_size=_tasks_of_node(environ.get("SLURM_STEP_TASKS_PER_NODE", ""), _number(environ, "SLURM_NODEID")),
        node=environ.get("SLURMD_NODENAME") or socket.gethostname(),
        restart=_number(environ, "SLURM_RESTART_COUNT", 0),
        gpus=_number(environ, "SLURM_GPUS_ON_NODE", 0),
    )


def _number(environ: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environ.get(name, "" if default is None else str(default))
    if not text.isdecimal():
        raise RankError(f"{name} is {text or 'missing'}, not a number: start the processes with srun or torchrun")
    return int(text)


def _tasks_of_node(text: str, node: int) -> int:
    """``2(x3),1`` is Slurm's word for three nodes with two tasks and one with one."""
    counts = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    spread = [int(tasks) for tasks, times in counts for _ in range(int(times or 1))]
    if node >= len(spread):
        raise RankError(f"SLURM_STEP_TASKS_PER_NODE is {text or 'missing'}, which tells nothing of node {node}")
    return spread[node]


@contextmanager
def join(info: RankInfo, patience: float = PATIENCE) -> Iterator[torch.device]:
    """Be one of the group (NCCL on GPUs, gloo else) while the block runs; answers the device to train on.

    A process alone joins no group. If a peer dies, the exchange that waits for it raises RankError: at once with
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
    """This rank's share of the items, so that all ranks together keep each in memory once.

    ``even``: shares of one size, some items twice, as training in step needs; else every item once.
    """
    import torch.distributed as dist
    from monai.data.utils import partition_dataset

    ranks, rank = dist.get_world_size(), dist.get_rank()
    parts = partition_dataset(items, num_partitions=ranks, shuffle=True, seed=seed, even_divisible=even)
    return list(parts[rank])
