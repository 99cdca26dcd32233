"""How to add a generalisation: the recipe, followed to the letter, ends with a form of a column."""

from __future__ import annotations

import pytest

from tests.recipes.recipe import House

GENERALISE = """
import duckdb
from erios.extracts.generalisation.values import level_sql, standard_groupings
from erios.extracts.generalisation.vocabulary import describe_level

sql = level_sql("initial", "value", standard_groupings())
print(duckdb.sql(f"SELECT {sql} FROM (SELECT 'abc' AS value)").fetchall(), describe_level("initial", "en"))
"""


@pytest.mark.slow
def test_a_generalisation_added_by_the_recipe_is_applied(house: House) -> None:
    touched = house.follow("CONTRIBUTING.md", "A generalisation")

    assert len(touched) == 4
    assert house.python(GENERALISE) == "[('a',)] first character"
