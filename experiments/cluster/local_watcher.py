"""The watcher of a job of this machine: starts its ranks, ends those that should end, and writes the job's state.

``python -m experiments.cluster.local_watcher FOLDER``; ``schedulers.local`` starts it, and it outlives the command.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from experiments.cluster import job_folder as files
from experiments.cluster.job import REQUEUE, JobState, Phase
from experiments.cluster.local_job import (
    GPUS,
    JOB_FILE,
    LOCK,
    MARK,
    NODE,
    PAUSE,
    RESTART,
    LocalJob,
    kill_all,
    write_state,
)
from experiments.files import lock_for_life

_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LD_LIBRARY_PATH")


@dataclass
class _Attempt:
    """The ranks of one attempt, from their start until the last has ended."""

    local_job: LocalJob
    folder: Path
    ranks: list[subprocess.Popen[bytes]]
    first_end_at: float | None = None
    asked_at: float | None = None

    def run(self) -> None:
        """Wait for the ranks, and make those end that should."""
        while None in [rank.poll() for rank in self.ranks]:  # each is looked at, so that each end is seen
            now = time.monotonic()
            if self.first_end_at is None and any(rank.returncode is not None for rank in self.ranks):
                self.first_end_at = now
            if self.asked_at is None and self._should_stop(now):
                self.asked_at = now
                self._ask_to_end()
            if self.asked_at is not None and now > self.asked_at + self.local_job.grace_s:
                break
            time.sleep(PAUSE)
        kill_all(self.folder)
        for rank in self.ranks:
            rank.wait()

    def _should_stop(self, now: float) -> bool:
        """Cancelled; a peer ended in error; or it ended well and this one does not follow."""
        late = self.first_end_at is not None and now > self.first_end_at + max(self.local_job.grace_s, 1)
        failed = any(rank.returncode for rank in self.ranks)
        return late or failed or files.cancelled_because(self.folder) is not None

    def _ask_to_end(self) -> None:
        """SIGTERM to each rank's group, as Slurm does."""
        for rank in self.ranks:
            if rank.returncode is None:
                os.killpg(rank.pid, signal.SIGTERM)

    def state(self, restart: int) -> JobState:
        """What became of it; QUEUED if its processes want to go on."""
        cancelled = files.cancelled_because(self.folder)
        if cancelled is not None:
            return JobState(Phase.CANCELLED, cancelled, restart)
        killed = [f"rank {rank} was killed" for rank, process in enumerate(self.ranks) if process.returncode]
        if killed:
            return JobState(Phase.FAILED, files.failure(self.folder) or killed[0], restart)
        if all(end.code != REQUEUE for end in files.ends_of(self.folder)):
            return JobState(Phase.DONE, "", restart)
        if self.local_job.requeue:
            return JobState(Phase.QUEUED, "", restart + 1)
        return JobState(Phase.PREEMPTED, files.LEFT, restart)


def watch(folder: Path) -> JobState:
    """Run the job in ``folder``, attempt after attempt, until its state is final."""
    local_job = LocalJob(**json.loads((folder / JOB_FILE).read_text(encoding="utf-8")))
    state = JobState(Phase.QUEUED)
    while not state.phase.is_final:
        write_state(folder, JobState(Phase.RUNNING, "", state.restart))
        files.forget_ends(folder)
        attempt = _Attempt(local_job, folder, _start_ranks(local_job, folder, state.restart))
        attempt.run()
        state = attempt.state(state.restart)
    return state


def _start_ranks(local_job: LocalJob, folder: Path, restart: int) -> list[subprocess.Popen[bytes]]:
    shared = _shared_variables(local_job, folder, restart)
    return [
        _start_rank(local_job, folder, shared, node, local_rank)
        for node in range(local_job.nodes)
        for local_rank in range(local_job.processes)
    ]


def _start_rank(
    local_job: LocalJob, folder: Path, shared: Mapping[str, str], node: int, local_rank: int
) -> subprocess.Popen[bytes]:
    rank = node * local_job.processes + local_rank
    with (folder / f"rank-{rank}.log").open("ab") as log:
        return subprocess.Popen(
            ("bash", "-c", files.rank_shell(node=NODE, rank="RANK"), "rank", *local_job.command),
            cwd=folder,
            env={**shared, **_own_variables(local_job, node, local_rank)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _shared_variables(local_job: LocalJob, folder: Path, restart: int) -> dict[str, str]:
    """Variables that every rank gets alike."""
    return {
        **{name: os.environ[name] for name in _KEPT if name in os.environ},
        "OMP_NUM_THREADS": str(local_job.cores),
        **local_job.environment,
        "WORLD_SIZE": str(local_job.nodes * local_job.processes),
        "LOCAL_WORLD_SIZE": str(local_job.processes),
        RESTART: str(restart),
        GPUS: str(local_job.gpus),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        MARK: str(folder),
    }


def _own_variables(local_job: LocalJob, node: int, local_rank: int) -> dict[str, str]:
    devices = local_job.devices[node * local_job.gpus : (node + 1) * local_job.gpus]
    return {
        "RANK": str(node * local_job.processes + local_rank),
        "LOCAL_RANK": str(local_rank),
        NODE: f"local{node}",
        local_job.visible: ",".join(devices),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Take the lock, leave the caller behind, and watch."""
    folder = Path(sys.argv[1])
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    lock_for_life(folder / LOCK)
    write_state(folder, JobState(Phase.RUNNING))
    if os.fork():
        os._exit(0)
    os.setsid()
    _redirect_to(folder / files.BATCH_LOG)
    state = JobState(Phase.FAILED, f"its watcher failed: see {files.BATCH_LOG}")
    try:
        state = watch(folder)
    finally:
        kill_all(folder)
        files.forget_secrets(folder)
        write_state(folder, state)


def _redirect_to(log: Path) -> None:
    """Standard output and error go to ``log``, and nothing is read."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, target)


if __name__ == "__main__":
    main()
