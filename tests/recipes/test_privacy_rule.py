"""How to add a privacy rule: the recipe, followed to the letter, ends with a rule that a view may name."""

from __future__ import annotations

import pytest

from tests.recipes.recipe import House

PROTECT = """
import duckdb
from etl.privacy import RULES, check_rule

rule = RULES[check_rule("condition", "code", "code:chapter")]
print(duckdb.sql(f"SELECT {rule.sql('code', 'VARCHAR')} FROM (SELECT 'I50.1' AS code)").fetchall())
"""


@pytest.mark.slow
def test_a_rule_added_by_the_recipe_protects_a_column(house: House) -> None:
    touched = house.follow("CONTRIBUTING.md", "A privacy rule")

    assert len(touched) == 4
    assert house.python(PROTECT) == "[('I',)]"
    reference = (house.folder / "docs" / "warehouse.md").read_text(encoding="utf-8")
    assert "| `code:chapter` | the first letter of a code |" in reference
