"""This machine as a cluster: a job is so many of its processes, watched by one that outlives the command.

Owns the watcher and the registry of jobs, a folder with one file a job. The processes get the variables that ``srun``
gives and run in the same shell as there, so what works here works on Slurm. There is no queue: a job starts at once.
``python -m experiments.cluster.local FOLDER`` is the watcher; nothing else starts it.
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path

from experiments.cluster import folder as files
from experiments.cluster.job import REQUEUE, Job, JobState, Listed, Phase
from experiments.cluster.profile import Cluster
from experiments.errors import ClusterError

JOB_FILE = "local.json"
STATE = "local.state"
LOCK = "local.lock"
MARK = "EXPERIMENTS_JOB"
"""Variable that every process of a job inherits: by it they are found when their watcher is gone."""

_PAUSE = 0.05
_LOOKS = 200
_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LD_LIBRARY_PATH")
_VISIBLE = {"nvidia": "CUDA_VISIBLE_DEVICES", "amd": "HIP_VISIBLE_DEVICES"}


class Local:
    """This machine; ``registry`` holds a file for each job that was started on it."""

    def __init__(self, cluster: Cluster, registry: Path) -> None:
        self.cluster = cluster
        self.registry = registry

    def submit(self, job: Job) -> str:
        """See ``job.Scheduler``."""
        self.cluster.check(job)
        job = replace(job, folder=job.folder.absolute())
        files.prepare(job)
        job_id = self._register(job)
        local_job = LocalJob.of(job, job_id, self.cluster)
        files.write_private(job.folder / JOB_FILE, json.dumps(asdict(local_job)))
        _start_watcher(job.folder)
        return job_id

    def state(self, job_id: str, folder: Path | None = None) -> JobState:
        """See ``job.Scheduler``."""
        place = folder or self._folder_of(job_id)
        if place is None:
            return JobState(Phase.UNKNOWN, "this machine knows no such job")
        return _state_of(place)

    def cancel(self, job_id: str, reason: str) -> None:
        """See ``job.Scheduler``."""
        folder = self._folder_of(job_id)
        if folder is None or _state_of(folder).phase.is_final:
            return
        files.note_cancelled(folder, reason)
        if not _is_watched(folder):
            _kill_all(folder)

    def list(self, prefix: str = "") -> Sequence[Listed]:
        """See ``job.Scheduler``."""
        entries = (json.loads(path.read_text(encoding="utf-8")) for path in sorted(self.registry.glob("*.json")))
        jobs = [Listed(each["id"], each["name"], _state_of(Path(each["folder"]))) for each in entries]
        return [job for job in jobs if job.name.startswith(prefix) and not job.state.phase.is_final]

    def logs(self, folder: Path) -> Sequence[Path]:
        """See ``job.Scheduler``."""
        return files.logs_of(folder)

    def _register(self, job: Job) -> str:
        """The next free number; two commands at once get two."""
        self.registry.mkdir(mode=0o700, parents=True, exist_ok=True)
        entry = job.folder / "local.entry"
        number = max((int(path.stem) for path in self.registry.glob("*.json")), default=0)
        while True:
            number += 1
            entry.unlink(missing_ok=True)
            files.write_private(entry, json.dumps({"id": str(number), "name": job.name, "folder": str(job.folder)}))
            with suppress(FileExistsError):  # the link shows the entry whole or not at all
                (self.registry / f"{number}.json").hardlink_to(entry)
                return str(number)

    def _folder_of(self, job_id: str) -> Path | None:
        path = self.registry / f"{job_id}.json"
        return Path(json.loads(path.read_text(encoding="utf-8"))["folder"]) if path.is_file() else None


@dataclass(frozen=True)
class LocalJob:
    """What the watcher is told; no secret is in it."""

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


def _start_watcher(folder: Path) -> None:
    """It forks once it holds the lock and its first state is written, so it belongs to nobody who waits for it."""
    command = [sys.executable, "-m", "experiments.cluster.local", str(folder)]
    started = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    if started.returncode:
        files.forget_secrets(folder)
        said = started.stderr.strip().splitlines() or [f"exit code {started.returncode}"]
        raise ClusterError(f"the job's watcher did not start: {said[-1]}")


def _state_of(folder: Path) -> JobState:
    """As the watcher wrote it; a job whose watcher is gone without a last word has failed, and nothing of it stays."""
    state = _read_state(folder)
    if state is None or state.phase.is_final or _is_watched(folder):
        return state or JobState(Phase.QUEUED)
    state = _read_state(folder) or state  # it may have ended between the two looks
    if state.phase.is_final:
        return state
    _kill_all(folder)
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


def _write_state(folder: Path, state: JobState) -> None:
    new = folder / f"{STATE}.new"
    new.write_text(json.dumps(asdict(state)), encoding="utf-8")
    new.replace(folder / STATE)


def _is_watched(folder: Path) -> bool:
    """The watcher holds its lock as long as it lives."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        flock(descriptor, LOCK_SH | LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _kill_all(folder: Path) -> None:
    """Every process that carries the job's mark, whatever group it is in, and those that these start meanwhile."""
    for _look in range(_LOOKS):
        found = list(_processes_of(folder))
        if not found:
            return
        for process in found:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(_PAUSE)
    raise ClusterError(f"processes of {folder} do not die ({', '.join(map(str, found))}): does their disk answer?")


