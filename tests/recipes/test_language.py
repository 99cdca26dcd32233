"""How to add a language: the recipe, followed to the letter, ends with texts in it, and the others in French."""

from __future__ import annotations

import pytest

from tests.recipes.recipe import House

READ = """
from erios.translation import gettext, languages, using

with using("es"):
    print("es" in languages(), gettext("Mon travail"), gettext("Notifications"))
"""
TRANSLATE = """
from pathlib import Path
from babel.messages.pofile import write_po
from tests.texts import read_catalogue

path = Path("erios/locale/es/LC_MESSAGES/django.po")
catalogue = read_catalogue(path)
for entry in catalogue:
    if entry.id and not all([entry.string] if isinstance(entry.string, str) else entry.string or [""]):
        entry.string = entry.id
with path.open("wb") as source:
    write_po(source, catalogue)
"""
"""What a translator does, but for the translating."""


@pytest.mark.slow
def test_a_language_added_by_the_recipe_is_offered_and_checked(house: House) -> None:
    touched = house.follow("CONTRIBUTING.md", "A language")

    assert touched == ["erios/locale/es/LC_MESSAGES/django.po"]
    assert house.python(READ) == "True Mi trabajo Notifications"

    house.python(TRANSLATE)
    house.run("make texts")
    house.run("pytest tests/unit/erios/test_translation.py")
