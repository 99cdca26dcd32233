"""The job behind a run: its cluster, its folder, its lock, and its cancellation.

Owns how a run becomes a job.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from erios.errors import UsageError
from erios.settings import ZONES, Settings, load_settings
from erios.studies.models import Run
from erios.studies.run_selectors import folder_of
from experiments.cluster import Cluster, Job, Scheduler, load_clusters, open_cluster
from experiments.run_spec import RunSpec, read_spec


def find_cluster(name: str, settings: Settings) -> Cluster:
    """The profile of a cluster by name; UsageError if there is none, or if it shows trainings a zone."""
    clusters = load_clusters(settings.clusters_dir)
    if name not in clusters:
        raise UsageError(f"no cluster '{name}'; known are {', '.join(clusters)}")
    zones = [getattr(settings, zone).resolve() for zone in ZONES]
    for folder in (Path(text).resolve() for text in clusters[name].readable):
        if any(zone.is_relative_to(folder) or folder.is_relative_to(zone) for zone in zones):
            raise UsageError(
                f"cluster {name}: readable may not hold or lie in a zone of the hospital, as {folder} does"
            )
    return clusters[name]


def scheduler_of(run: Run, settings: Settings) -> Scheduler:
    """The scheduler of the run's cluster."""
    return open_cluster(find_cluster(run.cluster, settings), settings.tracking / "jobs")


def make_job(number: str, folder: Path, cluster: Cluster, *, nodes: int, processes: int, gpus: int) -> Job:
    """The job of the run ``number``; ``processes`` and ``gpus`` are per node."""
    command = (cluster.python or sys.executable, "-m", "erios.cli.job", number)
    return Job(number, command, folder, nodes, processes, gpus, _environment())


def _environment() -> dict[str, str]:
    """The variables by which a job finds this installation; settings hold no secret."""
    settings = {name: value for name, value in os.environ.items() if name.startswith("ERIOS_")}
    paths = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
    return settings | paths | {"ERIOS_HOME": str(load_settings().home)}


def lock_of(run: Run, settings: Settings) -> Path:
    """The lock file beside the run's folder; its holder queues the run or follows it."""
    folder = folder_of(run, settings)
    return folder.with_name(f".{folder.name}.lock")


def spec_of(run: Run, settings: Settings) -> RunSpec:
    """The run's specification, from its folder; ExperimentError if it cannot be read."""
    return read_spec(folder_of(run, settings))


def make_job_folder(run: Run, settings: Settings) -> Path:
    """A new folder for the run's next job."""
    jobs = folder_of(run, settings) / "jobs"
    folder = jobs / str(len(list(jobs.glob("*"))) + 1)
    folder.mkdir(mode=0o750, parents=True)
    return folder


def job_folder(run: Run, settings: Settings) -> Path:
    """The folder of the run's newest job."""
    return max((folder_of(run, settings) / "jobs").iterdir(), key=lambda folder: int(folder.name))


def cancel_job(run: Run, reason: str, settings: Settings) -> None:
    """Cancel the run's job, if it has one."""
    if run.job:
        scheduler_of(run, settings).cancel(run.job, reason)
