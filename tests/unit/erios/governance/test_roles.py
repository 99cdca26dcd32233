"""Roles that exclude each other, and what each opens."""

from __future__ import annotations

from itertools import combinations

import pytest

from erios.errors import UsageError
from erios.governance.roles import Permission, Person, Role, check_roles


@pytest.mark.parametrize("pair", list(combinations(sorted(Role), 2)), ids="+".join)
def test_who_stops_decides_or_hands_out_roles_is_nobody_else(pair: tuple[Role, Role]) -> None:
    alone = {Role.DPO, Role.CONTROLLER, Role.ADMINISTRATOR}
    apart = ({Role.COMMITTEE, Role.DATA_MANAGER}, {Role.CHECKER, Role.DATA_MANAGER})
    if alone & set(pair) or set(pair) in apart:
        with pytest.raises(UsageError, match=f"nobody is both {pair[0]} and {pair[1]}"):
            check_roles(pair)
    else:
        check_roles(pair)


@pytest.mark.parametrize("role", Role)
def test_one_role_is_always_allowed(role: Role) -> None:
    check_roles([role])


def test_a_person_may_what_one_of_the_roles_opens() -> None:
    both = Person("a", frozenset({Role.CLINICIAN, Role.COMMITTEE}))
    assert both.may(Permission.PROPOSE)
    assert both.may(Permission.REVIEW)
    assert not both.may(Permission.AUDIT)
    assert not Person("b", frozenset()).may(Permission.CATALOGUE)


TABLE = """
clinician      | PROPOSE COUNT CATALOGUE
data-scientist | PROPOSE COUNT CATALOGUE
data-manager   | REVIEW CATALOGUE COUNT QUALITY COMPLIANCE REIDENTIFY
committee      | REVIEW CATALOGUE
checker        | REVIEW
dpo            | REVIEW CATALOGUE QUALITY AUDIT CITIZENS COMPLIANCE REIDENTIFY
controller     | REVIEW CATALOGUE COMPLIANCE
administrator  | ACCOUNTS
"""


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_a_role_opens_what_the_table_says_and_nothing_else(line: str) -> None:
    role, names = line.split("|")
    assert Role(role.strip()).permissions == {Permission[name] for name in names.split()}


def test_every_role_opens_something_and_the_administrator_accounts_alone() -> None:
    assert Role.ADMINISTRATOR.permissions == {Permission.ACCOUNTS}
    assert all(role.permissions for role in Role)
