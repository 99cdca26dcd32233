"""What every page knows: the hospital, the reader's ways, and how many notifications wait."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from erios.governance.roles import Permission
from erios.settings import load_settings


def portal(request: HttpRequest) -> dict[str, Any]:
    """Variables of all templates."""
    settings = load_settings().portal
    known: dict[str, Any] = {"hospital": settings.hospital, "contact": settings.contact, "may": {}, "unread": 0}
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        known["may"] = {permission.name.lower(): user.person.may(permission) for permission in Permission}
        known["unread"] = user.notifications.filter(read__isnull=True).count()
    return known
