"""Studies: mine, the queue, the dossier, the wizard, and everything one does to a proposal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from erios.accounts.models import User
from erios.accounts.sealed_rows import check_study
from erios.extracts.criteria import describe, parse, steps
from erios.governance.roles import Permission
from erios.governance.study import Action, Opinion, next_actors
from erios.portal import dossiers as records
from erios.portal.access import StaffRequest, needs, staff
from erios.portal.catalogue import Table, tables
from erios.portal.forms import SECTIONS, Ai, Member, Section
from erios.portal.posted import Acts, Posted, act_on
from erios.studies import actions, selectors
from erios.studies.airlock_selectors import lets_out, request_lines, request_lines_of
from erios.studies.extract_selectors import active_proposal, extract_queue, team_of
from erios.studies.models import PartKind, Proposal, Study
from erios.studies.publication_selectors import results_of, results_queue


@staff
@require_safe
def home(request: StaffRequest) -> HttpResponse:
    """Where one's work starts: the queue for reviewers, the own studies for everybody else."""
    known: dict[str, Any] = {"queue": [], "studies": selectors.own_studies(request.user)}
    known["extracts"] = extract_queue(request.user)
    known["outgoing"] = request_lines(request.user, waiting=True)
    if request.user.person.may(Permission.REVIEW):
        known["queue"] = selectors.queue(request.user)
        known["results"] = results_queue(request.user)
    return render(request, "portal/home.html", known)


@needs(Permission.PROPOSE)
@require_POST
def start(request: StaffRequest) -> HttpResponse:
    """A new study."""
    proposal = actions.start_study(by=request.user, title=request.POST.get("title", "").strip()[:200])
    return redirect("wizard", proposal.study.number, proposal.version, "presentation")


def _study(request: StaffRequest, number: str) -> Study:
    study = get_object_or_404(selectors.visible_studies(request.user), number=number)
    check_study(study)
    return study


def _proposal(request: StaffRequest, number: str, version: int) -> Proposal:
    return get_object_or_404(Proposal, study=_study(request, number), version=version)


@staff
@require_safe
def dossier(request: StaffRequest, number: str, version: int | None = None) -> HttpResponse:
    """The dossier on one page, with what the reader may do now."""
    study = _study(request, number)
    proposal = _proposal(request, number, version) if version else study.proposals.order_by("-version").first()
    if proposal is None:
        raise Http404
    facts = selectors.facts_of(proposal)
    reviews = [PartKind.VOTE, PartKind.VISA, PartKind.DECISION]
    context = {
        "study": study,
        "proposal": proposal,
        "facts": facts,
        "actions": selectors.actions_for(proposal, request.user),
        "findings": _findings(proposal),
        "team": proposal.parts.filter(kind__in=[PartKind.PROPOSER, PartKind.TEAM]).select_related("person"),
        "reviews": proposal.parts.filter(kind__in=reviews).select_related("person"),
        "waits_for": next_actors(facts.state),
        "extracts": study.extracts.all(),
        "results": results_of(study, request.user),
        "outgoing": request_lines_of(study, request.user),
        "may_let_out": request.user.username in team_of(study) and lets_out(study),
        "may_request": request.user.username in team_of(study) and active_proposal(study) is not None,
        "cohort": _cohort(proposal),
        "ai_class": Ai.LABELS.get((proposal.content.get("ai") or {}).get("class", ""), ""),
        "route": next((r for r in selectors.legal_routes() if r.code == proposal.content.get("route")), None),
    }
    return render(request, "portal/dossier.html", context)


def _cohort(proposal: Proposal) -> list[str]:
    """The criteria in words, one a line."""
    if not proposal.content.get("cohort"):
        return []
    return [describe(step) for step in steps(parse(proposal.content["cohort"]))]


def _findings(proposal: Proposal) -> list[Mapping[str, Any]]:
    return [
        {
            "field": f.field,
            "blocks": f.blocks,
            "sentence": selectors.finding_sentence(f),
            "section": _WHERE[f.field],
        }
        for f in selectors.findings(proposal)
    ]


