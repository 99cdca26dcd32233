"""Every read of workspaces: who sees which, which are open, and how much has left those of a person."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import QuerySet, Sum
from django.utils import timezone

from erios.accounts.models import User
from erios.errors import UsageError
from erios.governance.run import STOPPERS
from erios.governance.workspace import LIVE
from erios.studies.models import Workspace


def find_workspace(number: str) -> Workspace:
    """The workspace of a number; UsageError when there is none."""
    workspace = _workspaces().filter(number=number).first()
    if workspace is None:
        raise UsageError(f"no workspace '{number}'; `erios workspace list` shows those that you may see")
    return workspace


def visible_workspaces(user: User) -> QuerySet[Workspace]:
    """Somebody's own, all of them for those who may close any; newest first."""
    return _workspaces() if user.person.roles & STOPPERS else _workspaces().filter(by=user)


def live_workspaces() -> QuerySet[Workspace]:
    """Workspaces that may be entered."""
    return _workspaces().filter(state__in=LIVE)


def out_in_a_day(user: User) -> int:
    """Bytes that have left somebody's workspaces in 24 hours, as far as they are on record."""
    recent = Workspace.objects.filter(by=user).exclude(ended__lt=timezone.now() - timedelta(hours=24))
    return int(recent.aggregate(sum=Sum("out"))["sum"] or 0)


def _workspaces() -> QuerySet[Workspace]:
    return Workspace.objects.select_related("extract__study", "by")
