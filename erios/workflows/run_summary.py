"""What a run tells of itself, read from its folder: attempts, curve, evaluation, energy, pictures.

Owns the reading of events as a summary of the whole run; who may hear it is asked before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erios.settings import load_settings
from erios.studies.run_selectors import folder_of
from experiments.errors import ExperimentError
from experiments.event_log import read_events
from experiments.recorder import ENDED
from experiments.run_spec import RunSpec, read_spec

if TYPE_CHECKING:
    from erios.studies.models import Run


@dataclass(frozen=True)
class Epoch:
    """``loss``: mean over the epoch's iterations, None if none was told; ``validation``: figures after it."""

    number: int
    loss: float | None
    seconds: float
    validation: Mapping[str, float]


@dataclass(frozen=True)
class Attempt:
    """``status``: RUNNING, FINISHED, FAILED or KILLED; ``reason``: why it ended so."""

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
    """All that the run has told until now; an empty summary before its first attempt."""
    spec = _spec(run)
    if spec is None or not spec.attempts:
        return RunSummary()
    last = spec.attempt_folder(spec.attempts)
    figures, tags = _last_told(spec)
    return RunSummary(
        attempts=tuple(_attempt(spec, number) for number in range(1, spec.attempts + 1)),
        epochs=tuple(_epochs(spec)),
        evaluation=_read(last / "evaluation.json"),
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
        return read_spec(folder_of(run, load_settings()))
    except ExperimentError:
        return None


def _read(path: Path) -> Mapping[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _attempt(spec: RunSpec, number: int) -> Attempt:

    ended = _read(spec.attempt_folder(number) / ENDED)
    return Attempt(number, str(ended.get("status", "RUNNING")), str(ended.get("reason", "")))


def _epochs(spec: RunSpec) -> Iterator[Epoch]:
    """Epochs over all attempts; losses of an epoch that was cut count once it is done."""
    losses: dict[int, float] = {}
    for event in _events(spec):
        metrics = event.get("metrics", {})
        if "train/loss" in metrics:
            losses[event["step"]] = float(metrics["train/loss"])
        if "train/seconds_per_epoch" in metrics:
            told = {n.removeprefix("validation/"): float(v) for n, v in metrics.items() if n.startswith("validation/")}
            mean = sum(losses.values()) / len(losses) if losses else None
            yield Epoch(event["step"], mean, float(metrics["train/seconds_per_epoch"]), told)
            losses.clear()


def _events(spec: RunSpec) -> Iterator[dict[str, Any]]:

    for number in range(1, spec.attempts + 1):
        for event, _offset in read_events(spec.attempt_folder(number)):
            yield event


def _last_told(spec: RunSpec) -> tuple[dict[str, float], dict[str, str]]:
    figures: dict[str, float] = {}
    tags: dict[str, str] = {}
    for event in _events(spec):
        figures |= {name: float(value) for name, value in event.get("metrics", {}).items()}
        tags |= event.get("tags", {})
    return figures, tags
