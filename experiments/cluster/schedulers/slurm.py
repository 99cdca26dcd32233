"""Slurm: its commands (sbatch, scontrol, squeue, scancel), its batch script, and the variables of its processes.

Owns every name of Slurm. ``sacct`` is never called, since not every cluster runs slurmdbd; the end of a job that Slurm
has forgotten is read from its folder. No value passes through a shell. The script must never hold a secret, nor a path
or value of the job but its command, quoted: the folder is the working directory, and the environment is a file in it.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import Template

from experiments.cluster import job_folder as files
from experiments.cluster.cluster_profile import Cluster
from experiments.cluster.job import REQUEUE, Job, JobState, Listed, Phase
from experiments.cluster.scheduler_kinds import RankInfo, read_number
from experiments.errors import ClusterError, RankError

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
        lines = answer.stderr.strip().splitlines() or [f"exit code {answer.returncode}"]
        raise ClusterError(f"Slurm refused: {lines[-1].split('error: ')[-1]}")
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
    match = re.search(rf"\b{name}=(.*?)(?= [A-Za-z/:]+=|$)", record)
    return match.group(1) if match else ""


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


# ---- the batch script


class _Script(Template):
    """The shell keeps its dollars."""

    delimiter = "%"


_SCRIPT = _Script("""\
#!/bin/bash%{login}
%{directives}
# Written by erios for one job. Its variables are in the file %{environment_file}, what its ranks say in rank-N.log.
umask 077
ulimit -c 0
trap : TERM USR1
rm -f rank-*.end %{end}
[ -e %{cancelled} ] && exit 1
%{modules}%{exports}
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_ADDR=$(scontrol show node "$first" | sed -n 's/.*NodeAddr=\\([^ ]*\\).*/\\1/p')
MASTER_PORT=$((15000 + (SLURM_JOB_ID * 8 + ${SLURM_RESTART_COUNT:-0}) %% 15000))
while (exec 3<>"/dev/tcp/$MASTER_ADDR/$MASTER_PORT") 2>/dev/null; do MASTER_PORT=$((MASTER_PORT + 1)); done
export MASTER_ADDR MASTER_PORT

# One task a process. The first that fails takes its peers along, one that is done does not. Cores are named again,
# since steps inherit none.
srun --ntasks-per-node=%{processes} --cpus-per-task=%{cores} --kill-on-bad-exit=1 --wait=0 \\
  --output=rank-%%t.log --open-mode=append bash -c %{rank} rank \\
  %{command}
code=$?

# A job that was cancelled or preempted is not RUNNING any more: Slurm itself knows what is next.
is_ours() { scontrol show job "$SLURM_JOB_ID" | grep -q 'JobState=RUNNING'; }
if [ $code = 0 ] && grep -qs ' %{requeue_code} ' rank-*.end; then
  code=%{requeue_code}
  is_ours && %{requeue} && exit 0
