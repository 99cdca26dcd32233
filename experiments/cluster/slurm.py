"""A Slurm cluster, by its own commands: sbatch, scontrol, squeue, scancel.

Owns what is asked of Slurm and what its words mean. ``sacct`` is never asked, since not every cluster runs slurmdbd;
what became of a job that Slurm has forgotten stands in its folder. No value passes through a shell.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.cluster import folder as files
from experiments.cluster.batch import render
from experiments.cluster.job import REQUEUE, Job, JobState, Listed, Phase
from experiments.cluster.profile import Cluster
from experiments.errors import ClusterError

PATIENCE = 60
"""Seconds that one of Slurm's commands may take; they answer in milliseconds where slurmctld is well."""

_PHASES: Mapping[str, Phase] = {
    "PENDING": Phase.QUEUED,
    "REQUEUED": Phase.QUEUED,
    "REQUEUE_HOLD": Phase.QUEUED,
    "REQUEUE_FED": Phase.QUEUED,
    "SPECIAL_EXIT": Phase.QUEUED,
    "RESV_DEL_HOLD": Phase.QUEUED,
    "CONFIGURING": Phase.QUEUED,
    "RUNNING": Phase.RUNNING,
    "RESIZING": Phase.RUNNING,
    "SUSPENDED": Phase.RUNNING,
    "STOPPED": Phase.RUNNING,
    "SIGNALING": Phase.RUNNING,
    "COMPLETING": Phase.COMPLETING,
    "STAGE_OUT": Phase.COMPLETING,
    "COMPLETED": Phase.DONE,
    "FAILED": Phase.FAILED,
    "OUT_OF_MEMORY": Phase.FAILED,
    "DEADLINE": Phase.TIMEOUT,
    "TIMEOUT": Phase.TIMEOUT,
    "CANCELLED": Phase.CANCELLED,
    "REVOKED": Phase.CANCELLED,
    "PREEMPTED": Phase.PREEMPTED,
    "NODE_FAIL": Phase.NODE_FAIL,
    "BOOT_FAIL": Phase.NODE_FAIL,
}
_WAITS: Mapping[str, str] = {
    "Resources": "waits for free nodes",
    "Priority": "waits behind jobs of higher priority",
    "BeginTime": "queued again, waits for its next start",
    "Dependency": "waits for another job",
    "JobHeldUser": "held by its owner",
    "JobHeldAdmin": "held by the cluster's administrator",
    "ReqNodeNotAvail": "waits for nodes that are down or reserved",
}
_COLUMNS = {"JobID": 24, "State": 24, "RestartCnt": 12, "Name": 80, "Reason": 120}


class Slurm:
    """The cluster of one profile."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def submit(self, job: Job) -> str:
        """See ``job.Scheduler``."""
        self.cluster.check(job)
        script = render(job, self.cluster)
        files.prepare(job)
        files.write_private(job.folder / files.SCRIPT, script)
        try:
            return _ask("sbatch", "--parsable", files.SCRIPT, folder=job.folder).strip().split(";")[0]
        except ClusterError:
            files.forget_secrets(job.folder)
            raise

    def state(self, job_id: str, folder: Path | None = None) -> JobState:
        """See ``job.Scheduler``."""
        record = _record(job_id)
        if record is None:
            return _state_by_folder(folder) if folder else JobState(Phase.UNKNOWN, "the cluster knows no such job")
        return _state_by_record(record, folder or Path(_field(record, "WorkDir")))

    def cancel(self, job_id: str, reason: str) -> None:
        """See ``job.Scheduler``. The folder is marked first, so a job that is just being requeued does not start."""
        record = _record(job_id)
        if record is None or _state_by_record(record, Path(_field(record, "WorkDir"))).phase.is_final:
            return
        folder = Path(_field(record, "WorkDir"))
        files.note_cancelled(folder, reason)
        _ask("scancel", "--quiet", job_id)
        files.forget_secrets(folder)

    def list(self, prefix: str = "") -> Sequence[Listed]:
        """See ``job.Scheduler``."""
        wanted = ",".join(f"{name}:{width}" for name, width in _COLUMNS.items())
        rows = map(_columns, _ask("squeue", "--me", "--noheader", f"--Format={wanted}").splitlines())
        return [
            Listed(number, name, JobState(_phase(state), _waits(reason, int(restart)), int(restart)))
            for number, state, restart, name, reason in rows
            if name.startswith(prefix)
        ]

    def logs(self, folder: Path) -> Sequence[Path]:
        """See ``job.Scheduler``."""
        return files.logs_of(folder)


def _ask(program: str, *arguments: str, folder: Path | None = None) -> str:
    """What one of Slurm's commands answers; ClusterError with Slurm's own last word if it refuses."""
    try:
        answer = subprocess.run(
            (program, *arguments),
            cwd=folder,
            env=_plain_environ(),
            umask=0o077,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except FileNotFoundError:
        raise ClusterError(
            f"{program} is not on this machine: submit from a login node of the cluster, or take the cluster `local`"
        ) from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{program} did not answer in {PATIENCE} s: is slurmctld well? Try again later") from None
    if answer.returncode:
        said = answer.stderr.strip().splitlines() or [f"exit code {answer.returncode}"]
        raise ClusterError(f"Slurm refused: {said[-1].split('error: ')[-1]}")
    return answer.stdout


def _plain_environ() -> dict[str, str]:
    """What Slurm's commands need. sbatch hands its environment to the job, so no secret of the submitter is in it, and
    none of its SBATCH_ variables changes what the script asks for."""
    kept = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "SLURM_CONF")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"TZ": "UTC"}


def _record(job_id: str) -> str | None:
    """Slurm's record of the job on one line; None if it has forgotten the job."""
    if not job_id.isdecimal():
        raise ClusterError(f"{job_id!r} is no job of Slurm: their ids are numbers")
    try:
        return _ask("scontrol", "show", "job", job_id, "--oneliner")
    except ClusterError as error:
        if "Invalid job id" not in str(error):
            raise
        return None


