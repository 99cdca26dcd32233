"""What the portal shows of Data Docs that Great Expectations and we wrote."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from erios.portal.data_docs import protected
from erios.studies.selectors import Registered
from tests.unit.validation.test_gate import KEYS, check

FAULTS = [{"gender": "'x'"}] * 3 + [{"patient_key": "'notakey'"}] + [{"birth_date": "NULL"}] * 2


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pages of a table of seven patients, of whom one, two and three fail."""
    folder: Path = tmp_path_factory.mktemp("gate")
    check(folder, *FAULTS)
    return {page.name: page.read_text(encoding="utf-8") for page in (folder / "docs").glob("*.html")}


def _text(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<style.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL))


def test_page_of_a_table_holds_no_number_of_rows_and_no_key(pages: dict[str, str]) -> None:
    before, after = _text(pages["patient.html"]), _text(protected(pages["patient.html"]))

    assert re.search(r"3 unexpected values found\. ≈\S+% of 7 total rows", before)
    assert "unexpected values found" not in after
    assert re.findall(r"≈[\d.]+% (?:unexpected|null|not null)|\b\d+ total rows", after) == []
    assert "Expectation" in after
    assert after.count("100% not null") > 0


def test_index_names_the_failure_and_no_row(pages: dict[str, str]) -> None:
    before, after = _text(pages["index.html"]), _text(protected(pages["index.html"]))

    assert re.search(r"Patients with a gender outside FHIR's? ?\S* value set: 3\.", before.replace("&#x27;", "'"))
    assert ": 3." not in after
    assert not [key for key in (*KEYS, "notakey") if key in after]
    assert "Patients with a gender outside" in after


def test_the_public_page_of_a_study_has_no_field_for_a_count() -> None:
    """What a team writes of its results is read and agreed to by the DPO word for word; nothing else is a figure."""
    assert {field.name for field in fields(Registered) if field.type in ("int", "float", "int | None")} == set()