def _processes_of(folder: Path) -> Iterator[int]:
    mark = f"{MARK}={folder}".encode()
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone meanwhile, or somebody else's
            if mark in (path / "environ").read_bytes().split(b"\0"):
                yield int(path.name)


# ---- the watcher


@dataclass
class _Attempt:
    """The ranks of one attempt, from their start until the last has ended."""

    local_job: LocalJob
    folder: Path
    ranks: list[subprocess.Popen[bytes]]
    ended: float | None = None
    asked: float | None = None

    def run(self) -> None:
        """Wait for the ranks, and make those end that should."""
        while None in [rank.poll() for rank in self.ranks]:  # each is looked at, so that each end is seen
            now = time.monotonic()
            if self.ended is None and any(rank.returncode is not None for rank in self.ranks):
                self.ended = now
            if self.asked is None and self._should_stop(now):
                self.asked = now
                self._ask_to_end()
            if self.asked is not None and now > self.asked + self.local_job.grace_s:
                break
            time.sleep(_PAUSE)
        _kill_all(self.folder)
        for rank in self.ranks:
            rank.wait()

    def _should_stop(self, now: float) -> bool:
        """Cancelled; a peer ended in error; or it ended well and this one does not follow."""
        late = self.ended is not None and now > self.ended + max(self.local_job.grace_s, 1)
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
        _write_state(folder, JobState(Phase.RUNNING, "", state.restart))
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
            ("bash", "-c", files.RANK, "rank", *local_job.command),
            cwd=folder,
            env={**shared, **_own_variables(local_job, node, local_rank)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _shared_variables(local_job: LocalJob, folder: Path, restart: int) -> dict[str, str]:
    """Those that ``srun`` and the batch script give to every rank alike."""
    ranks = local_job.nodes * local_job.processes
    return {
        **{name: os.environ[name] for name in _KEPT if name in os.environ},
        "OMP_NUM_THREADS": str(local_job.cores),
        **local_job.environment,
        "SLURM_JOB_ID": local_job.id,
        "SLURM_JOB_NAME": local_job.name,
        "SLURM_JOB_NUM_NODES": str(local_job.nodes),
        "SLURM_NNODES": str(local_job.nodes),
        "SLURM_NTASKS": str(ranks),
        "SLURM_STEP_ID": "0",
        "SLURM_STEP_NUM_TASKS": str(ranks),
        "SLURM_STEP_NUM_NODES": str(local_job.nodes),
        "SLURM_STEP_TASKS_PER_NODE": f"{local_job.processes}(x{local_job.nodes})",
        **({"SLURM_RESTART_COUNT": str(restart)} if restart else {}),
        **({"SLURM_GPUS_ON_NODE": str(local_job.gpus)} if local_job.gpus else {}),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        MARK: str(folder),
    }


def _own_variables(local_job: LocalJob, node: int, local_rank: int) -> dict[str, str]:
    devices = local_job.devices[node * local_job.gpus : (node + 1) * local_job.gpus]
    return {
        "SLURM_PROCID": str(node * local_job.processes + local_rank),
        "SLURM_LOCALID": str(local_rank),
        "SLURM_NODEID": str(node),
        "SLURMD_NODENAME": f"local{node}",
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
    flock(os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600), LOCK_EX)
    _write_state(folder, JobState(Phase.RUNNING))
    if os.fork():
        os._exit(0)
    os.setsid()
    _speak_to(folder / files.BATCH_LOG)
    state = JobState(Phase.FAILED, f"its watcher failed: see {files.BATCH_LOG}")
    try:
        state = watch(folder)
    finally:
        _kill_all(folder)
        files.forget_secrets(folder)
        _write_state(folder, state)


def _speak_to(log: Path) -> None:
    """Standard output and error go to ``log``, and nothing is read."""
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(descriptor, target)


if __name__ == "__main__":
    main()
