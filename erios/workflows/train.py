"""Start and resume runs.

Owns the order between record, folder and job: the record says that a run may begin before anything is queued.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from erios.checkout import PROJECT
from erios.errors import UsageError
from erios.governance.run import State
from erios.locks import held
from erios.settings import Settings, make_folder
from erios.studies.extract_selectors import find_extract
from erios.studies.models import Run
from erios.studies.run_actions import end_run, note_job, resume_run, start_run
from erios.studies.run_selectors import find_run, folder_of
from erios.version import code_version
from erios.workflows.database import open_database, operator
from erios.workflows.extract import open_extract
from erios.workflows.run_follow import follow
from erios.workflows.run_jobs import find_cluster, lock_of, make_job, make_job_folder, scheduler_of
from erios.workflows.signing_keys import signing_key
from experiments.bundles import Bundle, check_overrides, copy_bundle, find_bundle
from experiments.run_spec import RunSpec, write_spec

_SIZE = ("nodes", "processes", "gpus")


@dataclass(frozen=True)
class RunRequest:
    """A training to start. ``processes`` and ``gpus`` are per node; ``overrides``: settings of the bundle;
    ``name``: the bundle's, where its folder has another."""

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


def start(request: RunRequest) -> Run:
    """Check bundle, cluster and right, then queue the run; every refusal comes before anything is queued."""
    settings = open_database()
    bundle = find_bundle(request.bundle, settings.bundles_dir)
    bundle = replace(bundle, name=request.name or bundle.name)
    world = request.nodes * request.processes
    bundle.config_files(world)
    check_overrides(bundle, dict(request.overrides), world)
    cluster = find_cluster(request.cluster, settings)
    size = {name: getattr(request, name) for name in _SIZE}
    cluster.check(make_job("check", Path("/"), cluster, **size))
    by = operator()
    opened = open_extract(request.extract, by.username)
    options = {name: getattr(request, name) for name in ("seed", "energy", "checkpoint_every")}
    run = start_run(
        extract=find_extract(request.extract),
        by=by,
        bundle=bundle.name,
        digest=bundle.digest,
        cluster=request.cluster,
        order={**size, **options, "overrides": dict(request.overrides)},
    )
    with held(lock_of(run, settings)):
        _write_spec(run, request, bundle, opened.folder, settings)
        return _submit(run, settings)


def _write_spec(run: Run, request: RunRequest, bundle: Bundle, dataset: Path, settings: Settings) -> None:
    folder = folder_of(run, settings)
    make_folder(folder.parent, 0o750)
    make_folder(folder, 0o750)
    copied = copy_bundle(bundle, folder / "bundle")
    write_spec(
        RunSpec(
            run=run.number,
            folder=folder,
            bundle=bundle.name,
            dataset_dir=dataset,
            tracking_uri=tracking_uri(settings),
            artifacts="" if settings.tracking_uri else str(settings.tracking / "artifacts" / run.extract.study.number),
            experiment=run.extract.study.number,
            person=run.by.username,
            seed=request.seed,
            overrides=dict(request.overrides),
            facts=_facts(run, copied.digest, signing_key(settings, run.extract.key_id)),
            processes=request.nodes * request.processes,
            checkpoint_every=request.checkpoint_every,
            energy=request.energy,
        )
    )


def _facts(run: Run, digest: str, public_key: str) -> dict[str, str]:
    """Facts that every record of the run carries (docs/design.md §6)."""
    extract = run.extract
    lock = PROJECT / "requirements.lock"
    return {
        "extract": extract.number,
        "extract.root": extract.root,
        "extract.public_key": public_key,
        "extract.expires": extract.expires.isoformat() if extract.expires else "",
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


def _submit(run: Run, settings: Settings) -> Run:
    size = {name: run.order[name] for name in _SIZE}
    job = make_job(run.number, make_job_folder(run, settings), find_cluster(run.cluster, settings), **size)
    try:
        return note_job(run=run, job=scheduler_of(run, settings).submit(job))
    except Exception as error:
        end_run(run=run, state=State.FAILED, reason=f"it could not be queued ({type(error).__name__})")
        raise


def resume(number: str) -> Run:
    """Queue a run that ended once more: another attempt continues from its last checkpoint."""
    settings = open_database()
    follow()
    run, by = find_run(number), operator()
    if State(run.state).is_live:
        raise UsageError(f"run {number} is {run.state}: stop it first, or let it end")
    open_extract(run.extract.number, by.username)
    with held(lock_of(run, settings)):
        return _submit(resume_run(run=run, by=by), settings)
