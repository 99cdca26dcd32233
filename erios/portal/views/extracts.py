"""Extracts: what a team asks for, how risky it is, who has cleared what; and everything one does to an extract."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from erios.accounts.sealed_rows import check_study
from erios.errors import InputError
from erios.extracts.criteria import describe
from erios.extracts.generalisation.columns import Terms, forms_of, say_form
from erios.extracts.generalisation.dates import ClockPrecision, DatePolicy
from erios.extracts.generalisation.vocabulary import describe_level
from erios.extracts.invented_sample import sample_of
from erios.extracts.risk import RiskReport
from erios.extracts.specification import PATIENT_KEY, dump_specification, extract_tables
from erios.governance.extract import WORKFLOW, Action, State, next_actors, opening, reads_figures, reads_overlaps
from erios.portal import risk_figures
from erios.portal.access import StaffRequest, staff
from erios.portal.posted import Acts, Posted, act_on
from erios.settings import load_settings
from erios.studies import extract_actions as actions
from erios.studies import extract_selectors as selectors
from erios.studies.models import Extract
from erios.studies.run_selectors import visible_runs
from erios.studies.selectors import visible_studies
from erios.translation import language
from erios.workflows.extract_release import destroy_extract, release_extract


def _extract(request: StaffRequest, number: str) -> Extract:
    extract = get_object_or_404(selectors.visible_extracts(request.user), number=number)
    check_study(extract.study)
    return extract


@staff
@require_POST
def request_extract(request: StaffRequest, number: str) -> HttpResponse:
    """Ask for what the approved proposal provides for."""
    study = get_object_or_404(visible_studies(request.user), number=number)
    extract = actions.request_extract(study=study, by=request.user)
    messages.success(request, _("L'extrait est demandé ; précisez-le tant que sa spécification n'est pas approuvée."))
    return redirect("extract", extract.number)


@staff
@require_safe
def extract(request: StaffRequest, number: str) -> HttpResponse:
    """An extract on one page: specification, risk, overlaps, and what the reader may do. Never a row of anybody."""
    found = _extract(request, number)
    specification = selectors.specification_of(found)
    facts = selectors.extract_facts(found)
    report = RiskReport.from_json(json.dumps(found.report)) if found.report else None
    known = {
        "extract": found,
        "facts": facts,
        "waits_for": next_actors(State(found.state)),
        "actions": selectors.extract_actions_for(found, request.user),
        "cohort": describe(specification.cohort),
        "dates": say_form("policy", specification.dates, language()),
        "destination": specification.destination,
        "tables": _tables(specification),
        "exceptional": specification.exceptional,
        "versions": selectors.changes_of(found),
        "parts": found.parts.select_related("person"),
        "may_work": opening(facts, request.user.person, timezone.localdate()) is None,
        "runs": visible_runs(request.user).filter(extract=found),
        "report": report,
        "linkages": selectors.linkages_of(found),
        "risk": risk_figures.figures(report, selectors.linkages_of(found)) if report else None,
        "exact": reads_figures(facts, request.user.person),
        "reads_overlaps": reads_overlaps(request.user.person),
        "ends": timezone.localdate() + timedelta(days=365),
    }
    return render(request, "portal/extract.html", known)


def _tables(specification: Any) -> list[dict[str, Any]]:
    """Each column with its form, its reason, and what it would look like of an invented person."""
    known = extract_tables(load_settings().views_dir)
    terms = Terms(specification.dates, timezone.localdate().year, specification.clock)

    def column(table: str, choice: Any) -> dict[str, str]:
        found = next(one for one in known[table].view.columns if one.name == choice.name)
        form = say_form(choice.form, specification.dates, language())
        sample = sample_of(table, found, choice.form, terms)
        return {"name": choice.name, "why": choice.why, "form": form, "sample": sample}

    return [
        {"name": table.name, "columns": [column(table.name, one) for one in table.columns]}
        for table in specification.tables
    ]


@staff
@require_http_methods(["GET", "POST"])
def specification(request: StaffRequest, number: str) -> HttpResponse:
    """The form in which each column leaves, and the dates, as the requester chooses them."""
    found = _extract(request, number)
    if Action.SPECIFY not in selectors.extract_actions_for(found, request.user):
        return redirect("extract", number)
    content = dump_specification(selectors.specification_of(found))
    if request.method == "POST":
        try:
            actions.specify(extract=found, by=request.user, content=_filled(request, content))
            return redirect("extract", number)
        except InputError as error:
            messages.error(request, str(error))
    known = {"extract": found, "content": content, "tables": _choices(content)}
    known["policies"] = [(policy, say_form("policy", policy, language())) for policy in DatePolicy]
    known["clocks"] = [(clock, describe_level(f"clock:{clock}", language())) for clock in ClockPrecision]
    return render(request, "portal/specification.html", known)


def _filled(request: StaffRequest, content: Mapping[str, Any]) -> dict[str, Any]:
    tables = {
        table: {
            name: {"why": said["why"], "as": request.POST.get(f"as:{table}:{name}", said["as"])}
            for name, said in columns.items()
            if request.POST.get(f"keep:{table}:{name}")
        }
        for table, columns in content["tables"].items()
    }
    kept = {table: columns for table, columns in tables.items() if set(columns) - {PATIENT_KEY}}
    dates, destination = request.POST.get("dates", ""), request.POST.get("destination", "")[:200]
    clock = {"as": request.POST.get("clock", content["clock"]["as"]), "why": request.POST.get("clock_why", "")[:200]}
    return {**content, "tables": kept, "dates": dates, "clock": clock, "destination": destination}


def _choices(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each column with the forms that it may take."""
    known, dates = extract_tables(load_settings().views_dir), DatePolicy(content["dates"])

    def column(table: str, name: str, said: Mapping[str, str]) -> dict[str, Any]:
        found = next(one for one in known[table].view.columns if one.name == name)
        forms = [(form, say_form(form, dates, language())) for form in forms_of(table, found)]
        return {"name": name, "why": said["why"], "form": said["as"], "forms": forms}

    return [
        {"name": table, "columns": [column(table, name, said) for name, said in columns.items() if name != PATIENT_KEY]}
        for table, columns in content["tables"].items()
    ]


