"""How to add a table: the recipe, followed to the letter, ends with the table in a release."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.recipes.recipe import House

GOAL = {
    "resourceType": "Goal",
    "id": "g1",
    "lifecycleStatus": "active",
    "description": {"text": "walk"},
    "subject": {"reference": "Patient/p1"},
}
PATIENT = {"resourceType": "Patient", "id": "p1", "gender": "female"}
PRINT_ROWS = """
from erios.workflows.warehouse import open_release

print(open_release().polars("goal").select("lifecycle_status").collect().rows())
"""


@pytest.mark.slow
def test_a_table_added_by_the_recipe_is_in_the_next_release(house: House, tmp_path: Path) -> None:
    export, private = tmp_path / "export", tmp_path / "private"
    for folder in (export, private):
        folder.mkdir()
    (export / "all.ndjson").write_text(f"{json.dumps(PATIENT)}\n{json.dumps(GOAL)}\n", encoding="utf-8")
    house.substitutes = {"/srv/exports/2026-11": export, "/srv/private": private}
    house.run(f"python -m tests.inline {export}")

    touched = house.follow("docs/how-to-add-a-table.md", "How to add a table")

    assert touched == ["conf/views/goal.json", "conf/suites/goal.json", "erios/locale/fr/LC_MESSAGES/views.po"]
    assert (private / "goal.csv").read_text(encoding="utf-8").splitlines()[1:] == ["Goal/g1,Patient/p1,active"]
    assert house.python(PRINT_ROWS) == "[('active',)]"
    assert "`goal`" in (house.folder / "docs" / "warehouse.md").read_text(encoding="utf-8")
