"""Accounts and the roles that they hold, one row a role; the database itself refuses two that exclude each other."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import models, transaction
from django.db.models import Q

from erios.governance.roles import Person, Role


class User(AbstractUser):
    """A member of staff; ``username`` is the login that decisions and the audit chain bear."""

    title = models.CharField("fonction", max_length=120, blank=True)

    _roles: frozenset[Role] | None = None
    """The roles held, once they are known."""
    _is_role_change = False

    @property
    def roles(self) -> frozenset[Role]:
        """The roles held; none by an account that is closed."""
        if self._roles is None:
            self._roles = frozenset(Role(held.role) for held in self.held_roles.all()) if self.pk else frozenset()
        return self._roles if self.is_active else frozenset()

    @property
    def person(self) -> Person:
        """This account as the rules see it."""
        return Person(self.username, self.roles)

    @property
    def name(self) -> str:
        """How people call this person."""
        return self.get_full_name() or self.username

    def set_roles(self, roles: Iterable[Role]) -> None:
        """Hold these roles and no other; to be saved by the caller."""
        self._roles, self._is_role_change = frozenset(roles), True

    def save(self, *arguments: Any, **named: Any) -> None:
        """Save the account, and the roles where they were set; IntegrityError for two that exclude each other."""
        with transaction.atomic():
            super().save(*arguments, **named)
            if self._is_role_change:
                self._save_roles(self._roles or frozenset())
        self._is_role_change = False

    def _save_roles(self, roles: frozenset[Role]) -> None:
        write_exclusions()
        self.held_roles.exclude(role__in=roles).delete()
        held = set(self.held_roles.values_list("role", flat=True))
        HeldRole.objects.bulk_create(HeldRole(user=self, role=role) for role in sorted(roles - held))

    def refresh_from_db(self, *arguments: Any, **named: Any) -> None:
        """Read the account again, and its roles when they are next asked for."""
        super().refresh_from_db(*arguments, **named)
        self._roles, self._is_role_change = None, False


class HeldRole(models.Model):
    """A role that an account holds. Triggers refuse one that ``RoleExclusion`` forbids beside another held."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="held_roles")
    role = models.CharField(max_length=40)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["user", "role"], name="one_row_a_held_role"),)


class RoleExclusion(models.Model):
    """A pair of roles that one person never holds together, in both orders; what the triggers read."""

    first = models.CharField(max_length=40)
    second = models.CharField(max_length=40)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["first", "second"], name="one_row_an_exclusion"),)


def holding(roles: Iterable[Role]) -> Q:
    """The accounts that hold one of these roles."""
    return Q(held_roles__role__in=list(roles))


def excluded_pairs() -> set[tuple[str, str]]:
    """Every pair of roles that exclude each other, in both orders."""
    return {(first.value, second.value) for first, second in permutations(Role, 2) if first.excludes(second)}


def write_exclusions() -> None:
    """Bring the table of exclusions to what the rules say."""
    wanted = excluded_pairs()
    written = set(RoleExclusion.objects.values_list("first", "second"))
    for first, second in written - wanted:
        RoleExclusion.objects.filter(first=first, second=second).delete()
    RoleExclusion.objects.bulk_create(
        (RoleExclusion(first=first, second=second) for first, second in sorted(wanted - written)), ignore_conflicts=True
    )
