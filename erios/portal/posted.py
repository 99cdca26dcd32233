"""What a page posts to have something done to a study or an extract, and the one way in which it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import Http404
from django.utils.translation import gettext as _

from erios.accounts.models import User
from erios.portal.access import StaffRequest


@dataclass(frozen=True)
class Posted:
    """The fields of a page by name; ``by`` sent it, and had read ``revision`` (None: the page does not say)."""

    by: User
    revision: int | None
    action: str
    fields: Mapping[str, Any]

    def __getitem__(self, name: str) -> str:
        return str(self.fields.get(name, ""))

    @property
    def seen(self) -> dict[str, Any]:
        """Who acts on what, as the actions take it."""
        return {"by": self.by, "revision": self.revision}


Acts = Mapping[Any, Callable[[Any, Posted], Any]]
"""Action → how it is done to an object with what was posted."""


def act_on(about: Any, action: str, acts: Acts, request: StaffRequest) -> None:
    """Do an action of the rules to what the reader saw; Http404 for one that is none of these."""
    if action not in acts:
        raise Http404
    revision = request.POST.get("revision", "")
    acts[action](about, Posted(request.user, int(revision) if revision.isdigit() else None, action, request.POST))
    messages.success(request, _("C'est fait."))
