"""What the commands print of a run: its curve while it trains, its end."""

from __future__ import annotations

from typing import Any

from erios.cli.output import screen
from erios.settings import load_settings
from erios.studies.models import Run
from erios.workflows.database import operator
from erios.workflows.run_follow import stop, watch
from erios.workflows.runs import figures_of


def follow_run(run: Run) -> None:
    """Show a run's epochs as they come; Ctrl-C stops the run."""
    lines = EpochLines()
    try:
        for event in watch(run, load_settings()):
            if line := lines.read(event):
                screen().print(line)
    except KeyboardInterrupt:
        stop(run, operator(), "stopped from the keyboard")
        screen().print(f"Run {run.number} is stopped; `erios train --resume {run.number}` goes on.")
        raise
    run.refresh_from_db()
    if run.state == "done":
        screen().print(f"Run {run.number} is done; `erios runs show {run.number}` shows all of it.")


class EpochLines:
    """A run's events as lines: one per epoch, and one at the end."""

    def __init__(self) -> None:
        self._losses: list[float] = []

    def read(self, event: dict[str, Any]) -> str:
        """The line that an event completes, or nothing."""
        metrics = event.get("metrics", {})
        if "train/loss" in metrics:
            self._losses.append(float(metrics["train/loss"]))
        if "train/seconds_per_epoch" in metrics:
            return self._epoch(event["step"], metrics)
        if "test/patients" in metrics:
            return "test: " + ", ".join(
                f"{name.removeprefix('test/')} {float(value):.3f}"
                for name, value in metrics.items()
                if name.startswith("test/") and f"{name}_low" in metrics
            )
        return ""

    def _epoch(self, epoch: int, metrics: dict[str, Any]) -> str:
        loss = sum(self._losses) / len(self._losses) if self._losses else float("nan")
        self._losses.clear()
        figures = [
            f"{n.removeprefix('validation/')} {float(v):.4f}" for n, v in metrics.items() if n.startswith("valid")
        ]
        seconds = float(metrics["train/seconds_per_epoch"])
        return f"epoch {epoch:>3}  loss {loss:.4f}  {'  '.join(figures)}  {seconds:.1f} s"


def summary(run: Run) -> dict[str, Any]:
    """A run as the commands show it."""
    return {
        "run": run.number,
        "extract": run.extract.number,
        "bundle": run.bundle,
        "cluster": run.cluster,
        "job": run.job,
        "by": run.by.username,
        "state": run.state,
        "reason": run.reason,
        "order": run.order,
        "tracked": run.tracked,
        **figures_of(run),
    }
