"""How to add a model: the recipe, followed to the letter, ends with a bundle that trains on an extract's folder."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from tests.recipes.recipe import House

STAYS = """
    SELECT
        'patient' || n AS patient_key,
        'IMP' AS class,
        '2026-01-01T08:00:00Z' AS period_start,
        '2026-01-' || (CASE WHEN n % 3 = 0 THEN '20' ELSE '03' END) || 'T08:00:00Z' AS period_end,
        if(n % 2 = 0, 'emd', 'other') AS admit_source
    FROM range(120) AS t(n)
"""
PATIENTS = """
    SELECT
        'patient' || n AS patient_key,
        if(n % 2 = 0, 'female', 'male') AS gender,
        (1930 + n % 60)::VARCHAR AS birth_date
    FROM range(120) AS t(n)
"""
FIND = """
from pathlib import Path
from experiments.bundles import find_bundle

print(find_bundle("long_stay", Path("conf/bundles")).metadata["name"])
"""


def write_extract(folder: Path) -> Path:
    """The two tables that the recipe's model asks for, laid out as in an extract."""
    for table, query in (("encounter", STAYS), ("patient", PATIENTS)):
        (folder / "data" / table).mkdir(parents=True)
        duckdb.execute(f"COPY ({query}) TO '{folder / 'data' / table / 'part-0.parquet'}' (FORMAT parquet)")
    return folder


@pytest.mark.slow
def test_a_model_added_by_the_recipe_trains(house: House, tmp_path: Path) -> None:
    house.substitutes = {"/srv/studies/E2031-007/E2031-007-X01": write_extract(tmp_path / "extract")}

    touched = house.follow("CONTRIBUTING.md", "A model")

    assert {Path(file).parts[:3] for file in touched} == {("conf", "bundles", "long_stay")}
    assert house.python(FIND) == "Long stay"
