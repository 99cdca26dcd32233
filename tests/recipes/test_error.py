"""How to add an error: the recipe, followed to the letter, ends with a sentence and an exit code."""

from __future__ import annotations

import pytest

from tests.recipes.recipe import House

RAISE = """
from erios.cli.exits import to_error
from etl.errors import SlowDiskError

failure = to_error(SlowDiskError("the landing zone's disk does not answer"))
print(failure.exit_code, failure.sentence)
"""


@pytest.mark.slow
def test_an_error_added_by_the_recipe_is_a_sentence_with_an_exit_code(house: House) -> None:
    touched = house.follow("CONTRIBUTING.md", "An error")

    assert touched == ["etl/errors.py", "erios/cli/exits.py"]
    assert house.python(RAISE) == "6 the landing zone's disk does not answer"
