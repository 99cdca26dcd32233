"""Accounts and their roles: one column a role, so that the database itself refuses two that exclude each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Q

from erios.governance.roles import APART, Person, Role


def column(role: Role) -> str:
    """The column that says whether an account holds the role."""
    return f"is_{role.name.lower()}"


def _apart() -> Iterator[models.CheckConstraint]:
    for pair in sorted(tuple(sorted(pair)) for pair in APART):
        first, second = map(column, map(Role, pair))
        yield models.CheckConstraint(
            condition=~Q(**{first: True, second: True}), name=f"not_{first[3:]}_and_{second[3:]}"
        )


class User(AbstractUser):
    """A member of staff; ``username`` is the login that decisions and the audit chain bear."""

    title = models.CharField("fonction", max_length=120, blank=True)
    is_clinician = models.BooleanField(default=False)
    is_data_scientist = models.BooleanField(default=False)
    is_data_manager = models.BooleanField(default=False)
    is_committee = models.BooleanField(default=False)
    is_dpo = models.BooleanField(default=False)
    is_controller = models.BooleanField(default=False)
    is_administrator = models.BooleanField(default=False)

    class Meta:
        constraints = tuple(_apart())

    @property
    def roles(self) -> frozenset[Role]:
        """The roles held; none by an account that is closed."""
        return frozenset(role for role in Role if self.is_active and getattr(self, column(role)))

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
        held = set(roles)
        for role in Role:
            setattr(self, column(role), role in held)
