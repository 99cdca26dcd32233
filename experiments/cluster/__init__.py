"""Where a job runs: clusters of any kind, behind one interface (``job.Scheduler``)."""

from __future__ import annotations

from pathlib import Path

from experiments.cluster.cluster_profile import Cluster
from experiments.cluster.job import NOTICES, REQUEUE, Job, JobState, Listed, Phase, Scheduler
from experiments.cluster.process_rank import read_rank
from experiments.cluster.profile_files import load_clusters
from experiments.cluster.scheduler_kinds import RankInfo, scheduler_kinds

__all__ = [
    "NOTICES",
    "REQUEUE",
    "Cluster",
    "Job",
    "JobState",
    "Listed",
    "Phase",
    "RankInfo",
    "Scheduler",
    "load_clusters",
    "open_cluster",
    "read_rank",
    "scheduler_kinds",
]


def open_cluster(cluster: Cluster, registry: Path) -> Scheduler:
    """The scheduler of a profile; ``registry`` is the folder in which jobs of this machine are recorded."""
    return scheduler_kinds()[cluster.kind].open(cluster, registry)
