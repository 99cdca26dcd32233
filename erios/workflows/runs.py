"""Runs as the tracking has them: their list, figures, comparison, reproduction, and the promotion of their models.

Callers check permissions to see a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from erios.accounts.models import User
from erios.errors import StorageError
from erios.governance.extract import State as ExtractState
from erios.governance.run import Evidence, State
from erios.settings import load_settings
from erios.studies.models import Run
from erios.studies.run_actions import promote_run
from erios.studies.run_selectors import folder_of, is_reproduced, visible_runs
from erios.workflows.run_summary import summary_of
from erios.workflows.train import RunRequest, start
from experiments.bundles import open_bundle
from experiments.model_registry import CHAMPION, register
from experiments.recorder import make_client
from experiments.run_spec import read_spec

if TYPE_CHECKING:
    from mlflow.entities import Run as Tracked


_LAST = ("train/", "validation/", "test/", "baseline/", "group/", "energy/")


def tracked_run(run: Run) -> Tracked | None:
    """The record of a run's last attempt; None while there is none."""
    if not run.tracked:
        return None
    spec = read_spec(folder_of(run, load_settings()))
    try:
        return make_client(spec).get_run(run.tracked)
    except Exception as error:  # MLflow's, its database's, or the network's
        raise StorageError(f"the tracking at {spec.tracking_uri} does not answer ({type(error).__name__})") from None


def list_runs(by: User) -> list[dict[str, Any]]:
    """The runs that ``by`` may see, newest first, as rows of the list."""
    return [
        {
            "run": run.number,
            "extract": run.extract.number,
            "bundle": run.bundle,
            "cluster": run.cluster,
            "by": run.by.username,
            "state": run.state,
            "reason": run.reason,
            "created": run.created.isoformat(timespec="seconds"),
            "tracked": run.tracked,
        }
        for run in visible_runs(by)
    ]


def figures_of(run: Run) -> dict[str, Any]:
    """Final figures, attempts and weights of a run."""
    tracked = tracked_run(run)
    attempts = read_spec(folder_of(run, load_settings())).attempts
    if tracked is None:
        return {"attempts": attempts, "weights": "", "metrics": {}}
    metrics = {name: value for name, value in sorted(tracked.data.metrics.items()) if name.startswith(_LAST)}
    return {"attempts": attempts, "weights": tracked.data.tags.get("erios.weights", ""), "metrics": metrics}


def compare_runs(first: Run, second: Run) -> list[dict[str, Any]]:
    """Settings and facts that differ, then the figures that both have."""
    left, right = (tracked.data.params if tracked else {} for tracked in map(tracked_run, (first, second)))
    rows = [
        {"name": name, "first": left.get(name, ""), "second": right.get(name, "")}
        for name in sorted({*left, *right})
        if left.get(name) != right.get(name)
    ]
    left, right = (figures_of(run)["metrics"] for run in (first, second))
    figures = [
        {"name": name, "first": round(left[name], 5), "second": round(right[name], 5)}
        for name in sorted({*left} & {*right})
        if not name.endswith(("_low", "_high"))
    ]
    return rows + figures


def evidence_of(run: Run) -> Evidence:
    """The evidence for a promotion of the run's model."""
    summary, bundle = summary_of(run), open_bundle(folder_of(run, load_settings()) / "bundle")
    return Evidence(
        state=State(run.state),
        starter=run.by.username,
        judged=bool(summary.evaluation.get("metrics")),
        baseline=bool(summary.evaluation.get("baseline")),
        groups=bool(summary.evaluation.get("groups")),
        energy=bool(summary.energy),
        intended_use=bool(bundle.metadata.get("intended_use")),
        licence=(bundle.folder / "LICENSE").is_file(),
        reproduced=is_reproduced(run),
        untouched=run.extract.state != ExtractState.STALE,
    )


def promote_model(run: Run, by: User) -> str:
    """Put the run's model in the registry as its study's champion; answers name and version. Raises RuleBroken."""
    run = promote_run(run=run, by=by, evidence=evidence_of(run))
    spec = read_spec(folder_of(run, load_settings()))
    return register(spec, run.tracked, f"{run.extract.study.number}-{run.bundle}", CHAMPION)


def start_reproduction(run: Run) -> Run:
    """Queue the run once more, as a run of its own, with its own copy of bundle and settings."""
    bundle = str(folder_of(run, load_settings()) / "bundle")
    return start(RunRequest(bundle, run.extract.number, run.cluster, name=run.bundle, **run.order))


def compare_reproduction(run: Run, again: Run) -> dict[str, Any]:
    """Same code, environment, data and settings? Same weights, bit for bit? Else by how much the figures differ."""
    first, second = tracked_run(run), tracked_run(again)
    tags = [tracked.data.tags if tracked else {} for tracked in (first, second)]
    facts = ("erios.code", "erios.environment", "erios.extract.root", "erios.bundle.digest")
    changed = [name.removeprefix("erios.") for name in facts if tags[0].get(name) != tags[1].get(name)]
    weights = [each.get("erios.weights", "") for each in tags]
    same = bool(weights[0]) and weights[0] == weights[1]
    return {
        "same": same,
        "changed": changed,
        "weights": weights,
        "sentence": _describe_difference(same, changed, run, again),
    }


def _describe_difference(same: bool, changed: list[str], run: Run, again: Run) -> str:
    if same:
        return f"{again.number} ended with the weights of {run.number}, bit for bit."
    left, right = (figures_of(each)["metrics"] for each in (run, again))
    gaps = {name: abs(left[name] - right[name]) for name in left if name in right and name.startswith("test/")}
    widest = max(gaps, key=lambda name: gaps[name], default="")
    gap = f"; the widest gap of a test figure is {gaps[widest]:.3g} ({widest})" if widest else ""
    cause = f"; changed since: {', '.join(changed)}" if changed else ""
    return f"the weights differ{gap}{cause}"
