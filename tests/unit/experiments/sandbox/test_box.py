"""What of a job's variables and folders a training sees."""

from __future__ import annotations

from pathlib import Path

from experiments.cluster import RankInfo
from experiments.sandbox.box import Box, environment, variables_of

JOB = {
    "PATH": "/home/me/bin",
    "ERIOS_HOME": "/srv/erios",
    "PGPASSFILE": "/home/me/.pgpass",
    "SLURM_JOB_ID": "7",
    "OMP_NUM_THREADS": "4",
    "CUDA_VISIBLE_DEVICES": "1",
    "MASTER_ADDR": "10.1.2.3",
    "MASTER_PORT": "1234",
    "LD_LIBRARY_PATH": "/opt/rocm/lib::/srv/erios/lib",
}


def test_variables_of_rank_threads_and_gpus_come_along_and_no_other() -> None:
    inside = variables_of(JOB)

    assert {name: inside[name] for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "MASTER_PORT")} == {
        "OMP_NUM_THREADS": "4",
        "CUDA_VISIBLE_DEVICES": "1",
        "MASTER_PORT": "1234",
    }
    assert inside["MASTER_ADDR"] == "127.0.0.1"
    assert not {"ERIOS_HOME", "PGPASSFILE", "SLURM_JOB_ID"} & set(inside)
    assert "/home/me" not in "".join(inside.values())
    assert inside["LD_LIBRARY_PATH"] == ""


def test_libraries_of_the_cluster_are_read_and_looked_for() -> None:
    inside = variables_of(JOB, RankInfo(3, 4, 1, 2), [Path("/opt/rocm")])
    box = Box(Path("/e"), Path("/b"), Path("/o"), Path("/c"), inside, libraries=(Path("/opt/rocm"),))

    assert inside["LD_LIBRARY_PATH"] == "/opt/rocm/lib"
    ranks = [inside[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")]
    assert ranks == ["3", "4", "1", "2"]
    assert (Path("/opt/rocm"), Path("/opt/rocm")) in list(box.readable())


def test_the_checkout_itself_is_not_shown() -> None:
    checkout = Path(__file__).resolve().parents[4]

    assert checkout / "experiments" in environment()
    assert not [path for path in environment() if checkout.is_relative_to(path)]
    assert not [path for path in environment() if path in (checkout / "erios", checkout / "conf", checkout / "tests")]
