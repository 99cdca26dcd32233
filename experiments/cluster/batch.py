"""The batch script of a job on a Slurm cluster, from one template.

Owns its text. It must never hold a secret, a path or a value of the job besides the command's words, all quoted: the
folder is the working directory, and the environment lies in it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from string import Template

from experiments.cluster.folder import BATCH_LOG, CANCELLED, END, ENVIRONMENT, RANK
from experiments.cluster.job import REQUEUE, Job
from experiments.cluster.profile import Cluster


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
        rank=shlex.quote(RANK),
        command=shlex.join(job.command),
        requeue='scontrol requeue "$SLURM_JOB_ID"' if cluster.requeue else "false",
        requeue_code=REQUEUE,
        environment_file=ENVIRONMENT,
        cancelled=CANCELLED,
        end=END,
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
    yield f"output={BATCH_LOG}"
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
