"""Runs as work on a cluster: start, follow, stop, resume; and the end of those whose right has ended.

Owns the order between record, folder and job. The record says that a run may begin before anything is queued; a job
that dies without a word is found here and closed with its reason.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erios.errors import BusyError, UsageError
from erios.settings import PROJECT, Settings, load_settings, make_folder
from erios.studies.run_selectors import folder_of

_log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from erios.accounts.models import User
    from erios.studies.models import Extract, Run
    from experiments.bundles import Bundle
    from experiments.cluster import Cluster, Phase, Scheduler
    from experiments.order import Order


_HANDOVER = 60.0
"""Seconds between the record of a run and its queueing, at most."""


@dataclass(frozen=True)
class Wish:
    """What somebody wants trained. ``processes`` and ``gpus`` are per node; ``overrides``: settings of the bundle;
    ``name``: the bundle's, where its folder is called otherwise."""

    bundle: str
    extract: str
    cluster: str = "local"
    nodes: int = 1
    processes: int = 1
    gpus: int = 0
    seed: int = 0
    overrides: Mapping[str, Any] = field(default_factory=dict)
    energy: bool = True
    checkpoint_every: int = 1
    name: str = ""


def start(wish: Wish) -> Run:
    """Check bundle, cluster and right, then queue the run; every refusal comes before anything is queued."""
    from erios.locks import held
    from erios.workflows.database import open_database, operator
    from erios.workflows.extract import open_extract

    settings = open_database()
    from erios.studies.extract_selectors import find_extract
    from erios.studies.run_actions import start_run
    from experiments.bundles import check_overrides, find_bundle

    bundle = find_bundle(wish.bundle, settings.bundles_dir)
    bundle = replace(bundle, name=wish.name or bundle.name)
    world = wish.nodes * wish.processes
    bundle.config_files(world)
    check_overrides(bundle, dict(wish.overrides), world)
    cluster = _cluster(wish.cluster, settings)
    cluster.check(_job_of("check", wish, Path("/"), cluster))
    by = operator()
    opened = open_extract(wish.extract, by.username)
    asked = {name: getattr(wish, name) for name in ("nodes", "processes", "gpus", "seed", "energy", "checkpoint_every")}
    run = start_run(
        extract=find_extract(wish.extract),
        by=by,
        bundle=bundle.name,
        digest=bundle.digest,
        cluster=wish.cluster,
        order={**asked, "overrides": dict(wish.overrides)},
    )
    with held(_lock(run, settings)):
        _write_order(run, wish, bundle, opened.folder, settings)
        return _submit(run, wish, settings)


def _write_order(run: Run, wish: Wish, bundle: Bundle, dataset: Path, settings: Settings) -> None:
    from experiments.bundles import copy_bundle
    from experiments.order import Order, write_order

    folder = folder_of(run, settings)
    make_folder(folder.parent, 0o750)
    make_folder(folder, 0o750)
    copied = copy_bundle(bundle, folder / "bundle")
    write_order(
        Order(
            run=run.number,
            folder=folder,
            bundle=bundle.name,
            dataset_dir=dataset,
            tracking_uri=tracking_uri(settings),
            artifacts="" if settings.tracking_uri else str(settings.tracking / "artifacts" / run.extract.study.number),
            experiment=run.extract.study.number,
            person=run.by.username,
            seed=wish.seed,
            overrides=dict(wish.overrides),
            facts=_facts(run, copied.digest),
            processes=wish.nodes * wish.processes,
            checkpoint_every=wish.checkpoint_every,
            energy=wish.energy,
        )
    )


def _facts(run: Run, digest: str) -> dict[str, str]:
    """What every record of the run carries (DESIGN §6)."""
    from erios.version import code_version

    extract = run.extract
    lock = PROJECT / "requirements.lock"
    return {
        "extract": extract.number,
        "extract.root": extract.root,
        "release": extract.release,
        "study": extract.study.number,
        "code": code_version(),
        "environment": sha256(lock.read_bytes()).hexdigest() if lock.is_file() else "",
        "bundle.digest": digest,
        "cluster": run.cluster,
    }


def tracking_uri(settings: Settings) -> str:
    """The team's tracking server, or a database of this machine."""
    return settings.tracking_uri or f"sqlite:///{settings.tracking / 'mlflow.db'}"


def _cluster(name: str, settings: Settings) -> Cluster:
    from experiments.cluster import load_clusters

    known = load_clusters(settings.clusters_dir)
    if name not in known:
        raise UsageError(f"no cluster '{name}'; known are {', '.join(known)}")
    return known[name]


def _scheduler(run: Run, settings: Settings) -> Scheduler:
    from experiments.cluster import open_cluster

    return open_cluster(_cluster(run.cluster, settings), settings.tracking / "jobs")


