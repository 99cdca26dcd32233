"""Every page and file that shows a table says what protects its counts of patients, or that it holds none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "erios" / "portal" / "templates"
_TABLE = re.compile(r'<table|class="figures"|<svg|\|spaced|spaced }}')
_NONE = "no count of patients: "
PAGES: Mapping[str, str] = {
    "accounts.html": _NONE + "accounts of the staff",
    "airlock_file.html": "tests/portal/test_airlock.py"
    "::test_file_contents_are_for_checkers_and_for_the_team_once_released",
    "airlock_lines.html": _NONE + "requests",
    "audit.html": _NONE + "events",
    "catalogue.html": "tests/portal/test_catalogue.py"
    "::test_a_table_of_few_rows_and_a_warehouse_without_a_release_say_no_number",
    "citizens.html": _NONE + "letters",
    "compliance.html": _NONE + "requirements",
    "count.html": "tests/unit/erios/extracts/test_counts.py"
    "::test_small_group_is_masked_and_leaves_no_trace_beside_another",
    "data.html": _NONE + "columns to choose",
    "dossier.html": _NONE + "columns asked for",
    "extract.html": "tests/portal/test_extract_figures.py"
    "::test_team_and_committee_read_no_exact_figure_before_the_release",
    "home.html": _NONE + "studies and extracts",
    "register.html": _NONE + "studies, and how many were refused",
    "releases.html": "tests/portal/test_catalogue.py::test_the_quality_of_releases_is_told_and_drawn",
    "run.html": "tests/unit/experiments/test_evaluation.py"
    "::test_hidden_group_takes_another_with_it_from_which_it_could_be_reckoned",
    "series.html": _NONE + "a picture that another page fills",
    "specification.html": _NONE + "columns and their forms",
    "table.html": "tests/portal/test_ledger.py"
    "::test_catalogue_is_published_once_a_release_and_costs_its_readers_nothing",
}
WRITERS: Mapping[str, str] = {
    "erios/extracts/dictionary.py": "tests/unit/erios/extracts/test_dictionary.py"
    "::test_values_left_out_are_not_few_rows_together",
    "experiments/evaluation/pictures.py": "tests/unit/experiments/test_evaluation.py"
    "::test_a_point_of_the_calibration_of_too_few_rows_is_left_out",
    "validation/data_docs.py": "tests/portal/test_data_docs.py::test_index_names_the_failure_and_no_row",
    "validation/engine.py": "tests/portal/test_data_docs.py::test_page_of_a_table_holds_no_number_of_rows_and_no_key",
}
"""Modules of the product that write tables of counts into files which the portal serves or an extract carries."""


def _with_tables() -> set[str]:
    return {path.name for path in TEMPLATES.rglob("*.html") if _TABLE.search(path.read_text(encoding="utf-8"))}


def test_every_page_with_a_table_or_a_picture_says_what_protects_it() -> None:
    assert sorted(_with_tables() - set(PAGES)) == []


@pytest.mark.parametrize("proof", sorted({*PAGES.values(), *WRITERS.values()}))
def test_what_protects_is_a_test_or_a_reason(proof: str) -> None:
    if proof.startswith(_NONE):
        return
    file, _, name = proof.partition("::")
    assert f"def {name}" in (ROOT / file).read_text(encoding="utf-8")


def test_every_module_that_writes_pages_says_what_protects_them() -> None:
    """Of what is written as HTML or as a picture."""
    wings = [path for wing in ("erios", "experiments", "validation") for path in (ROOT / wing).rglob("*.py")]
    writers = {
        path.relative_to(ROOT).as_posix()
        for path in wings
        if re.search(
            r"<table><tr>|savefig|Figure\(figsize|ValidationResultsPageRenderer\(", path.read_text(encoding="utf-8")
        )
    }
    assert sorted(writers - {*WRITERS, *_DRAWN_ELSEWHERE}) == []


_DRAWN_ELSEWHERE = {"experiments/evaluation/result.py"}
"""Saves the pictures that ``pictures.py`` draws."""
