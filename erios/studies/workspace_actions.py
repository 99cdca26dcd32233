"""Every write on a workspace: one keyword-only function each, one transaction that changes the data and tells of it.

What runs is started and ended by ``erios.workflows.workspace_server``, which calls these before and after.
"""

from __future__ import annotations

import hmac
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from erios.accounts.audit_events import record
from erios.accounts.models import User
from erios.accounts.sealed_rows import check_account, check_study
from erios.audit import Draft
from erios.governance.extract import opening
from erios.governance.words import RuleBroken
from erios.governance.workspace import State, closing, entering
from erios.studies.extract_selectors import extract_facts
from erios.studies.models import Extract, Study, Workspace
from erios.studies.workspace_selectors import live_workspaces, out_in_a_day

TOKEN_S = 30
"""Seconds in which a way in must be taken."""


def ask_workspace(*, extract: Extract, by: User, label: str, token: str, most: int) -> Workspace:
    """A way into the person's workspace on this extract, which is begun if there is none; ``token``: its digest.

    ``most``: bytes that may leave their workspaces in a day.
    """
    with transaction.atomic():
        study = Study.objects.select_for_update(no_key=True).get(pk=extract.study_id)
        check_study(study)
        check_account(by)
        if refusal := opening(extract_facts(extract), by.person, timezone.localdate()):
            raise RuleBroken(refusal)
        live = live_workspaces().filter(by=by).first()
        if live is not None and live.extract_id != extract.pk and live.state == State.ASKED:
            close_workspace(workspace=live, by=by, reason="it was not entered")
            live = None
        other = live.number if live is not None and live.extract_id != extract.pk else ""
        if refusal := entering(other, out_in_a_day(by), most):
            raise RuleBroken(refusal)
        workspace = live or _new(study, extract, by, label)
        workspace.token, workspace.token_at = token, timezone.now()
        workspace.save()
        record([Draft("workspace.ask", workspace.number, "", {"extract": extract.number})], by=by, rows=[workspace])
    return workspace


def _new(study: Study, extract: Extract, by: User, label: str) -> Workspace:
    number = f"{study.number}-W{Workspace.objects.filter(extract__study=study).count() + 1:04d}"
    return Workspace(number=number, extract=extract, by=by, label=label)


def enter_workspace(*, label: str, token: str) -> Workspace | None:
    """The workspace that a token's digest opens, which it does once and for some seconds; None for any other."""
    with transaction.atomic():
        workspace = Workspace.objects.select_for_update(no_key=True, of=("self",)).filter(label=label).first()
        if workspace is None or not State(workspace.state).is_live or not workspace.token:
            return None
        check_study(workspace.extract.study)
        fits = hmac.compare_digest(workspace.token, token)
        late = timezone.now() > workspace.token_at + timedelta(seconds=TOKEN_S)
        if not fits or late:
            return None
        workspace.token = ""
        workspace.save()
        record([Draft("workspace.enter", workspace.number)], by=workspace.by, rows=[workspace])
    return workspace


def begin_workspace(*, workspace: Workspace) -> Workspace:
    """JupyterLab answers in it."""
    with transaction.atomic():
        workspace = _locked(workspace)
        if workspace.state == State.ASKED:
            workspace.state, workspace.opened = State.OPEN, timezone.now()
            workspace.save()
            record([Draft("workspace.open", workspace.number)], by=workspace.by, rows=[workspace])
    return workspace


def note_traffic(*, workspace: Workspace, out: int, refused: int) -> None:
    """How much has left it so far, and how many downloads were not let out."""
    with transaction.atomic():
        workspace = _locked(workspace)
        workspace.out, workspace.refused = out, refused
        workspace.save()
        details = {"bytes": out, "refused": refused}
        record([Draft("workspace.traffic", workspace.number, "", details)], by=None, rows=[workspace])


def close_workspace(*, workspace: Workspace, by: User | None, reason: str) -> Workspace:
    """Nobody enters it any more: its owner or who guards the data closed it, or (None) its time or right is over."""
    with transaction.atomic():
        workspace = _locked(workspace)
        if by is not None and (refusal := closing(by.person, workspace.by.username)):
            raise RuleBroken(refusal)
        if State(workspace.state).is_live:
            workspace.state, workspace.reason, workspace.ended = State.CLOSED, reason, timezone.now()
            workspace.token = ""
            workspace.save()
            record([Draft("workspace.close", workspace.number, reason)], by=by, rows=[workspace])
    return workspace


def _locked(workspace: Workspace) -> Workspace:
    locked = Workspace.objects.select_for_update(no_key=True, of=("self",)).get(pk=workspace.pk)
    check_study(locked.extract.study)
    return locked
