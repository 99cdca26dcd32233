"""Runs: what a study's team sees of its trainings, and how one is stopped."""

from __future__ import annotations

from django.contrib import messages
from django.http import FileResponse, Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from erios.accounts.sealed_rows import check_study
from erios.governance.run import State, stopping
from erios.portal import run_figures
from erios.portal.access import StaffRequest, staff
from erios.studies.extract_selectors import team_of
from erios.studies.models import Run
from erios.studies.run_selectors import visible_runs
from erios.workflows.run_summary import picture_of, summary_of


def _run(request: StaffRequest, number: str) -> Run:
    run = get_object_or_404(visible_runs(request.user), number=number)
    check_study(run.extract.study)
    return run


@staff
@require_safe
def run(request: StaffRequest, number: str) -> HttpResponse:
    """A run on one page: its state, curve, figures by subgroup, pictures and energy."""
    shown = _run(request, number)
    may_stop = State(shown.state).is_live and not stopping(request.user.person, team_of(shown.extract.study))
    context = {"run": shown, "may_stop": may_stop, **run_figures.figures(summary_of(shown))}
    return render(request, "portal/run.html", context)


@staff
@require_safe
def picture(request: StaffRequest, number: str, name: str) -> FileResponse:
    """One of the run's pictures."""
    path = picture_of(_run(request, number), name)
    if path is None:
        raise Http404
    return FileResponse(path.open("rb"), content_type="image/png")


@staff
@require_POST
def stop(request: StaffRequest, number: str) -> HttpResponse:
    """Stop a run, queued or at work."""
    from erios.workflows.run_follow import stop as act

    act(_run(request, number), request.user, request.POST.get("reason", ""))
    messages.success(request, _("L'entraînement est arrêté ; il peut reprendre où il en était."))
    return redirect("run", number)