fi
is_ours && rm -f %{environment_file}
echo $code >%{end}
exit $code
""")


def render(job: Job, cluster: Cluster) -> str:
    """The script of ``job`` for ``cluster``."""
    return _SCRIPT.substitute(
        login=" -l" if cluster.modules else "",
        directives="".join(f"#SBATCH --{line}\n" for line in _directives(job, cluster)).rstrip(),
        modules="".join(f"module {line}\n" for line in _modules(cluster)),
        exports="".join(f"export {name}={shlex.quote(value)}\n" for name, value in _variables(job, cluster)),
        processes=job.processes,
        cores=cluster.cores,
        rank=shlex.quote(files.rank_shell(node="SLURMD_NODENAME", rank="SLURM_PROCID")),
        command=shlex.join(job.command),
        requeue='scontrol requeue "$SLURM_JOB_ID"' if cluster.requeue else "false",
        requeue_code=REQUEUE,
        environment_file=files.ENVIRONMENT,
        cancelled=files.CANCELLED,
        end=files.END,
    )


def _directives(job: Job, cluster: Cluster) -> Iterator[str]:
    yield f"job-name={job.name}"
    yield f"nodes={job.nodes}"
    yield f"ntasks-per-node={job.processes}"
    yield f"cpus-per-task={cluster.cores}"
    if cluster.memory_gb:
        yield f"mem={cluster.memory_gb * job.processes}G"
    if job.gpus:
        yield f"gres={cluster.gres}:{job.gpus}"
    for name in ("partition", "account", "qos", "constraint"):
        if value := getattr(cluster, name):
            yield f"{name}={value}"
    if cluster.time_limit:
        yield f"time={cluster.time_limit}"
        yield f"signal=USR1@{cluster.grace_s}"
    if cluster.exclusive:
        yield "exclusive"
    yield "requeue" if cluster.requeue else "no-requeue"
    yield "open-mode=append"
    yield f"output={files.BATCH_LOG}"
    yield from (option.removeprefix("--") for option in cluster.options)


def _modules(cluster: Cluster) -> Iterator[str]:
    if cluster.modules:
        yield "purge"
        yield f"load {shlex.join(cluster.modules)}"


def _variables(job: Job, cluster: Cluster) -> Iterator[tuple[str, str]]:
    yield "OMP_NUM_THREADS", str(cluster.cores)
    if not job.gpus:  # a node may have GPUs all the same, and nothing that keeps a job off them
        yield from ((name, "") for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"))
    yield from sorted(cluster.environment.items())


# ---- the kind

_OWNED = (
    *("job-name", "nodes", "ntasks", "ntasks-per-node", "cpus-per-task", "mem", "gres", "time", "partition"),
    *("account", "qos", "constraint", "signal", "requeue", "no-requeue", "open-mode", "output", "error", "exclusive"),
    *("export", "export-file", "chdir", "comment", "array", "wrap"),
)
"""Options of sbatch that the script sets from a profile's fields, or that would break it."""
_OPTION = re.compile(r"--([a-z][a-z-]*)(=[^\s\"'\\#]+)?")


class SlurmKind:
    """See ``scheduler_kinds.SchedulerKind``."""

    unused_fields: frozenset[str] = frozenset()

    def open(self, cluster: Cluster, _registry: Path) -> Slurm:
        """See ``scheduler_kinds.SchedulerKind``."""
        return Slurm(cluster)

    def check(self, cluster: Cluster) -> str:
        """See ``scheduler_kinds.SchedulerKind``."""
        matches = map(_OPTION.fullmatch, cluster.options)
        if all(option and option.group(1) not in _OWNED for option in matches):
            return ""
        return f"options are --NAME or --NAME=VALUE, none of {', '.join(_OWNED)}"

    def read_rank(self, environ: Mapping[str, str]) -> RankInfo | None:
        """See ``scheduler_kinds.SchedulerKind``.

        Only a step's processes are ranks: a batch script carries SLURM_PROCID and SLURM_NTASKS as well. Two nodes of
        one host report the same host name, so the node's name is slurmd's.
        """
        is_rank = "SLURM_STEP_NUM_TASKS" in environ
        if not is_rank and "SLURMD_NODENAME" not in environ:
            return None
        step = _step(environ) if is_rank else {}
        return RankInfo(
            node=environ.get("SLURMD_NODENAME") or socket.gethostname(),
            restart=read_number(environ, "SLURM_RESTART_COUNT", 0),
            gpus=read_number(environ, "SLURM_GPUS_ON_NODE", 0),
            **step,
        )

    def prepare_meter(self, environ: Mapping[str, str]) -> None:
        """codecarbon asks scontrol for the processors of a job, and stops where that fails: hide the job from it."""
        from codecarbon.core import util  # heavy, and needed in a job alone

        if "SLURM_CLUSTER_NAME" not in environ or shutil.which("scontrol") is None:
            util.SLURM_JOB_ID = None


def _step(environ: Mapping[str, str]) -> dict[str, int]:
    return {
        "rank": read_number(environ, "SLURM_PROCID"),
        "world_size": read_number(environ, "SLURM_STEP_NUM_TASKS"),
        "local_rank": read_number(environ, "SLURM_LOCALID"),
        "local_world_size": _tasks_of_node(
            environ.get("SLURM_STEP_TASKS_PER_NODE", ""), read_number(environ, "SLURM_NODEID")
        ),
    }


def _tasks_of_node(text: str, node: int) -> int:
    """``2(x3),1``: three nodes with two tasks each, and one with one."""
    counts = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    spread = [int(tasks) for tasks, times in counts for _ in range(int(times or 1))]
    if node >= len(spread):
        raise RankError(f"SLURM_STEP_TASKS_PER_NODE is {text or 'missing'}, which says nothing of node {node}")
    return spread[node]


KIND = SlurmKind()
