"""Pages for everybody: the register of studies, refusals in figures, rights, and a form to the DPO."""

from __future__ import annotations

from dataclasses import asdict

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_safe

from erios.portal.access import public
from erios.portal.catalogue import tables
from erios.portal.citizen_requests import keep_request
from erios.portal.forms import CitizenRequest
from erios.settings import load_settings
from erios.studies.airlock_figures import PublicFile, airlock_figures, public_files
from erios.studies.selectors import legal_routes, refusals, register


@public
@require_safe
def studies(request: HttpRequest) -> HttpResponse:
    """The register."""
    return render(
        request, "portal/register.html", {"studies": register(), "refusals": refusals(), "airlock": airlock_figures()}
    )


@public
@require_safe
def study(request: HttpRequest, number: str) -> HttpResponse:
    """One study, in plain French."""
    shown = next((study for study in register() if study.number == number), None)
    if shown is None:
        raise Http404
    titles = {table.name: table.title for table in tables()}
    route = next((route for route in legal_routes() if route.code == shown.route), None)
    context = {"study": shown, "tables": [titles.get(name, name) for name in shown.tables], "route": route}
    context["outputs"] = public_files(number)
    return render(request, "portal/register_study.html", context)


@public
@require_safe
def feed(_request: HttpRequest) -> JsonResponse:
    """The register for machines."""
    studies = [
        {**asdict(study), "outputs": [_output(file) for file in public_files(study.number)]} for study in register()
    ]
    airlock = {name: {word: count.value for word, count in row} for name, row in airlock_figures().items()}
    return JsonResponse({"studies": studies, "refusals": refusals(), "airlock": airlock})


def _output(file: PublicFile) -> dict[str, str]:
    return {"request": file.request, "name": file.name, "context": file.context, "sha256": file.digest}


@public
@require_http_methods(["GET", "POST"])
def rights(request: HttpRequest) -> HttpResponse:
    """Rights, how to object, and a form that reaches the data protection office."""
    form = CitizenRequest(request.POST or None)
    number = ""
    if request.method == "POST" and form.is_valid():
        number = keep_request(load_settings(), form.cleaned_data)
        form = CitizenRequest()
    return render(request, "portal/rights.html", {"form": form, "number": number})
