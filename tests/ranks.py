"""What the jobs of the cluster tests run there, ``python -m tests.ranks PROGRAM``. Nothing here is a test."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from experiments.cluster import REQUEUE, RankInfo, read_rank
from experiments.distributed import join

PATIENCE = 60.0


def train() -> None:
    """Some steps of data-parallel training on rows that differ by rank; leaves a digest of the weights."""
    import torch
    from torch.nn.parallel import DistributedDataParallel

    torch.set_num_threads(1)
    info = read_rank()
    with join(info, patience=20) as device:
        torch.manual_seed(info.rank)  # DDP must make the weights one
        model = DistributedDataParallel(torch.nn.Linear(8, 2).to(device))
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        for _step in range(5):
            optimiser.zero_grad()
            model(torch.randn(16, 8, device=device)).square().mean().backward()
            optimiser.step()
        weights = b"".join(each.detach().cpu().numpy().tobytes() for each in model.parameters())
    _leave_word(info, hashlib.sha256(weights).hexdigest())


def exchange() -> None:
    """Exchange numbers for as long as all peers do."""
    import torch
    from torch import distributed

    info = read_rank()
    with join(info, patience=20):
        while True:
            distributed.all_reduce(torch.ones(1))
            _leave_word(info, "exchanged")


def wait() -> None:
    """Work until told to leave; then write a checkpoint and ask to go on. Once resumed, read it and be done."""
    info = read_rank()
    checkpoint = Path(f"checkpoint-{info.rank}")

    def leave(signum: int, _frame: FrameType | None) -> None:
        checkpoint.write_text(signal.Signals(signum).name)
        sys.exit(REQUEUE)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGUSR1, leave)
    _leave_word(info, checkpoint.read_text() if checkpoint.exists() else "")
    if not info.restart:
        time.sleep(PATIENCE)


def _leave_word(info: RankInfo, word: str) -> None:
    seen = {"rank_info": vars(info), "word": word, "secret": os.environ.get("SECRET"), "pid": os.getpid()}
    new = Path(f"word-{info.rank}.new")
    new.write_text(json.dumps(seen))
    new.replace(f"word-{info.rank}")


if __name__ == "__main__":
    {"train": train, "exchange": exchange, "wait": wait}[sys.argv[1]]()
