"""``erios runs``: what became of trainings, by the person whose login the system knows."""

from __future__ import annotations

from typing import Annotated

import typer

from erios.accounts.models import User
from erios.cli.output import AsJson, answer, command_group, print_facts, print_rows, print_table, screen, write_json
from erios.cli.run_output import follow_run, summary
from erios.errors import InputError, UsageError
from erios.studies.models import Run
from erios.studies.run_selectors import visible_runs
from erios.workflows import run_follow
from erios.workflows.database import open_database, operator
from erios.workflows.run_follow import stop_forbidden
from erios.workflows.runs import compare_reproduction, compare_runs, list_runs, promote_model, start_reproduction

app = command_group("Trainings of models on released extracts. Everything is on record under your login.")

Number = Annotated[str, typer.Argument(metavar="RUN", help="The run's number, such as E2031-007-R001.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Runs that you may see, newest first; looks at the cluster first.

    Example: erios runs list
    """
    columns = ("run", "bundle", "extract", "cluster", "by", "state", "reason")
    print_rows("Runs", columns, list_runs(_by()), as_json=as_json)


@app.command()
def show(number: Number, as_json: AsJson = False) -> None:
    """One run: its state, settings, figures with intervals, energy, and where its record is.

    Example: erios runs show E2031-007-R001
    """
    details = summary(_find(_by(), number))
    if as_json:
        write_json(details)
        return
    print_facts({name: value for name, value in details.items() if name != "metrics"})
    _print_figures(details["metrics"])


def _print_figures(metrics: dict[str, float]) -> None:
    """The evaluation beside the baseline, then each subgroup, then the last figures of training and energy meter."""
    evaluated = [name for name in metrics if name.startswith("test/") and f"{name}_low" in metrics]
    rows = [
        [name.removeprefix("test/"), _interval(metrics, name), _interval(metrics, name.replace("test/", "baseline/"))]
        for name in evaluated
    ]
    if rows:
        title = f"Evaluated on {metrics['test/patients']:.0f} patients never seen, with 95 % intervals"
        print_table(title, ("figure", "model", "plain model"), rows, numbers=2)
    groups = [name for name in metrics if name.startswith("group/") and f"{name}_low" in metrics]
    if groups:
        group_rows = [[" ".join(name.split("/")[1:3]), name.split("/")[3], _interval(metrics, name)] for name in groups]
        print_table("By group of patients", ("group", "figure", "model"), group_rows, numbers=1)
    rest = [[name, f"{metrics[name]:.5g}"] for name in metrics if name.startswith(("train/", "validation/", "energy/"))]
    if rest:
        print_table("Last figures of training and energy meter", ("figure", "value"), rest, numbers=1)


def _interval(metrics: dict[str, float], name: str) -> str:
    if name not in metrics:
        return "–"
    low, high = metrics.get(f"{name}_low", float("nan")), metrics.get(f"{name}_high", float("nan"))
    return f"{metrics[name]:.3f} [{low:.3f}, {high:.3f}]"


@app.command()
def compare(first: Number, second: Number, as_json: AsJson = False) -> None:
    """Two runs side by side: settings that differ, and final figures.

    Example: erios runs compare E2031-007-R001 E2031-007-R002
    """
    by = _by()
    rows = compare_runs(_find(by, first), _find(by, second))
    if as_json:
        write_json(rows)
        return
    table = [[row["name"], str(row["first"]), str(row["second"])] for row in rows]
    print_table("Runs", ("", first, second), table, numbers=2)


@app.command()
def stop(
    number: Number,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays in the record.")] = "no reason given",
) -> None:
    """Stop a run, queued or at work. Its checkpoint stays, so that it can be resumed.

    Example: erios runs stop E2031-007-R001 --reason "wrong learning rate"
    """
    by = _by()
    run = run_follow.stop(_find(by, number), by, reason)
    outcome = "is stopped" if run.state == "stopped" else f"had ended already: it is {run.state}"
    answer().print(f"Run {run.number} {outcome}.")


@app.command()
def follow(number: Number) -> None:
    """Show a run's epochs as they come, until it ends; Ctrl-C stops the run.

    Example: erios runs follow E2031-007-R001
    """
    follow_run(_find(_by(), number))


@app.command()
def reproduce(number: Number, as_json: AsJson = False) -> None:
    """Train the run anew from its own bundle, settings, seed and extract, and compare weights and figures.

    Example: erios runs reproduce E2031-007-R001
    """
    run = _find(_by(), number)
    again = start_reproduction(run)
    screen().print(f"Run {again.number} does {number} again.")
    follow_run(again)
    verdict = compare_reproduction(run, again)
    if as_json:
        write_json(verdict)
    else:
        answer().print(verdict["sentence"])
    if not verdict["same"]:
        raise InputError(f"{again.number} is not {number} again: {verdict['sentence']}")


@app.command()
def promote(number: Number) -> None:
    """Make the run's model its study's champion in the registry: somebody else's run, with its evidence complete.

    Example: erios runs promote E2031-007-R001
    """
    by = _by()
    run = _find(by, number)
    answer().print(f"{promote_model(run, by)} is the champion of {run.extract.study.number}.")


def report_stopped() -> None:
    """After a right has ended: stop the runs that stood on it, and name them."""
    for number in stop_forbidden():
        screen().print(f"Run {number} is stopped: it has lost its right.")


def _by() -> User:
    """The person at the keyboard, after a check of every live run."""
    open_database()
    by = operator()
    run_follow.follow()
    return by


def _find(by: User, number: str) -> Run:
    run = visible_runs(by).filter(number=number).first()
    if run is None:
        raise UsageError(f"no run '{number}' that you may see; `erios runs list` shows them")
    return run
