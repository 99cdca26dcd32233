"""How to add a role: the recipe, followed to the letter, ends with a role that opens its pages and no other."""

from __future__ import annotations

import pytest

from tests.recipes.recipe import House

ASK = """
from erios.governance.roles import Permission, Person, Role

person = Person("a", frozenset({Role("auditor")}))
print(person.may(Permission.AUDIT), person.may(Permission.ACCOUNTS))
"""


@pytest.mark.slow
def test_a_role_added_by_the_recipe_opens_its_pages(house: House) -> None:
    touched = house.follow("CONTRIBUTING.md", "A role")

    assert touched == ["erios/governance/roles.py", "erios/locale/en/LC_MESSAGES/django.po"]
    assert house.python(ASK) == "True False"
