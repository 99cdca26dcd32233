"""Roles and what each may do; which roles one person never holds together.

Owns the vocabulary that the portal, the command line and the database share. It knows no study: what a person may do
*on a study* is in ``erios.governance.study``.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Self

from erios.errors import UsageError
from erios.translation import mark


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
    REIDENTIFY = "find the patient behind a pseudonym, with a second person"


P = Permission


class Role(StrEnum):
    """What a member of staff is here for (docs/design.md §1): its name, its label, what it opens, and what excludes it.

    ``apart``: names of roles that whoever holds this one never holds. ``alone``: no other role at all; who stops, who
    decides and who hands out roles are never anybody else.
    """

    CLINICIAN = "clinician", mark("clinicien"), {P.PROPOSE, P.COUNT, P.CATALOGUE}
    DATA_SCIENTIST = "data-scientist", mark("scientifique des données"), {P.PROPOSE, P.COUNT, P.CATALOGUE}
    DATA_MANAGER = (
        "data-manager",
        mark("gestionnaire de données"),
        {P.REVIEW, P.CATALOGUE, P.COUNT, P.QUALITY, P.COMPLIANCE, P.REIDENTIFY},
    )
    COMMITTEE = "committee", mark("comité scientifique"), {P.REVIEW, P.CATALOGUE}, {"data-manager"}
    CHECKER = "checker", mark("vérificateur des sorties"), {P.REVIEW}, {"data-manager"}
    DPO = (
        "dpo",
        mark("délégué à la protection des données"),
        {P.REVIEW, P.CATALOGUE, P.QUALITY, P.AUDIT, P.CITIZENS, P.COMPLIANCE, P.REIDENTIFY},
        (),
        True,
    )
    CONTROLLER = (
        "controller",
        mark("délégué du responsable de traitement"),
        {P.REVIEW, P.CATALOGUE, P.COMPLIANCE},
        (),
        True,
    )
    ADMINISTRATOR = "administrator", mark("administrateur des comptes"), {P.ACCOUNTS}, (), True

    label: str
    permissions: frozenset[Permission]
    apart: frozenset[str]
    alone: bool

    def __new__(
        cls,
        name: str,
        label: str = "",
        permissions: Collection[Permission] = (),
        apart: Collection[str] = (),
        alone: bool = False,
    ) -> Self:
        role = str.__new__(cls, name)
        role._value_ = name
        role.label, role.permissions, role.apart, role.alone = label, frozenset(permissions), frozenset(apart), alone
        return role

    def excludes(self, other: Role) -> bool:
        """One person never holds both."""
        return self is not other and (self.alone or other.alone or other in self.apart or self in other.apart)


@dataclass(frozen=True)
class Person:
    """Somebody who acts: a login and the roles it holds now."""

    login: str
    roles: frozenset[Role]

    def may(self, permission: Permission) -> bool:
        return any(permission in role.permissions for role in self.roles)


def check_roles(roles: Collection[Role]) -> None:
    """UsageError names the first two roles that one person may not hold together."""
    for first, second in combinations(sorted(set(roles)), 2):
        if first.excludes(second):
            raise UsageError(f"nobody is both {first} and {second}: take one of the two roles away first")
