"""A process reads its rank, and a group ends when one of its ranks is gone."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from erios.checkout import PROJECT
from experiments import distributed
from experiments.cluster import RankInfo, read_rank
from experiments.distributed import join, leave_notices_to_the_rank, share
from experiments.errors import RankError
from tests.slurm import wait_for

STEP = {
    "SLURM_PROCID": "5",
    "SLURM_STEP_NUM_TASKS": "7",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "2",
    "SLURM_STEP_TASKS_PER_NODE": "2(x3),1",
    "SLURMD_NODENAME": "n3",
    "SLURM_RESTART_COUNT": "4",
    "SLURM_GPUS_ON_NODE": "2",
}
TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "TORCHELASTIC_RESTART_COUNT": "1",
}


def test_the_rank_in_a_step_of_slurm():
    assert read_rank(STEP) == RankInfo(5, 7, 1, 2, "n3", restart=4, gpus=2)
    assert read_rank(STEP | {"SLURM_PROCID": "6", "SLURM_LOCALID": "0", "SLURM_NODEID": "3"}).local_world_size == 1


def test_the_rank_under_torchrun():
    assert read_rank(TORCHRUN | {"SLURMD_NODENAME": "n2"}) == RankInfo(3, 4, 1, 2, "n2", restart=1)


def test_torchrun_inside_a_step_counts():
    assert read_rank(STEP | TORCHRUN) == RankInfo(3, 4, 1, 2, "n3", restart=5, gpus=2)


def test_a_batch_script_is_no_rank():
    info = read_rank({"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_LOCALID": "0"})

    assert (info.rank, info.world_size, info.is_first, info.is_first_on_node) == (0, 1, True, True)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"SLURM_PROCID": "7"}, "rank 7 of 7"),
        ({"SLURM_LOCALID": "2"}, "local rank 2 of 2"),
        ({"SLURM_LOCALID": "x"}, "SLURM_LOCALID is x, not a number"),
        ({"SLURM_LOCALID": ""}, "SLURM_LOCALID is missing"),
        ({"SLURM_NODEID": "4"}, "says nothing of node 4"),
        ({"RANK": "0"}, "WORLD_SIZE is missing"),
    ],
)
def test_variables_that_contradict_each_other_are_refused(changes, sentence):
    with pytest.raises(RankError, match=sentence):
        read_rank(STEP | changes)


def test_a_process_alone_joins_no_group():
    from torch import distributed

    with join(RankInfo()) as device:
        assert device.type in ("cpu", "cuda")
        assert not distributed.is_initialized()


def test_gpus_that_torch_does_not_see_are_missed(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)

    with pytest.raises(RankError, match="given 2 GPUs on n1 but torch sees none"), join(RankInfo(node="n1", gpus=2)):
        pass


@pytest.mark.parametrize(("seen", "local_rank", "index"), [(1, 2, 0), (3, 0, 0), (3, 2, 2), (4, 2, 2)])
def test_a_rank_takes_its_own_gpu_or_the_only_one_that_it_sees(monkeypatch, seen, local_rank, index):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: seen)
    monkeypatch.setattr("torch.cuda.set_device", lambda _device: None)

    device = distributed._device(RankInfo(local_rank, 3, local_rank, 3, gpus=seen))

    assert (device.type, device.index) == ("cuda", index)


def test_more_ranks_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)

    with pytest.raises(RankError, match="3 processes on n1 for 2 GPUs"):
        distributed._device(RankInfo(0, 3, 0, 3, "n1", gpus=2))


def test_a_group_without_a_meeting_point_is_refused(monkeypatch):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    monkeypatch.delenv("MASTER_PORT", raising=False)

    with pytest.raises(RankError, match="MASTER_ADDR and MASTER_PORT not set"), join(RankInfo(world_size=2)):
        pass


@pytest.mark.slow
def test_a_notice_to_leave_does_not_end_the_workers_of_a_rank():
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    numbers = TensorDataset(torch.arange(8))
    rows = iter(DataLoader(numbers, num_workers=1, prefetch_factor=1, worker_init_fn=leave_notices_to_the_rank))
    next(rows)

    for worker in multiprocessing.active_children():
        os.kill(worker.pid or 0, signal.SIGTERM)
        os.kill(worker.pid or 0, signal.SIGUSR1)

    assert [int(row) for (row,) in rows] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.slow
def test_a_killed_rank_ends_the_others_with_an_error(tmp_path):
    ranks = [start(rank, tmp_path) for rank in range(2)]
    wait_for(lambda: len(list(tmp_path.glob("word-?"))) == 2, "exchange of both")

    os.kill(json.loads((tmp_path / "word-1").read_text())["pid"], signal.SIGKILL)

    output, _ = ranks[0].communicate(timeout=20)
    ranks[1].communicate()
    assert ranks[0].returncode == 1
    assert "RankError: rank 0 on" in output.splitlines()[-1]
    assert "lost one of its peers" in output


def start(rank: int, folder: Path) -> subprocess.Popen[str]:
    """A rank as torchrun starts it, with nobody to end it when its peer is gone."""
    info = {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": 2}
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(folder), "GLOO_SOCKET_IFNAME": "lo"}
    environ = {"PYTHONPATH": PROJECT, "PATH": os.environ["PATH"], **info, **meeting}
    return subprocess.Popen(
        (sys.executable, "-m", "tests.ranks", "exchange"),
        cwd=folder,
        env={name: str(value) for name, value in environ.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_port(folder: Path) -> int:
    """One for both ranks."""
    from tests.slurm import free_ports

    chosen = folder / "port"
    if not chosen.exists():
        chosen.write_text(str(free_ports(1)[0]))
    return int(chosen.read_text())


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_ranks_share_the_items_and_keep_each_once(monkeypatch, ranks):
    items = list(range(41))
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: ranks)

    def shares(seed, even):
        shares_of_ranks = []
        for rank in range(ranks):
            monkeypatch.setattr("torch.distributed.get_rank", lambda rank=rank: rank)
            shares_of_ranks.append(share(items, seed, even=even))
        return shares_of_ranks

    assert sorted(chain(*shares(0, False))) == items
    assert len({len(part) for part in shares(0, True)}) == 1
    assert set(chain(*shares(0, True))) == set(items)
    assert max(map(len, shares(0, True))) <= len(items) // ranks + 1
    assert shares(0, True) == shares(0, True) != shares(1, True)
