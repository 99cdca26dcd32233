"""The recorder: a process that sends what was logged of a training to MLflow, asynchronously and in batches.

Owns the MLflow run of an attempt from its creation to its end. It ends with the process that it serves, but only after
it has sent every event and the reason of the end; an attempt that logged no end was killed. Reads ``run_spec`` and
``event_log``; it must never touch data.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.attempt_outcome import Outcome
from experiments.event_log import read_events
from experiments.files import write_whole
from experiments.run_spec import RunSpec, read_spec

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_FILE, SENT, ENDED = "mlflow_run", "shipped", "ended"
SILENT = "the training process ended without a word: it was killed, or its machine failed"
CLOSED_ELSEWHERE = "its record was ended at the tracking by somebody else: what came after that is not in it"
EVERY = 1.0
"""Seconds between two transfers."""
_STATUS = {Outcome.DONE: "FINISHED", Outcome.FAILED: "FAILED", Outcome.STOPPED: "KILLED"}
"""Outcome → MLflow's status."""
_MOST_METRICS, _MOST_TEXTS = 900, 90
"""A batch to MLflow takes 1000 entries, of them 100 parameters and 100 tags."""


def silence() -> None:
    """Keep the dependencies of this wing from sending anything anywhere; call it before importing one."""
    os.environ.update(
        MLFLOW_DISABLE_TELEMETRY="true",
        MLFLOW_ENABLE_ASYNC_LOGGING="false",
        DO_NOT_TRACK="1",
        HF_HUB_OFFLINE="1",
        TRANSFORMERS_OFFLINE="1",
        NO_ALBUMENTATIONS_UPDATE="1",
    )


@dataclass
class _Batch:
    metrics: list[Any] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    artifacts: list[tuple[str, str]] = field(default_factory=list)
    end: tuple[Outcome, str] | None = None

    def add(self, event: Mapping[str, Any]) -> None:
        from mlflow.entities import Metric

        for name, value in event.get("metrics", {}).items():
            self.metrics.append(Metric(name, float(value), event["t"], event["step"]))
        self.params |= event.get("params", {})
        self.tags |= event.get("tags", {})
        if "artifact" in event:
            self.artifacts.append((event["artifact"], event["folder"]))
        if "end" in event:
            self.end = (Outcome(event["end"]), event["reason"])


def open_run(client: MlflowClient, spec: RunSpec, attempt: int) -> str:
    """The MLflow run of this attempt: a new one, unless this attempt has one already."""
    folder = spec.attempt_folder(attempt)
    if (folder / RUN_FILE).is_file():
        return (folder / RUN_FILE).read_text()
    experiment = client.get_experiment_by_name(spec.experiment)
    number = (
        experiment.experiment_id
        if experiment
        else client.create_experiment(spec.experiment, artifact_location=spec.artifacts or None)
    )
    tags = {
        **{f"erios.{name}": value for name, value in spec.facts.items()},
        "erios.run": spec.run,
        "erios.attempt": str(attempt),
        "erios.bundle": spec.bundle,
        "mlflow.user": spec.person,
    }
    if earlier := mlflow_run(spec, attempt - 1):
        tags |= {"erios.previous": earlier, "mlflow.parentRunId": mlflow_run(spec, 1) or earlier}
    run = client.create_run(number, tags=tags, run_name=spec.run if attempt == 1 else f"{spec.run} · {attempt}")
    write_whole(folder / RUN_FILE, run.info.run_id.encode())
    _log_dataset(client, run.info.run_id, spec)
    return str(run.info.run_id)


def mlflow_run(spec: RunSpec, attempt: int) -> str | None:
    """The MLflow run of an attempt, once it has one."""
    path = spec.attempt_folder(attempt) / RUN_FILE
    return path.read_text() if attempt > 0 and path.is_file() else None