def _field(record: str, name: str) -> str:
    """The first field of that name: free text, such as the comment, stands after those that we read."""
    found = re.search(rf"\b{name}=(.*?)(?= [A-Za-z/:]+=|$)", record)
    return found.group(1) if found else ""


def _state_by_record(record: str, folder: Path) -> JobState:
    phase = _phase(_field(record, "JobState"))
    restart = int(_field(record, "Restarts") or 0)
    cancelled = files.cancelled_because(folder)
    if cancelled is not None and phase.is_final and phase is not Phase.DONE:
        return JobState(Phase.CANCELLED, cancelled, restart)
    if phase is Phase.FAILED and files.script_code(folder) == REQUEUE:
        return JobState(Phase.PREEMPTED, files.LEFT, restart)
    return JobState(phase, _reason(phase, record, folder, restart), restart)


def _reason(phase: Phase, record: str, folder: Path, restart: int) -> str:
    """In words: what it waits for, or why it ended; "" for a job that runs or is done."""
    code, word = _field(record, "ExitCode"), _field(record, "Reason")
    if phase is Phase.QUEUED:
        return _waits(word, restart)
    sentences = {
        Phase.FAILED: files.failure(folder) or f"the batch script ended with {code} ({word}): see {files.BATCH_LOG}",
        Phase.NODE_FAIL: f"one of its nodes was lost ({_field(record, 'NodeList')})",
        Phase.TIMEOUT: f"the time limit of {_field(record, 'TimeLimit')} was reached",
        Phase.PREEMPTED: "another job took its nodes, and the cluster does not queue it again: resume the run",
        Phase.CANCELLED: "cancelled on the cluster, not by this program",
    }
    if _field(record, "JobState") == "OUT_OF_MEMORY":
        return "out of memory: raise memory_gb in the cluster's profile, or make the batch smaller"
    return sentences.get(phase, "")


def _state_by_folder(folder: Path) -> JobState:
    """The job as its own folder remembers it."""
    code, cancelled = files.script_code(folder), files.cancelled_because(folder)
    if code == 0:
        return JobState(Phase.DONE)
    if cancelled is not None:
        return JobState(Phase.CANCELLED, cancelled)
    if code is None:
        return JobState(Phase.UNKNOWN, "the cluster has forgotten the job, and its script left no word: it was killed")
    if code == REQUEUE:
        return JobState(Phase.PREEMPTED, files.LEFT)
    return JobState(Phase.FAILED, files.failure(folder) or f"the batch script ended with {code}: see {files.BATCH_LOG}")


def _phase(word: str) -> Phase:
    return _PHASES.get(word, Phase.UNKNOWN)


def _waits(word: str, restart: int) -> str:
    """In words; Slurm gives no reason before it has looked at the job."""
    if word in ("", "None"):
        return _WAITS["BeginTime"] if restart else ""
    return _WAITS.get(word, word)


def _columns(row: str) -> list[str]:
    """The fixed columns of squeue, which pads each and never separates them."""
    cuts, start = [], 0
    for width in _COLUMNS.values():
        cuts.append(row[start : start + width].strip())
        start += width
    return cuts