def _job_of(name: str, wish: Wish, folder: Path, cluster: Cluster) -> Any:
    from experiments.cluster import Job

    python = cluster.python or sys.executable
    command = (python, "-m", "erios", "runs", "work", name)
    size = {"nodes": wish.nodes, "processes": wish.processes, "gpus": wish.gpus}
    return Job(name, command, folder, environment=_environment(), **size)


def _environment() -> dict[str, str]:
    """What a job must know of this installation: settings, no secret (they have no place for one)."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("ERIOS_")}
    paths = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
    return kept | paths | {"ERIOS_HOME": str(load_settings().home)}


def _submit(run: Run, wish: Wish, settings: Settings) -> Run:
    from erios.governance.run import State
    from erios.studies.run_actions import end_run, note_job

    folder = folder_of(run, settings) / "jobs" / str(len(list((folder_of(run, settings)).glob("jobs/*"))) + 1)
    folder.mkdir(mode=0o750, parents=True)
    try:
        job = _scheduler(run, settings).submit(_job_of(run.number, wish, folder, _cluster(run.cluster, settings)))
    except Exception as error:
        end_run(run=run, state=State.FAILED, reason=f"it could not be queued ({type(error).__name__})")
        raise
    return note_job(run=run, job=job)


def job_folder(run: Run, settings: Settings) -> Path:
    """The folder of the run's newest job."""
    return max((folder_of(run, settings) / "jobs").iterdir(), key=lambda one: int(one.name))


def resume(number: str) -> Run:
    """Queue a run that ended once more: it goes on from its last checkpoint as another attempt."""
    from erios.locks import held
    from erios.workflows.database import open_database, operator
    from erios.workflows.extract import open_extract

    settings = open_database()
    from erios.governance.run import State
    from erios.studies.run_actions import resume_run
    from erios.studies.run_selectors import find_run

    follow()
    run, by = find_run(number), operator()
    if State(run.state).is_live:
        raise UsageError(f"run {number} is {run.state}: stop it first, or let it end")
    open_extract(run.extract.number, by.username)
    kept = run.order
    size = {name: kept[name] for name in ("nodes", "processes", "gpus")}
    with held(_lock(run, settings)):
        return _submit(resume_run(run=run, by=by), Wish(run.bundle, run.extract.number, run.cluster, **size), settings)


def work(number: str) -> int:
    """One process of a run's job; answers its exit code."""
    settings = load_settings()
    from erios.workflows.guard import RunGuard, open_for_reading
    from experiments.order import read_order
    from experiments.run import run_process

    open_for_reading()
    study = number.rsplit("-", 1)[0]
    return run_process(read_order(settings.studies / study / "runs" / number), RunGuard(number))


def follow() -> list[Run]:
    """Look at every live run: note what began, close what ended or died, stop what has lost its right.

    Answers the runs that ended now.
    """
    from erios.studies.run_selectors import left_open, live_runs

    settings = load_settings()
    for run in left_open():
        _alone(run, _close_stopped, settings)
    return [ended for run in live_runs() if (ended := _alone(run, _follow, settings)) is not None]


def _lock(run: Run, settings: Settings) -> Path:
    """Beside the run's folder: who holds it queues the run, or looks at it."""
    folder = folder_of(run, settings)
    return folder.with_name(f".{folder.name}.lock")


def _alone(run: Run, look: Callable[[Run, Settings], Run | None], settings: Settings) -> Run | None:
    """Look at a run unless another process does: two would close its record twice."""
    from erios.locks import held

    try:
        with held(_lock(run, settings), patience=0):
            run.refresh_from_db()
            return look(run, settings)
    except BusyError:
        return None


def _close_stopped(run: Run, settings: Settings) -> Run | None:
    """A run that was stopped and whose job was killed before it could say so: close its record too."""
    from erios.studies.run_actions import note_closed

    if not run.job or _scheduler(run, settings).state(run.job, job_folder(run, settings)).phase.is_final:
        *_word, told = _last_word(run, run.reason, settings)
        if told:
            note_closed(run=run, tracked=_tracked(run, settings))
    return None


def _follow(run: Run, settings: Settings) -> Run | None:
    from erios.governance.run import State
    from erios.studies.run_actions import note_running, stop_run
    from erios.studies.run_selectors import lost_right
    from experiments.cluster import Phase

    if not State(run.state).is_live:
        return None
    if refusal := lost_right(run):
        stopped = stop_run(run=run, by=None, reason=refusal.say())
        _cancel(run, refusal.say(), settings)
        return stopped
    if not run.job:
        return _give_up(run)
    state = _scheduler(run, settings).state(run.job, job_folder(run, settings))
    if state.phase is Phase.RUNNING:
        note_running(run=run, tracked=_tracked(run, settings))
    return _close(run, state.phase, state.reason, settings) if state.phase.is_final else None


