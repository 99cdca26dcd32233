"""How to add a criterion: the recipe, followed to the letter, ends with a cohort that it selects."""

from __future__ import annotations

import pytest

from tests.recipes.recipe import House

COUNT = """
import duckdb
from erios.extracts.criteria import DUCKDB, cohort_query, describe, parse

duckdb.sql("CREATE TABLE patient AS SELECT unnest(['a', 'b', 'c']) AS patient_key")
duckdb.sql('''CREATE TABLE immunization AS FROM (VALUES
    ('a', 'completed', 'J07BB02', '2024-01-01'),
    ('b', 'not-done', 'J07BB02', '2024-01-01'),
    ('c', 'completed', 'J07AL01', '2024-01-01')) AS t(patient_key, status, vaccine_atc, occurrence)''')
criterion = parse({"vaccination": {"atc": ["J07BB"]}})
query = cohort_query(criterion, DUCKDB)
print(duckdb.execute(query.sql, query.parameters).fetchall(), describe(criterion, "en"))
"""


@pytest.mark.slow
def test_a_criterion_added_by_the_recipe_selects_a_cohort(house: House) -> None:
    touched = house.follow("CONTRIBUTING.md", "A criterion")

    assert len(touched) == 5
    assert house.python(COUNT) == "[('a',)] ATC vaccination J07BB"
