"""What rules ask of the warehouse, and what shows that it is met: looked at anew whenever the page is opened."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.text import slugify
from django.views.decorators.http import require_safe

from erios.compliance import FrameworkStatus, RequirementStatus, current_status
from erios.governance.compliance import Status
from erios.governance.roles import Permission
from erios.portal.access import StaffRequest, needs
from erios.settings import load_settings
from erios.translation import gettext


@needs(Permission.COMPLIANCE)
@require_safe
def compliance(request: StaffRequest) -> HttpResponse:
    """Each framework's requirements by theme, each with its evidence of now or the word "organisational"."""
    frameworks = [_framework(current) for current in current_status(load_settings())]
    return render(request, "portal/compliance.html", {"frameworks": frameworks, "now": timezone.now()})


def _framework(current: FrameworkStatus) -> dict[str, Any]:
    shown = {line.requirement.id: _line(line, current.framework.name) for line in current.requirements}
    lines = sorted(current.requirements, key=lambda line: list(current.framework.themes).index(line.requirement.theme))
    return {
        "name": current.framework.name,
        "source": current.framework.source,
        "title": gettext(current.framework.title),
        "wrong": [line for line in shown.values() if line["status"] is Status.NOT_MET],
        "counts": [(status, current.count(status)) for status in Status],
        "themes": [
            {
                "title": gettext(current.framework.themes[theme]),
                "lines": [shown[line.requirement.id] for line in grouped],
            }
            for theme, grouped in groupby(lines, key=lambda line: line.requirement.theme)
        ],
    }


def _line(line: RequirementStatus, framework: str) -> dict[str, Any]:
    return {
        "id": line.requirement.id,
        "anchor": slugify(f"{framework} {line.requirement.id}".replace(".", "-")),
        "asks": gettext(line.requirement.text),
        "how": gettext(line.requirement.how),
        "status": line.status,
        "evidence": str(line.finding or ""),
    }