def _give_up(run: Run) -> Run | None:
    """A run that nobody queues although nobody holds it: whoever began to was killed."""
    from django.utils import timezone

    from erios.governance.run import State
    from erios.studies.run_actions import end_run

    if (timezone.now() - run.created).total_seconds() < _HANDOVER:
        return None
    return end_run(run=run, state=State.FAILED, reason="whoever asked for it was gone before it was queued")


def _close(run: Run, phase: Phase, reason: str, settings: Settings) -> Run:
    """Put a job's end on record: by the attempt's own word if it left one, else by the cluster's."""
    from erios.governance.run import State
    from erios.studies.run_actions import end_run
    from erios.workflows.run_story import story_of
    from experiments.cluster import Phase

    status, said, told = _last_word(run, reason or str(phase), settings)
    done = phase is Phase.DONE and status == "FINISHED"
    state = State.DONE if done else State.STOPPED if phase is Phase.CANCELLED else State.FAILED
    tracked = _tracked(run, settings)
    weights = story_of(run).weights if done else ""
    return end_run(run=run, state=state, reason="" if done else said, tracked=tracked, closed=told, weights=weights)


def _last_word(run: Run, reason: str, settings: Settings) -> tuple[str, str, bool]:
    """How the last attempt ended, and whether the tracking has been told; a silent end gets the cluster's reason."""
    from experiments.order import read_order
    from experiments.recorder import ENDED, SILENT

    order = read_order(folder_of(run, settings))
    told = _close_attempts(order, reason)
    word = order.attempt_folder(order.attempts) / ENDED
    if not word.is_file():
        return "FAILED", reason, told
    ended = json.loads(word.read_text())
    said = str(ended["reason"])
    return str(ended["status"]), said if said not in ("", SILENT) else reason, told


def _close_attempts(order: Order, reason: str) -> bool:
    """Tell the tracking of attempts that died silently; False where it does not answer, to be tried again."""
    from experiments.recorder import close_lost

    try:
        for attempt in range(1, order.attempts + 1):
            close_lost(order, attempt, reason)
    except Exception as error:  # MLflow's, its database's, or the network's
        _log.error("the tracking does not take the end of %s: %s", order.run, type(error).__name__)
        return False
    return True


def _tracked(run: Run, settings: Settings) -> str:
    from experiments.order import read_order
    from experiments.recorder import mlflow_run

    order = read_order(folder_of(run, settings))
    return mlflow_run(order, order.attempts) or ""


def _cancel(run: Run, reason: str, settings: Settings) -> None:
    if run.job:
        _scheduler(run, settings).cancel(run.job, reason)


def stop(run: Run, by: User, reason: str) -> Run:
    """Stop a run, queued or at work; its checkpoint stays. Raises RuleBroken."""
    from erios.studies.run_actions import stop_run

    run = stop_run(run=run, by=by, reason=reason)
    _cancel(run, reason, load_settings())
    return run


def stop_forbidden(extract: Extract | None = None) -> list[str]:
    """After a clearance, study or account has changed: stop every run that has lost its right; answers which."""
    from erios.studies.run_actions import stop_run
    from erios.studies.run_selectors import live_runs, lost_right

    settings, stopped = load_settings(), []
    for run in live_runs() if extract is None else live_runs().filter(extract=extract):
        if refusal := lost_right(run):
            stop_run(run=run, by=None, reason=refusal.say())
            _cancel(run, refusal.say(), settings)
            stopped.append(run.number)
    return stopped


def watch(run: Run, settings: Settings, *, every: float = 0.5) -> Iterator[dict[str, Any]]:
    """The events of a run as they come, from its newest attempt on, until it has ended."""
    import time

    from erios.governance.run import State
    from experiments.order import read_order

    order, seen = read_order(folder_of(run, settings)), _Seen(0, 0)
    while True:
        run.refresh_from_db()
        is_live = State(run.state).is_live
        yield from seen.news(order)
        if not is_live:
            return
        time.sleep(every)
        _alone(run, _follow, settings)


@dataclass
class _Seen:
    """How far an attempt's events were read."""

    attempt: int
    offset: int

    def news(self, order: Order) -> Iterator[dict[str, Any]]:
        from experiments.spool import read_events

        if order.attempts > self.attempt:
            self.attempt, self.offset = order.attempts, 0
        if self.attempt:
            for event, offset in read_events(order.attempt_folder(self.attempt), self.offset):
                self.offset = offset
                yield event


def say_runs(by: User) -> list[dict[str, Any]]:
    """The runs that somebody may see, newest first, with what the list shows of each."""
    from erios.studies.run_selectors import visible_runs

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
