"""What a study says to the public: proposed by its proposer, checked in the airlock, agreed to by the DPO."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from erios.governance.airlock import State as AirlockState
from erios.governance.publication import Action
from erios.portal.access import StaffRequest, staff
from erios.studies.models import Publication
from erios.studies.publication_actions import act_on_results, propose_results
from erios.studies.selectors import visible_studies
from erios.workflows.airlock_release import publish_results


@staff
@require_POST
def propose(request: StaffRequest, number: str) -> HttpResponse:
    """A new version, which waits for the airlock's checkers."""
    study = get_object_or_404(visible_studies(request.user), number=number)
    publication = propose_results(study=study, by=request.user, text=request.POST.get("text", ""))
    if publication.request and publication.request.state == AirlockState.DRAFT:
        messages.error(request, _("Les contrôles automatiques retiennent ce texte : voyez comment le corriger."))
        return redirect("airlock_request", publication.request.number)
    messages.success(request, _("Le texte attend l'avis de deux vérificateurs du sas."))
    return redirect("dossier", number)


@staff
@require_POST
def act(request: StaffRequest, number: str, version: int, action: str) -> HttpResponse:
    """Something done to one version."""
    if action not in list(Action):
        raise Http404
    study = get_object_or_404(visible_studies(request.user), number=number)
    publication = get_object_or_404(Publication, study=study, version=version)
    reason = request.POST.get("reason", "")
    if action == Action.PUBLISH:
        publish_results(publication, request.user)
    else:
        act_on_results(publication=publication, by=request.user, action=Action(action), reason=reason)
    messages.success(request, _("C'est fait."))
    return redirect("dossier", number)
