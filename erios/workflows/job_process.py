"""One process of a run's job, as the cluster starts it: Django is set up to read, and no key is in reach."""

from __future__ import annotations

from pathlib import Path

from erios.settings import load_settings
from erios.workflows.run_guard import RunGuard
from erios.workflows.run_jobs import find_cluster
from experiments.run_spec import read_spec


def run_job_process(number: str) -> int:
    """Train as one process of the job of run ``number``; answers the exit code."""
    from experiments.run_process import run_process  # signal handling: only in a job's process
    from experiments.sandbox.limits import Limits, Site

    settings, study = load_settings(), number.rsplit("-", 1)[0]
    spec = read_spec(settings.studies / study / "runs" / number)
    cluster = find_cluster(spec.facts["cluster"], settings)
    limits = Limits(**settings.sandbox.model_dump(), grace_s=cluster.grace_s)
    site = Site(tuple(map(Path, cluster.readable)), cluster.unreachable)
    return run_process(spec, RunGuard(spec), limits, site)