def _log_dataset(client: MlflowClient, run_id: str, spec: RunSpec) -> None:
    """The extract as the run's input. MLflow keeps 36 characters of a digest; the whole root is in the profile."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    facts = spec.facts
    root = facts.get("extract.root", "")
    dataset = Dataset(
        name=facts.get("extract", "data"),
        digest=root[:36],
        source_type="erios-extract",
        source=json.dumps({"extract": facts.get("extract", ""), "release": facts.get("release", "")}),
        profile=json.dumps({"root": root}),
    )
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def send(client: MlflowClient, run_id: str, folder: Path) -> tuple[Outcome, str] | None:
    """Send the events that MLflow has not got yet; answers outcome and reason, once the attempt has logged its end.

    A transfer that is cut short is sent again: MLflow keeps one of two equal figures.
    """
    events = read_events(folder, sent_until(folder))
    while chunk := list(islice(events, 400)):
        batch = _Batch()
        for event, _offset in chunk:
            batch.add(event)
        _send(client, run_id, batch)
        write_whole(folder / SENT, str(chunk[-1][1]).encode())
        if batch.end:
            return batch.end
    return None


def sent_until(folder: Path) -> int:
    """The offset in the event log up to which MLflow has got the events."""
    path = folder / SENT
    return int(path.read_text()) if path.is_file() else 0


def _send(client: MlflowClient, run_id: str, batch: _Batch) -> None:
    from mlflow.entities import Param, RunTag

    for metrics in _pieces(batch.metrics, _MOST_METRICS):
        client.log_batch(run_id, metrics=metrics)
    for params in _pieces([Param(*item) for item in batch.params.items()], _MOST_TEXTS):
        client.log_batch(run_id, params=params)
    for tags in _pieces([RunTag(*item) for item in batch.tags.items()], _MOST_TEXTS):
        client.log_batch(run_id, tags=tags)
    for path, target in batch.artifacts:
        log = client.log_artifacts if Path(path).is_dir() else client.log_artifact
        log(run_id, path, target or None)


def _pieces(entries: list[Any], most: int) -> Iterable[list[Any]]:
    return (entries[start : start + most] for start in range(0, len(entries), most))


def end_run(client: MlflowClient, run_id: str, folder: Path, outcome: Outcome, reason: str) -> None:
    """Close the MLflow run with its reason, once; a closed run is never written to again."""
    if (folder / ENDED).exists():
        return
    if not has_ended(client, run_id):
        if reason:
            client.set_tag(run_id, "erios.reason", reason)
        client.set_terminated(run_id, _STATUS[outcome])
    write_whole(folder / ENDED, json.dumps({"status": outcome, "reason": reason}).encode())


def has_ended(client: MlflowClient, run_id: str) -> bool:
    """Is the MLflow run read-only from now on?"""
    return client.get_run(run_id).info.status in _STATUS.values()


def read_end(folder: Path) -> tuple[Outcome, str] | None:
    """Outcome and reason of an attempt whose end has been recorded; None of another."""
    path = folder / ENDED
    if not path.is_file():
        return None
    ended = json.loads(path.read_text(encoding="utf-8"))
    return Outcome(ended["status"]), str(ended["reason"])


def close_lost(spec: RunSpec, attempt: int, reason: str = SILENT) -> bool:
    """End an attempt whose processes are gone, after sending what they logged; answers whether there was one to end."""
    folder = spec.attempt_folder(attempt)
    if (folder / ENDED).exists() or not folder.is_dir():
        return False
    client = make_client(spec)
    run_id = open_run(client, spec, attempt)
    if has_ended(client, run_id):
        end = _last_end(folder) or (Outcome.FAILED, CLOSED_ELSEWHERE)
    else:
        end = send(client, run_id, folder) or (Outcome.FAILED, reason)
    end_run(client, run_id, folder, *end)
    return True


def _last_end(folder: Path) -> tuple[Outcome, str] | None:
    """The end that the attempt logged, where all of its events were sent before the run was closed."""
    events = [event for event, offset in read_events(folder) if "end" in event and offset <= sent_until(folder)]
    return (Outcome(events[-1]["end"]), events[-1]["reason"]) if events else None


def make_client(spec: RunSpec) -> MlflowClient:
    """A client of the run's tracking server or database."""
    silence()
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=spec.tracking_uri)


def main(run: Path, attempt: int) -> None:
    """Record an attempt until it logs its end, or its process, at the other end of standard input, is gone."""
    spec = read_spec(run)
    folder = spec.attempt_folder(attempt)
    client = make_client(spec)
    run_id = open_run(client, spec, attempt)
    monitor = _monitor(run_id, spec)
    try:
        end = _serve(client, run_id, folder)
    finally:
        monitor.finish()
    end_run(client, run_id, folder, *(end or (Outcome.FAILED, SILENT)))


def _serve(client: MlflowClient, run_id: str, folder: Path) -> tuple[Outcome, str] | None:
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], EVERY)
        gone = bool(ready) and not os.read(sys.stdin.fileno(), 1)
        if (end := send(client, run_id, folder)) or gone:
            return end


def _monitor(run_id: str, spec: RunSpec) -> Any:
    """MLflow's own sampling of processor, memory, disk, network and GPUs of this node."""
    from mlflow.system_metrics import system_metrics_monitor

    make: Any = system_metrics_monitor.SystemMetricsMonitor
    monitor = make(run_id, sampling_interval=10, tracking_uri=spec.tracking_uri)
    monitor.start()
    return monitor


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGINT):  # the scheduler signals every process; this one ends last
        signal.signal(number, signal.SIG_IGN)
    main(Path(sys.argv[1]), int(sys.argv[2]))
