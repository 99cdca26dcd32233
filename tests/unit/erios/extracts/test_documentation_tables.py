"""The tables and the schema of the documentation are those that the declarations give."""

from __future__ import annotations

import pytest

from erios.checkout import PROJECT
from erios.extracts.documentation_tables import SCHEMA, TABLES, schema_text, with_table


@pytest.mark.parametrize("name", TABLES)
def test_a_page_has_its_table(name: str) -> None:
    page = (PROJECT / "docs" / name).read_text(encoding="utf-8")

    assert with_table(page, TABLES[name]()) == page


def test_the_schema_of_criteria_is_that_of_the_declarations() -> None:
    assert (PROJECT / "docs" / SCHEMA).read_text(encoding="utf-8") == schema_text()
