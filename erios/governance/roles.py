"""Roles and what each may do; which roles one person never holds together.

Owns the vocabulary that the portal, the command line and the database share. It knows no study: what a person may do
*on a study* is in ``erios.governance.study``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from erios.errors import UsageError


class Role(StrEnum):
    """What a member of staff is here for (docs/design.md §1)."""

    CLINICIAN = "clinician"
    DATA_SCIENTIST = "data-scientist"
    DATA_MANAGER = "data-manager"
    COMMITTEE = "committee"
    DPO = "dpo"
    CONTROLLER = "controller"
    ADMINISTRATOR = "administrator"


class Permission(StrEnum):
    """What a role opens, whatever the study."""

    PROPOSE = "propose studies"
    COUNT = "count patients"
    REVIEW = "see every submitted study"
    CATALOGUE = "see the catalogue"
    QUALITY = "see releases, data quality and the quarantine"
    COMPLIANCE = "see what rules ask and how it is met"
    AUDIT = "search the audit chain"
    CITIZENS = "read citizens' requests"
    ACCOUNTS = "manage accounts"


PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.CLINICIAN: frozenset({Permission.PROPOSE, Permission.COUNT, Permission.CATALOGUE}),
    Role.DATA_SCIENTIST: frozenset({Permission.PROPOSE, Permission.COUNT, Permission.CATALOGUE}),
    Role.DATA_MANAGER: frozenset(
        {Permission.REVIEW, Permission.CATALOGUE, Permission.COUNT, Permission.QUALITY, Permission.COMPLIANCE}
    ),
    Role.COMMITTEE: frozenset({Permission.REVIEW, Permission.CATALOGUE}),
    Role.DPO: frozenset(
        {
            Permission.REVIEW,
            Permission.CATALOGUE,
            Permission.QUALITY,
            Permission.AUDIT,
            Permission.CITIZENS,
            Permission.COMPLIANCE,
        }
    ),
    Role.CONTROLLER: frozenset({Permission.REVIEW, Permission.CATALOGUE, Permission.COMPLIANCE}),
    Role.ADMINISTRATOR: frozenset({Permission.ACCOUNTS}),
}

EXCLUSIVE = (Role.DPO, Role.CONTROLLER, Role.ADMINISTRATOR)
"""Roles that are held alone: who stops, who decides and who hands out roles are never anybody else."""
APART = frozenset({frozenset({Role.COMMITTEE, Role.DATA_MANAGER})} | {
    frozenset({alone, other}) for alone in EXCLUSIVE for other in Role if other is not alone
})  # fmt: skip
"""Pairs of roles that one person never holds together."""


@dataclass(frozen=True)
class Person:
    """Somebody who acts: a login and the roles it holds now."""

    login: str
    roles: frozenset[Role]

    def may(self, permission: Permission) -> bool:
        return any(permission in PERMISSIONS[role] for role in self.roles)


def check_roles(roles: Collection[Role]) -> None:
    """UsageError names the first two roles that one person may not hold together."""
    for pair in combinations(sorted(set(roles)), 2):
        if frozenset(pair) in APART:
            raise UsageError(f"nobody is both {pair[0]} and {pair[1]}: take one of the two roles away first")
