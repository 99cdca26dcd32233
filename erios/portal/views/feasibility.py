"""Feasibility: the criteria builder, and a masked count while one edits."""

from __future__ import annotations

import re
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from erios.accounts.sealed_rows import check_study
from erios.errors import EriosError, InputError
from erios.extracts.counts import Feasibility
from erios.extracts.criteria import describe
from erios.extracts.criteria.words import label
from erios.governance.roles import Permission
from erios.portal.access import StaffRequest, needs
from erios.portal.criteria_form import KINDS, criteria_of, new_row, rows_from, rows_of, shown
from erios.portal.views.studies import wizard_page
from erios.studies import actions, selectors
from erios.studies.ledger import left
from erios.studies.models import Proposal
from erios.workflows.count import count_patients
from etl.errors import EtlError


def _proposal(request: StaffRequest, number: str, version: int) -> Proposal:
    studies = selectors.visible_studies(request.user)
    proposal = get_object_or_404(Proposal, study__in=studies, study__number=number, version=version)
    check_study(proposal.study)
    return proposal


@needs(Permission.COUNT)
@require_http_methods(["GET", "POST"])
def feasibility(request: StaffRequest, number: str, version: int) -> HttpResponse:
    """Build the cohort; saving keeps the criteria as the proposal's cohort."""
    proposal = _proposal(request, number, version)
    if request.method == "POST":
        rows = rows_of(dict(request.POST.lists()))
    else:
        rows = rows_from(proposal.content.get("cohort"))
    if "add" in request.POST:
        rows.append(new_row(request.POST["add"]))
    elif re.fullmatch("[0-9]{1,3}", request.POST.get("drop", "")):
        del rows[int(request.POST["drop"]) : int(request.POST["drop"]) + 1]
    elif "save" in request.POST:
        try:
            actions.save_content(proposal=proposal, by=request.user, changes={"cohort": criteria_of(rows)})
        except InputError as error:
            messages.error(request, error.sentence)
        else:
            messages.success(request, _("Cohorte enregistrée."))
            return redirect("feasibility", number, version)
    values = {
        "rows": shown(rows),
        "kinds": {kind: label(kind) for kind in KINDS},
        "left": left(proposal.study, request.user),
    }
    return render(request, "portal/feasibility.html", wizard_page(proposal, "cohorte", None, **values))


@needs(Permission.COUNT)
@require_POST
def count(request: StaffRequest, number: str, version: int) -> HttpResponse:
    """The masked count of what stands in the form, with the attrition of each criterion; a part of the page."""
    proposal = _proposal(request, number, version)
    try:
        answer = count_patients(study=proposal.study, by=request.user, criteria=_criteria(request))
    except (EriosError, EtlError) as error:
        return render(request, "portal/count.html", {"fault": str(error)})
    known = {"answer": answer, "left": left(proposal.study, request.user)}
    return render(request, "portal/count.html", {**known, **_shown(answer)})


def _criteria(request: StaffRequest) -> Any:
    """What was written by hand, as text that may be no JSON, or else what the form's rows say."""
    return request.POST.get("json", "").strip() or criteria_of(rows_of(dict(request.POST.lists())))


def _shown(answer: Feasibility) -> dict[str, Any]:
    """Bars of the attrition picture: widths in percent of everybody, masked ones as a hairline."""
    whole = answer.everybody.value or 1
    bars = [{"label": _("Tous les patients"), "text": str(answer.everybody), "width": 100.0}]
    for step in answer.steps:
        width = 100.0 * min(1.0, (step.shown.value or 0) / whole)
        text = str(step.shown)
        bars.append({"label": describe(step.criterion), "text": text, "width": max(width, 0.6)})
    return {"bars": bars, "total": str(answer.total)}
