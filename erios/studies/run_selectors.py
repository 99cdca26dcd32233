"""Every read of runs: who sees which, which are alive, and which have lost their right."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from django.db.models import Q, QuerySet

from erios.accounts.models import User
from erios.errors import UsageError
from erios.governance.extract import State as ExtractState
from erios.governance.roles import Role
from erios.governance.run import LIVE, STOPPERS, State
from erios.governance.words import Refusal
from erios.settings import Settings
from erios.studies.extract_selectors import active_proposal, lost_opening, team_of
from erios.studies.models import Run, Study


def find_run(number: str) -> Run:
    """The run of a number; UsageError when there is none."""
    run = Run.objects.filter(number=number).select_related("extract__study", "by").first()
    if run is None:
        raise UsageError(f"no run '{number}'; `erios runs list` shows those that you may see")
    return run


def visible_runs(user: User) -> QuerySet[Run]:
    """Runs of the studies on whose team somebody is, all of them for those who may stop any; newest first."""
    runs = Run.objects.select_related("extract__study", "by")
    if user.person.roles & STOPPERS:
        return runs
    trained = Study.objects.filter(extracts__runs__isnull=False).distinct()
    return runs.filter(extract__study__in=[study for study in trained if user.username in team_of(study)])


def live_runs() -> QuerySet[Run]:
    """Runs that wait or work."""
    return Run.objects.filter(state__in=LIVE).select_related("extract__study", "by")


def left_open() -> QuerySet[Run]:
    """Runs that were stopped, and whose end the tracking may not have."""
    return Run.objects.filter(closed=False).exclude(state__in=LIVE).select_related("extract__study", "by")


def is_reproduced(run: Run) -> bool:
    """Did another run of the same bundle, settings and extract end with the same weights?"""
    alike = Run.objects.filter(extract=run.extract, digest=run.digest, weights=run.weights, state=State.DONE)
    others = alike.exclude(pk=run.pk)
    return bool(run.weights) and any(other.order == run.order for other in others)


def lost_right(run: Run) -> Refusal | None:
    """Why whoever started the run may not go on with it today; None if they may."""
    return lost_opening(run.extract, run.by)


def shares() -> dict[str, dict[str, bool]]:
    """Who sees the runs of each active study that trains or may, by login; True: who may train."""
    training = Study.objects.filter(Q(extracts__state=ExtractState.RELEASED) | Q(extracts__runs__isnull=False))
    studies = [study for study in training.distinct().order_by("number") if active_proposal(study) is not None]
    people = {person.username: person for person in User.objects.filter(is_active=True)}
    return {
        study.number: {
            login: Role.DATA_SCIENTIST in people[login].person.roles for login in sorted(team_of(study) & people.keys())
        }
        for study in studies
    }


def runs_on(extracts: Collection[str]) -> QuerySet[Run]:
    """Every run that has read one of these extracts: what an objection or erasure touches, models included."""
    return Run.objects.filter(extract__number__in=extracts).order_by("number")


def folder_of(run: Run, settings: Settings) -> Path:
    """Where a run keeps what it does, in its study's folder."""
    return settings.studies / run.extract.study.number / "runs" / run.number
