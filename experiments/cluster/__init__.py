"""Where a job runs: this machine or a Slurm cluster, behind one interface (``job.Scheduler``)."""

from __future__ import annotations

from pathlib import Path

from experiments.cluster.job import REQUEUE, Job, JobState, Listed, Phase, Scheduler
from experiments.cluster.profile import Cluster, load_clusters

__all__ = ["REQUEUE", "Cluster", "Job", "JobState", "Listed", "Phase", "Scheduler", "load_clusters", "open_cluster"]


def open_cluster(cluster: Cluster, registry: Path) -> Scheduler:
    """The cluster of a profile; ``registry`` is the folder in which jobs of this machine are recorded."""
    if cluster.kind == "slurm":
        from experiments.cluster.slurm import Slurm

        return Slurm(cluster)
    from experiments.cluster.local import Local

    return Local(cluster, registry)
