"""A job of this machine, as its scheduler and its watcher share it: its description, its state, and its processes.

Owns these files of the job's folder (``local.json``, ``local.state``, ``local.lock``) and the search for the job's
processes. It must never start one.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from experiments.cluster import job_folder as files
from experiments.cluster.cluster_profile import Cluster
from experiments.cluster.job import Job, JobState, Phase
from experiments.errors import ClusterError
from experiments.files import is_locked, write_whole

JOB_FILE, STATE, LOCK = "local.json", "local.state", "local.lock"
MARK = "EXPERIMENTS_JOB"
"""Variable that every process of a job inherits: by it they are found when their watcher is gone."""
NODE, RESTART, GPUS = "EXPERIMENTS_NODE", "EXPERIMENTS_RESTART", "EXPERIMENTS_GPUS"

PAUSE = 0.05
_LOOKS = 200
_VISIBLE = {"nvidia": "CUDA_VISIBLE_DEVICES", "amd": "HIP_VISIBLE_DEVICES"}


@dataclass(frozen=True)
class LocalJob:
    """The job as the watcher gets it; it holds no secret."""

    id: str
    name: str
    command: tuple[str, ...]
    nodes: int
    processes: int
    gpus: int
    cores: int
    grace_s: int
    requeue: bool
    visible: str
    devices: tuple[str, ...]
    environment: Mapping[str, str]

    @classmethod
    def of(cls, job: Job, job_id: str, cluster: Cluster) -> LocalJob:
        """The description of ``job``; simulated nodes share this machine's GPUs out, in their order."""
        visible = _VISIBLE.get(cluster.accelerator, _VISIBLE["nvidia"])
        given = os.environ.get(visible, "")
        devices = given.split(",") if given else [str(number) for number in range(job.nodes * job.gpus)]
        if len(devices) < job.nodes * job.gpus:
            raise ClusterError(f"{visible} shows {len(devices)} GPUs, and the job asks for {job.nodes * job.gpus}")
        return cls(
            id=job_id,
            name=job.name,
            command=job.command,
            nodes=job.nodes,
            processes=job.processes,
            gpus=job.gpus,
            cores=cluster.cores,
            grace_s=cluster.grace_s,
            requeue=cluster.requeue,
            visible=visible,
            devices=tuple(devices),
            environment=dict(cluster.environment),
        )


def state_of(folder: Path) -> JobState:
    """As the watcher wrote it; a job whose watcher is gone without a last word has failed, and nothing of it stays."""
    state = _read_state(folder)
    if state is None or state.phase.is_final or is_watched(folder):
        return state or JobState(Phase.QUEUED)
    state = _read_state(folder) or state  # it may have ended between the two looks
    if state.phase.is_final:
        return state
    kill_all(folder)
    cancelled = files.cancelled_because(folder)
    if cancelled is not None:
        return JobState(Phase.CANCELLED, cancelled, state.restart)
    return JobState(Phase.FAILED, "its watcher was killed, or the machine restarted", state.restart)


def _read_state(folder: Path) -> JobState | None:
    path = folder / STATE
    if not path.is_file():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    return JobState(Phase(values["phase"]), values["reason"], values["restart"])


def write_state(folder: Path, state: JobState) -> None:
    """Replace the state of the job."""
    write_whole(folder / STATE, json.dumps(asdict(state)).encode())


def is_watched(folder: Path) -> bool:
    """Does the watcher live? It holds its lock as long."""
    return is_locked(folder / LOCK)


def kill_all(folder: Path) -> None:
    """Every process that carries the job's mark, whatever group it is in, and those that these start meanwhile."""
    for _look in range(_LOOKS):
        processes = list(_processes_of(folder))
        if not processes:
            return
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(PAUSE)
    raise ClusterError(f"processes of {folder} do not die ({', '.join(map(str, processes))}): does their disk answer?")


def _processes_of(folder: Path) -> Iterator[int]:
    mark = f"{MARK}={folder}".encode()
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone meanwhile, or somebody else's
            if mark in (path / "environ").read_bytes().split(b"\0"):
                yield int(path.name)
