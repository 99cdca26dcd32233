"""The audit chain for the DPO: search, and whether it is whole."""

from __future__ import annotations

from collections import deque
from itertools import islice

from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from erios.audit import read_events
from erios.governance.roles import Permission
from erios.portal.access import StaffRequest, needs
from erios.portal.citizen_requests import open_requests
from erios.portal.dossiers import article_30
from erios.settings import load_settings
from erios.workflows.record import verify_record

SHOWN = 200


@needs(Permission.AUDIT)
@require_safe
def audit(request: StaffRequest) -> HttpResponse:
    """The newest events that fit, and the chain's own verdict when asked."""
    wanted = {name: request.GET.get(name, "").strip() for name in ("actor", "action", "object", "since")}
    settings = load_settings()
    events = read_events(settings, wanted["since"], wanted["action"])
    fitting = (e for e in events if wanted["actor"] in e.actor and wanted["object"] in e.object)
    newest = list(reversed(deque(fitting, maxlen=SHOWN)))
    verdict = verify_record(settings) if request.GET.get("verify") else None
    return render(request, "portal/audit.html", {"events": newest, "wanted": wanted, "verdict": verdict})


@needs(Permission.AUDIT)
@require_safe
def processing(_request: StaffRequest) -> JsonResponse:
    """The GDPR article 30 register, as JSON."""
    return JsonResponse(article_30(), json_dumps_params={"ensure_ascii": False, "indent": 1})


@needs(Permission.CITIZENS)
@require_safe
def citizens(request: StaffRequest) -> HttpResponse:
    """What citizens asked, opened from the identity zone for the DPO alone."""
    asked = list(islice(open_requests(load_settings(), by=request.user.username), 500))
    return render(request, "portal/citizens.html", {"asked": asked})
