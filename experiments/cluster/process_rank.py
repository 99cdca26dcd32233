"""The rank of this process in its run, from the variables of the scheduler and of torchrun.

Owns the precedence: ``srun torchrun`` sets both, and the rank is torchrun's then.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import replace

from experiments.cluster.scheduler_kinds import RankInfo, read_number, scheduler_kinds
from experiments.errors import RankError


def read_rank(environ: Mapping[str, str] | None = None) -> RankInfo:
    """The rank given by ``environ`` (default: the process's own); RankError if its variables contradict each other."""
    environ = os.environ if environ is None else environ
    by_kind = (kind.read_rank(environ) for kind in scheduler_kinds().values())
    info = next((info for info in by_kind if info is not None), RankInfo(node=socket.gethostname()))
    if "RANK" in environ:
        info = replace(
            info,
            rank=read_number(environ, "RANK"),
            world_size=read_number(environ, "WORLD_SIZE"),
            local_rank=read_number(environ, "LOCAL_RANK"),
            local_world_size=read_number(environ, "LOCAL_WORLD_SIZE"),
            restart=info.restart + read_number(environ, "TORCHELASTIC_RESTART_COUNT", 0),
        )
    if not (0 <= info.rank < info.world_size and 0 <= info.local_rank < info.local_world_size):
        raise RankError(
            f"rank {info.rank} of {info.world_size}, local rank {info.local_rank} of {info.local_world_size}: "
            "these variables contradict each other; start the processes with srun, torchrun or `erios train`"
        )
    return info
