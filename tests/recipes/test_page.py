"""How to add a page: the recipe, followed to the letter, ends with a page that passes the tests that walk all pages."""

from __future__ import annotations

import pytest

from tests.recipes.recipe import House


@pytest.mark.slow
def test_a_page_added_by_the_recipe_is_walked_with_all_others(house: House) -> None:
    touched = house.follow("CONTRIBUTING.md", "A page")

    assert len(touched) == 4
    catalogue = (house.folder / "erios/locale/en/LC_MESSAGES/django.po").read_text(encoding="utf-8")
    assert catalogue.count("Whom to ask") == 1
