"""The tables of the documentation are those that the declarations give."""

from __future__ import annotations

import pytest

from erios.checkout import PROJECT
from erios.extracts.documentation_tables import TABLES, with_table


@pytest.mark.parametrize("name", TABLES)
def test_a_page_has_its_table(name: str) -> None:
    page = (PROJECT / "docs" / name).read_text(encoding="utf-8")

    assert with_table(page, TABLES[name]()) == page
