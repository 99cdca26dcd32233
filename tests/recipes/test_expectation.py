"""How to add an expectation: the recipe, followed to the letter, ends with a warning about the next faulty release."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.recipes.recipe import House

PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "gender": "female",
    "birthDate": "1950-01-01",
    "address": [{"country": "Outremer"}],
}


@pytest.mark.slow
def test_an_expectation_added_by_the_recipe_is_checked(house: House, tmp_path: Path) -> None:
    export = tmp_path / "export.ndjson"
    export.write_text(json.dumps(PATIENT) + "\n", encoding="utf-8")
    house.run(f"python -m tests.inline {export}")

    touched = house.follow("docs/how-to-add-an-expectation.md", "An expectation")

    assert touched == ["conf/suites/patient.json"]
    assert "Patients whose country is not known: 1." in house.run("erios validate")
