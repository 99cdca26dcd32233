"""What a run has logged until now, read from its folder: attempts, curve, evaluation, energy, pictures.

Callers check permissions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from erios.governance.run import State
from erios.settings import load_settings
from erios.studies.models import Run
from erios.workflows.run_jobs import spec_of
from experiments.errors import ExperimentError
from experiments.event_log import read_events
from experiments.recorder import read_end
from experiments.run_spec import RunSpec


@dataclass(frozen=True)
class Epoch:
    """``loss``: mean over the epoch's iterations, None if none was logged; ``validation``: figures after it."""

    number: int
    loss: float | None
    seconds: float
    validation: Mapping[str, float]


@dataclass(frozen=True)
class Attempt:
    """``status``: running, or its outcome; ``reason``: why it failed or was stopped."""

    number: int
    status: str
    reason: str


@dataclass(frozen=True)
class RunSummary:
    """A run from its first attempt to its last. ``evaluation``: as ``experiments.evaluation`` keeps it."""

    attempts: tuple[Attempt, ...] = ()
    epochs: tuple[Epoch, ...] = ()
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    energy: Mapping[str, float] = field(default_factory=dict)
    meter: str = ""
    weights: str = ""
    pictures: tuple[str, ...] = ()


def summary_of(run: Run) -> RunSummary:
    """The summary of a run; empty before its first attempt."""
    spec = _spec(run)
    if spec is None or not spec.attempts:
        return RunSummary()
    last = spec.attempt_folder(spec.attempts)
    figures, tags = _last_values(spec)
    return RunSummary(
        attempts=tuple(_attempt(spec, number) for number in range(1, spec.attempts + 1)),
        epochs=tuple(_epochs(spec)),
        evaluation=_read_json(last / "evaluation.json"),
        energy={name.removeprefix("energy/"): value for name, value in figures.items() if name.startswith("energy/")},
        meter=tags.get("erios.energy", ""),
        weights=tags.get("erios.weights", ""),
        pictures=tuple(sorted(path.name for path in (last / "pictures").glob("*.png"))),
    )


def picture_of(run: Run, name: str) -> Path | None:
    """The file of one of the run's pictures; None if it has no such picture."""
    spec = _spec(run)
    if spec is None or name not in summary_of(run).pictures:
        return None
    return spec.attempt_folder(spec.attempts) / "pictures" / name


def _spec(run: Run) -> RunSpec | None:
    try:
        return spec_of(run, load_settings())
    except ExperimentError:
        return None


def _read_json(path: Path) -> Mapping[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _attempt(spec: RunSpec, number: int) -> Attempt:
    status, reason = read_end(spec.attempt_folder(number)) or (State.RUNNING, "")
    return Attempt(number, str(status), reason)


def _epochs(spec: RunSpec) -> Iterator[Epoch]:
    """Epochs over all attempts; losses of an interrupted epoch count once it is complete."""
    losses: dict[int, float] = {}
    for event in _events(spec):
        metrics = event.get("metrics", {})
        if "train/loss" in metrics:
            losses[event["step"]] = float(metrics["train/loss"])
        if "train/seconds_per_epoch" in metrics:
            mean = sum(losses.values()) / len(losses) if losses else None
            yield Epoch(event["step"], mean, float(metrics["train/seconds_per_epoch"]), _validation(metrics))
            losses.clear()


def _validation(metrics: Mapping[str, Any]) -> dict[str, float]:
    prefix = "validation/"
    return {name.removeprefix(prefix): float(value) for name, value in metrics.items() if name.startswith(prefix)}


def _events(spec: RunSpec) -> Iterator[dict[str, Any]]:
    for number in range(1, spec.attempts + 1):
        for event, _offset in read_events(spec.attempt_folder(number)):
            yield event


def _last_values(spec: RunSpec) -> tuple[dict[str, float], dict[str, str]]:
    """The last value of each metric and tag over all attempts."""
    figures: dict[str, float] = {}
    tags: dict[str, str] = {}
    for event in _events(spec):
        figures |= {name: float(value) for name, value in event.get("metrics", {}).items()}
        tags |= event.get("tags", {})
    return figures, tags
