"""Workspaces: a way into one, those that the reader may see, and how one is closed."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from erios.accounts.sealed_rows import check_study
from erios.portal.access import StaffRequest, staff
from erios.studies.extract_selectors import visible_extracts
from erios.studies.workspace_actions import TOKEN_S, close_workspace
from erios.studies.workspace_selectors import visible_workspaces
from erios.workflows.workspaces import way_in

_SHOWN = 100


@staff
@require_safe
def workspaces(request: StaffRequest) -> HttpResponse:
    """The reader's workspaces, all of them for those who guard the data; newest first."""
    return render(request, "portal/workspaces.html", {"workspaces": visible_workspaces(request.user)[:_SHOWN]})


@staff
@never_cache
@require_POST
def open_workspace(request: StaffRequest, number: str) -> HttpResponse:
    """A way into the reader's workspace on an extract: a link that works once, and soon no more."""
    extract = get_object_or_404(visible_extracts(request.user), number=number)
    check_study(extract.study)
    workspace, address = way_in(extract.number, request.user)
    context = {"workspaces": [workspace], "entered": workspace, "address": address, "seconds": TOKEN_S}
    return render(request, "portal/workspaces.html", context)


@staff
@require_POST
def close(request: StaffRequest, number: str) -> HttpResponse:
    """Close a workspace: one's own, or for a reason that of another."""
    workspace = get_object_or_404(visible_workspaces(request.user), number=number)
    own = workspace.by == request.user
    reason = request.POST.get("reason", "").strip()
    if not own and not reason:
        messages.error(request, _("un motif écrit est nécessaire"))
        return redirect("workspaces")
    close_workspace(workspace=workspace, by=request.user, reason=reason or "its owner closed it")
    messages.success(request, _("L'espace de travail est fermé ; tout ce qui y tournait s'arrête."))
    return redirect("workspaces")
