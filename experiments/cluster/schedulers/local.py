"""This machine: a job is so many of its processes, watched by one that outlives the command.

Owns the registry of jobs, a folder with one file a job. There is no queue: a job starts at once. The processes get the
variables that torchrun sets, and run in the same shell as those of any scheduler.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from experiments.cluster import job_folder as files
from experiments.cluster.cluster_profile import Cluster
from experiments.cluster.job import Job, JobState, Listed, Phase
from experiments.cluster.local_job import GPUS, JOB_FILE, MARK, NODE, RESTART, LocalJob, is_watched, kill_all, state_of
from experiments.cluster.scheduler_kinds import RankInfo, read_number
from experiments.errors import ClusterError


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
        folder = folder or self._folder_of(job_id)
        if folder is None:
            return JobState(Phase.UNKNOWN, "this machine knows no such job")
        return state_of(folder)

    def cancel(self, job_id: str, reason: str) -> None:
        """See ``job.Scheduler``."""
        folder = self._folder_of(job_id)
        if folder is None or state_of(folder).phase.is_final:
            return
        files.note_cancelled(folder, reason)
        if not is_watched(folder):
            kill_all(folder)

    def list(self, prefix: str = "") -> Sequence[Listed]:
        """See ``job.Scheduler``."""
        entries = (json.loads(path.read_text(encoding="utf-8")) for path in sorted(self.registry.glob("*.json")))
        jobs = [Listed(each["id"], each["name"], state_of(Path(each["folder"]))) for each in entries]
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


def _start_watcher(folder: Path) -> None:
    """It forks once it holds the lock and its first state is written, so it belongs to nobody who waits for it."""
    command = [sys.executable, "-m", "experiments.cluster.local_watcher", str(folder)]
    started = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)
    if started.returncode:
        files.forget_secrets(folder)
        lines = started.stderr.strip().splitlines() or [f"exit code {started.returncode}"]
        raise ClusterError(f"the job's watcher did not start: {lines[-1]}")


class LocalKind:
    """See ``scheduler_kinds.SchedulerKind``."""

    unused_fields = frozenset(
        [
            "account",
            "constraint",
            "exclusive",
            "gres",
            "memory_gb",
            "modules",
            "options",
            "partition",
            "qos",
            "time_limit",
        ]
    )

    def open(self, cluster: Cluster, registry: Path) -> Local:
        """See ``scheduler_kinds.SchedulerKind``."""
        return Local(cluster, registry)

    def check(self, _cluster: Cluster) -> str:
        """See ``scheduler_kinds.SchedulerKind``."""
        return ""

    def read_rank(self, environ: Mapping[str, str]) -> RankInfo | None:
        """See ``scheduler_kinds.SchedulerKind``. The rank is in the variables that torchrun sets too (``rank``)."""
        if MARK not in environ:
            return None
        restart, gpus = read_number(environ, RESTART, 0), read_number(environ, GPUS, 0)
        return RankInfo(node=environ.get(NODE, ""), restart=restart, gpus=gpus)

    def prepare_meter(self, _environ: Mapping[str, str]) -> None:
        """See ``scheduler_kinds.SchedulerKind``."""


KIND = LocalKind()
