"""Checks of what has left the studies: two checkers on every file, and files as they were signed."""

from __future__ import annotations

from erios.accounts.models import User
from erios.compliance.registry import check
from erios.errors import EriosError
from erios.governance.airlock import CHECKERS, State
from erios.governance.compliance import Finding, met, not_met
from erios.governance.roles import Role
from erios.settings import Settings
from erios.studies.airlock_models import AirlockRequest
from erios.studies.airlock_selectors import airlock_facts, released_files
from erios.translation import mark
from erios.workflows.airlock_release import verify_release


@check
def releases_are_checked_by_two(_settings: Settings) -> Finding:
    """Every file that has left was approved by two who are not of the team, and lies as it was signed."""
    checkers = User.objects.filter(held_roles__role=Role.CHECKER, is_active=True).distinct().count()
    if checkers < CHECKERS:
        return not_met(
            mark("Il faut deux vérificateurs des sorties ; {count} compte(s) en ont le rôle."), count=checkers
        )
    requests = AirlockRequest.objects.filter(state=State.RELEASED).select_related("study", "author").order_by("number")
    if names := [request.number for request in requests if not _holds(request)]:
        return not_met(
            mark("Sans l'accord de deux vérificateurs hors de l'équipe, ou autres que signées : {names}."), names=names
        )
    return met(
        mark(
            "{released} sortie(s) signée(s), chacune relue par deux vérificateurs ; {checkers} comptes en ont le rôle."
        ),
        released=len(requests),
        checkers=checkers,
    )


def _holds(request: AirlockRequest) -> bool:
    votes = airlock_facts(request).votes
    try:
        files = verify_release(request)["files"]
    except EriosError:
        return False
    approved = {file.name for file in released_files(request)}
    return set(files) == approved and all(len(votes[name]) >= CHECKERS for name in approved)
