"""Figures of the full-size sets: what tests of the mark ``long`` measured, on one page of the documentation.

A run with ``--figures FILE`` writes the figures of the tests that it ran into the page, with its date and revision;
figures of sets that it did not run stay as they were.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

Record = Callable[[str, str], None]
"""Keep a figure of the current test: what it is, and its value with its unit."""
TITLE = """# Figures of the full-size sets

`make test-long` writes this page: what each full-size set measured, when, and at which revision. `make test` runs a
small sample of each.

| set | figure | value | date | revision |
|---|---|---|---|---|
"""
FIGURES = pytest.StashKey[dict[tuple[str, str], str]]()
ROOT = Path(__file__).resolve().parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--figures FILE``."""
    parser.addoption("--figures", type=Path, help="write what the `long` tests measure into this page")


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Record:
    """Keep figures of this test for the page."""
    kept = request.config.stash.setdefault(FIGURES, {})
    name = request.node.originalname.removeprefix("test_").replace("_", " ")

    def record(what: str, value: str) -> None:
        kept[name, what] = value

    return record


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the page, if one is asked for and there is anything to write."""
    page, kept = session.config.getoption("figures"), session.config.stash.get(FIGURES, {})
    if page and kept:
        written = page.read_text(encoding="utf-8") if page.exists() else ""
        page.write_text(updated(written, kept, datetime.now(UTC).date().isoformat(), _revision()), encoding="utf-8")


def updated(page: str, kept: Mapping[tuple[str, str], str], day: str, revision: str) -> str:
    """The page with these figures, (set, figure) → value, in place of older ones; rows in alphabetical order."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:2] == "| "]
    rows = {(row[0], row[1]): row for row in cells[1:]}
    rows |= {key: [*key, value, day, revision] for key, value in kept.items()}
    return TITLE + "".join(f"| {' | '.join(rows[key])} |\n" for key in sorted(rows))


def _revision() -> str:
    answer = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or "unknown"
