"""Every write on a run: one keyword-only function each, one transaction that changes the data and appends the event.

What happens on the cluster is done by ``erios.workflows.train`` and ``run_follow``, which call these before and after.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from erios.accounts.audit_events import record
from erios.accounts.models import User
from erios.accounts.sealed_rows import check_account, check_study
from erios.audit import Draft
from erios.governance.extract import opening
from erios.governance.run import Evidence, State, promoting, stopping
from erios.governance.words import RuleBroken
from erios.studies.extract_selectors import extract_facts, team_of
from erios.studies.models import Extract, Run, Study
from experiments.errors import SAYS


def start_run(*, extract: Extract, by: User, bundle: str, digest: str, cluster: str, order: Mapping[str, Any]) -> Run:
    """A run that may begin: its extract is released, its study active, its starter on the team, today."""
    with transaction.atomic():
        study = Study.objects.select_for_update(no_key=True).get(pk=extract.study_id)
        check_study(study)
        check_account(by)
        if refusal := opening(extract_facts(extract), by.person, timezone.localdate()):
            raise RuleBroken(refusal)
        number = f"{study.number}-R{Run.objects.filter(extract__study=study).count() + 1:03d}"
        run = Run.objects.create(
            number=number, extract=extract, by=by, bundle=bundle, digest=digest, cluster=cluster, order=dict(order)
        )
        facts = {"extract": extract.number, "root": extract.root, "bundle": bundle, "digest": digest}
        record([Draft("run.start", number, "", {**facts, "cluster": cluster})], by=by, rows=[run])
    return run


def resume_run(*, run: Run, by: User) -> Run:
    """A run that ended goes on from its last checkpoint, under the rules of today."""
    with transaction.atomic():
        check_study(run.extract.study)
        check_account(by)
        if refusal := opening(extract_facts(run.extract), by.person, timezone.localdate()):
            raise RuleBroken(refusal)
        run = _locked(run)
        run.state, run.reason, run.ended, run.job, run.closed = State.QUEUED, "", None, "", False
        run.save()
        record([Draft("run.resume", run.number)], by=by, rows=[run])
    return run


def note_job(*, run: Run, job: str) -> Run:
    """The cluster's name of the run's job."""
    return _note(run, "run.queue", job=job)


def note_running(*, run: Run, tracked: str) -> None:
    """The cluster has begun with it; ``tracked``: its MLflow run, once there is one."""
    if State(run.state).is_live and (run.state, run.tracked) != (State.RUNNING, tracked):
        _note(run, "run.running", state=State.RUNNING, tracked=tracked)


def note_closed(*, run: Run, tracked: str) -> None:
    """The tracking has the end of a stopped run."""
    _note(run, "run.close", closed=True, tracked=tracked)


def _note(run: Run, action: str, **values: Any) -> Run:
    with transaction.atomic():
        run = _locked(run)
        for name, value in values.items():
            setattr(run, name, value)
        run.save(update_fields=list(values))
        record([Draft(action, run.number)], by=None, rows=[run])
    return run


def end_run(*, run: Run, state: State, reason: str, tracked: str = "", closed: bool = True, weights: str = "") -> Run:
    """A run has ended, well or badly; ``closed``: the tracking knows. One that has ended already stays as it is."""
    with transaction.atomic():
        run = _locked(run)
        if State(run.state).is_live:
            run.state, run.reason, run.ended = state, reason, timezone.now()
            run.tracked, run.closed, run.weights = tracked or run.tracked, closed, weights
            run.save()
            record([Draft(f"run.{state}", run.number, _recorded(reason))], by=None, rows=[run])
    return run


def _recorded(reason: str) -> str:
    """The reason as the audit chain keeps it: without words of the training, which may say anything."""
    return "the training failed" if reason.startswith(SAYS) else reason


def stop_run(*, run: Run, by: User | None, reason: str) -> Run:
    """Stop a run: somebody of the team or of those who guard the data, or (None) a right that has ended."""
    with transaction.atomic():
        if by is not None and (refusal := stopping(by.person, team_of(run.extract.study))):
            raise RuleBroken(refusal)
        run = _locked(run)
        if State(run.state).is_live:
            run.state, run.reason, run.ended = State.STOPPED, reason, timezone.now()
            run.save()
            record([Draft("run.stop", run.number, reason)], by=by, rows=[run])
    return run


def promote_run(*, run: Run, by: User, evidence: Evidence) -> Run:
    """The run's model may be used by others: somebody else than its trainer has seen that the evidence is complete."""
    with transaction.atomic():
        run = _locked(run)
        if refusal := promoting(by.person, team_of(run.extract.study), evidence):
            raise RuleBroken(refusal)
        run.promoted, run.promoted_by = timezone.now(), by
        run.save()
        record([Draft("run.promote", run.number, "", {"weights": run.weights})], by=by, rows=[run])
    return run


def _locked(run: Run) -> Run:
    locked = Run.objects.select_for_update(no_key=True).get(pk=run.pk)
    check_study(locked.extract.study)
    return locked