_WHERE = {
    **dict.fromkeys(("title", "summary", "interest"), "presentation"),
    **dict.fromkeys(("question", "method", "starts", "ends"), "methode"),
    **dict.fromkeys(("route", "information", "retention_years"), "cadre"),
    "ai": "ia",
    "data": "donnees",
    "cohort": "cohorte",
    "team": "equipe",
}
"""Field of a proposal → section of the wizard."""
_STEPS = ("presentation", "methode", "cadre", "donnees", "cohorte", "ia", "finalites", "equipe")


@staff
@require_http_methods(["GET", "POST"])
def wizard(request: StaffRequest, number: str, version: int, section: str) -> HttpResponse:
    """One section of the proposal; what is filled in is kept at each step, whatever is still missing."""
    proposal = _proposal(request, number, version)
    if section not in _STEPS:
        raise Http404
    if Action.EDIT not in selectors.actions_for(proposal, request.user):
        return redirect("dossier", number, version)
    if section == "donnees":
        return _data(request, proposal)
    if section == "equipe":
        return _team(request, proposal)
    if section == "cohorte":
        return redirect("feasibility", number, version)
    kind = SECTIONS[section]
    form = kind(request.POST) if request.method == "POST" else kind(initial=kind.from_content(proposal.content))
    if request.method == "POST" and form.is_valid():
        actions.save_content(proposal=proposal, by=request.user, changes=form.changes())
        return _saved(request, proposal, section)
    return render(request, "portal/wizard.html", wizard_page(proposal, section, form))


def wizard_page(proposal: Proposal, section: str, form: Section | None, **more: Any) -> dict[str, Any]:
    open_fields = {finding["section"] for finding in _findings(proposal) if finding["blocks"]}
    way = [{"name": name, "open": name in open_fields, "here": name == section} for name in _STEPS]
    return {"proposal": proposal, "section": section, "form": form, "steps": way, **more}


def _saved(request: StaffRequest, proposal: Proposal, section: str) -> HttpResponse:
    """Back to the same page if it saved by itself, else on to the next step."""
    if request.headers.get("HX-Request"):
        return render(request, "portal/saved.html", {"at": timezone.now()})
    messages.success(request, _("Enregistré."))
    after = _STEPS[_STEPS.index(section) + 1 :]
    if not after:
        return redirect("dossier", proposal.study.number, proposal.version)
    return redirect("wizard", proposal.study.number, proposal.version, after[0])


def _data(request: StaffRequest, proposal: Proposal) -> HttpResponse:
    """Tables and columns, each with why."""
    if request.method == "POST":
        wanted = [choice for table in tables() if (choice := _wanted(request, table))]
        actions.save_content(proposal=proposal, by=request.user, changes={"data": wanted})
        return _saved(request, proposal, "donnees")
    asked = {
        table["table"]: {column["name"]: column for column in table["columns"]}
        for table in proposal.content.get("data") or ()
    }
    return render(request, "portal/data.html", wizard_page(proposal, "donnees", None, tables=tables(), asked=asked))


def _wanted(request: StaffRequest, table: Table) -> dict[str, Any] | None:
    columns = [
        {"name": column.name, "why": request.POST.get(f"why:{table.name}:{column.name}", "").strip()}
        for column in table.columns
        if request.POST.get(f"want:{table.name}:{column.name}")
    ]
    return {"table": table.name, "columns": columns} if columns else None


def _team(request: StaffRequest, proposal: Proposal) -> HttpResponse:
    form = Member(proposal, request.POST or None)
    if request.method == "POST" and "remove" in request.POST:
        member = get_object_or_404(User, pk=request.POST["remove"])
        actions.remove_member(proposal=proposal, by=request.user, member=member)
        return redirect("wizard", proposal.study.number, proposal.version, "equipe")
    if request.method == "POST" and form.is_valid():
        actions.add_member(proposal=proposal, by=request.user, member=form.cleaned_data["member"])
        return redirect("wizard", proposal.study.number, proposal.version, "equipe")
    members = proposal.parts.filter(kind=PartKind.TEAM).select_related("person")
    return render(request, "portal/team.html", wizard_page(proposal, "equipe", None, member=form, members=members))


