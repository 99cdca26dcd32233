"""``erios train``: a bundle, a released extract, a cluster; one run."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from erios.cli.output import AsJson, screen, write_json
from erios.cli.run_output import follow_run, summary
from erios.errors import RefusedError, TrainingFailed, UsageError
from erios.studies.models import Run
from erios.workflows.train import RunRequest, start
from erios.workflows.train import resume as resume_run
from experiments.bundles import read_overrides

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def train(
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="A bundle of conf/bundles by name, or any folder.")
    ] = "",
    extract: Annotated[str, typer.Option("--extract", metavar="EXTRACT", help="The released extract's number.")] = "",
    cluster: Annotated[str, typer.Option("--cluster", help="A profile of conf/clusters.")] = "local",
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="Nodes of the cluster.")] = 1,
    processes: Annotated[int, typer.Option("--processes", min=0, help="Processes a node; one a GPU by default.")] = 0,
    gpus: Annotated[int, typer.Option("--gpus", min=0, help="GPUs a node.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the bundle; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of split, weights, order and augmentation.")] = 0,
    every: Annotated[int, typer.Option("--checkpoint-every", min=1, help="Epochs between two checkpoints.")] = 1,
    energy: Annotated[bool, typer.Option("--energy/--no-energy", help="Measure the energy that it takes.")] = True,
    resume: Annotated[str, typer.Option("--resume", metavar="RUN", help="Go on with a run that ended.")] = "",
    follow: Annotated[
        bool | None, typer.Option("--follow/--no-follow", help="Show the run until it ends (default: on this machine).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a MONAI bundle on a released extract of your study, tracked and metered, here or on a cluster.

    Example: erios train readmission --extract E2031-007-X01 --set epochs=20
    """
    if bool(resume) == bool(bundle and extract):
        raise UsageError("say BUNDLE and --extract for a new run, or --resume RUN for one that ended")

    if resume:
        run = resume_run(resume)
    else:
        request = RunRequest(bundle, extract, cluster, nodes, processes or gpus or 1, gpus, seed)
        overrides = read_overrides(settings or [])
        more: dict[str, Any] = {"checkpoint_every": every, "energy": energy, "overrides": overrides}
        run = start(replace(request, **more))
    _answer(run, as_json, follow if follow is not None else run.cluster == "local")


def _answer(run: Run, as_json: bool, follow: bool) -> None:
    screen().print(f"Run {run.number} is queued on {run.cluster} as job {run.job}.")
    if follow:
        follow_run(run)
    if as_json:
        write_json(summary(run))
    if follow and run.state != "done":
        failure = TrainingFailed if run.state == "failed" else RefusedError
        raise failure(f"run {run.number} {run.state}: {run.reason}")
