"""How to add a risk metric: the recipe, followed to the letter, ends with a figure in the report."""

from __future__ import annotations

import pytest

from tests.recipes.recipe import House

COMPUTE = """
from erios.extracts.risk.metrics import risk_of
from erios.extracts.risk.report import ClassSize

print(risk_of([ClassSize(2, 3), ClassSize(7, 1)], 11).largest_class)
"""


@pytest.mark.slow
def test_a_metric_added_by_the_recipe_is_in_the_report(house: House) -> None:
    touched = house.follow("CONTRIBUTING.md", "A risk metric")

    assert touched == ["erios/extracts/risk/metrics.py", "erios/extracts/risk/report.py"]
    assert house.python(COMPUTE) == "7"
    assert "| `largest_class` |" in (house.folder / "docs" / "risk.md").read_text(encoding="utf-8")