@staff
@require_POST
def act(request: StaffRequest, number: str, version: int, action: str) -> HttpResponse:
    """Do one action of the rules on the proposal that the reader saw."""
    act_on(_proposal(request, number, version), action, _ACTS, request)
    return redirect("dossier", number, version)


def _move(proposal: Proposal, posted: Posted) -> None:
    actions.move(proposal=proposal, action=Action(posted.action), reason=posted["reason"], **posted.seen)


def _opine(proposal: Proposal, posted: Posted) -> None:
    act = actions.vote if posted.action == Action.VOTE else actions.give_visa
    try:
        opinion = Opinion(posted["opinion"])
    except ValueError:
        raise Http404 from None
    act(proposal=proposal, opinion=opinion, reason=posted["reason"], **posted.seen)


def _decide(proposal: Proposal, posted: Posted) -> None:
    action, conditions = Action(posted.action), posted["conditions"].splitlines()
    actions.decide(proposal=proposal, action=action, reason=posted["reason"], conditions=conditions, **posted.seen)


def _answer(proposal: Proposal, posted: Posted) -> None:
    point = get_object_or_404(proposal.points, pk=posted["point"] or 0)
    actions.answer_point(point=point, by=posted.by, answer=posted["reason"])


def _meet(proposal: Proposal, posted: Posted) -> None:
    condition = get_object_or_404(proposal.conditions, pk=posted["condition"] or 0)
    actions.meet_condition(condition=condition, by=posted.by)


_ACTS: Acts = {
    Action.SUBMIT: lambda proposal, posted: actions.submit(proposal=proposal, **posted.seen),
    Action.RETURN: lambda proposal, posted: actions.return_with_points(
        proposal=proposal, points=posted["reason"].splitlines(), **posted.seen
    ),
    **dict.fromkeys((Action.VOTE, Action.VISA), _opine),
    **dict.fromkeys(actions.DECISIONS, _decide),
    Action.AGREE_TO_RESUME: lambda proposal, posted: actions.agree_to_resume(
        proposal=proposal, reason=posted["reason"], **posted.seen
    ),
    Action.ANSWER: _answer,
    Action.MEET_CONDITION: _meet,
    **dict.fromkeys(actions.MOVES, _move),
}


@staff
@require_safe
def dossier_json(request: StaffRequest, number: str, version: int) -> HttpResponse:
    """The dossier for machines."""
    return JsonResponse(records.dossier(_proposal(request, number, version)), json_dumps_params={"ensure_ascii": False})


@staff
@require_safe
def dossier_pdf(request: StaffRequest, number: str, version: int) -> HttpResponse:
    """The dossier and its decision, to print or to file."""
    response = HttpResponse(records.dossier_pdf(_proposal(request, number, version)), content_type="application/pdf")
    response["Content-Disposition"] = f'inline; filename="{number}-v{version}.pdf"'
    return response


@staff
@require_POST
def amend(request: StaffRequest, number: str) -> HttpResponse:
    """Start an amendment of an active study."""
    proposal = actions.amend(study=_study(request, number), by=request.user)
    return redirect("wizard", number, proposal.version, "presentation")


@staff
@require_POST
def comment(request: StaffRequest, number: str) -> HttpResponse:
    """A word in the thread."""
    actions.comment(study=_study(request, number), by=request.user, text=request.POST.get("text", ""))
    return redirect("dossier", number)


@staff
@require_http_methods(["GET", "POST"])
def notifications(request: StaffRequest) -> HttpResponse:
    """What the reader should know; reading the page marks it read."""
    notes = list(request.user.notifications.select_related("proposal__study", "extract", "request")[:100])
    if request.method == "POST":
        request.user.notifications.filter(read__isnull=True).update(read=timezone.now())
        return redirect("notifications")
    return render(request, "portal/notifications.html", {"notes": notes})