@staff
@require_POST
def act(request: StaffRequest, number: str, action: str) -> HttpResponse:
    """Do one action of the rules on the extract that the reader saw."""
    act_on(_extract(request, number), action, _ACTS, request)
    return redirect("extract", number)


def _move(extract: Extract, posted: Posted) -> None:
    actions.move_extract(extract=extract, action=Action(posted.action), reason=posted["reason"], **posted.seen)


def _apply(extract: Extract, posted: Posted) -> None:
    number = int(posted["number"]) if posted["number"].isdecimal() else 0
    actions.apply_proposal(extract=extract, number=number, **posted.seen)


def _build(extract: Extract, posted: Posted) -> None:
    from erios.workflows.background import build_in_background

    WORKFLOW.check(selectors.extract_facts(extract), Action.BUILD, posted.by.person)
    build_in_background.enqueue(extract.number, posted.by.username)


def _until(posted: Posted) -> date:
    try:
        return date.fromisoformat(posted["expires"])
    except ValueError:
        raise InputError(_("le dernier jour de lecture s'écrit AAAA-MM-JJ")) from None


def _clear(extract: Extract, posted: Posted) -> None:
    actions.clear(extract=extract, root=posted["root"], expires=_until(posted), **posted.seen)


def _ask_exception(extract: Extract, posted: Posted) -> None:
    expires, reason = _until(posted), posted["reason"]
    actions.ask_exception(extract=extract, root=posted["root"], expires=expires, reason=reason, **posted.seen)


def _grant(extract: Extract, posted: Posted) -> None:
    actions.grant_exception(extract=extract, root=posted["root"], reason=posted["reason"], **posted.seen)


_ACTS: Acts = {
    **dict.fromkeys(actions.MOVES, _move),
    Action.ASK_CHANGES: lambda extract, posted: actions.ask_changes(
        extract=extract, reason=posted["reason"], **posted.seen
    ),
    Action.APPLY_PROPOSAL: _apply,
    Action.BUILD: _build,
    Action.CLEAR: _clear,
    Action.ASK_EXCEPTION: _ask_exception,
    Action.GRANT_EXCEPTION: _grant,
    Action.RELEASE: lambda extract, posted: release_extract(extract, posted.by, posted["root"]),
    Action.DESTROY: lambda extract, posted: destroy_extract(extract, posted.by),
}
