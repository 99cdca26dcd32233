"""The suite's own rules: unit tests mirror the source, long tests say so, figures keep date and revision."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.figures import TITLE, updated
from tests.timing import own_seconds

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("erios", "etl", "experiments", "validation")
WITHOUT_A_MODULE = {
    "erios/test_package.py": "the package itself: its imports, its telemetry",
    "experiments/test_records.py": "what several modules leave on disk: events, checkpoints, specifications of runs",
}
"""Unit tests of no single module → of what they are."""


def unit_tests() -> list[Path]:
    """Paths below ``tests/unit`` of the tests of the packages."""
    folder = ROOT / "tests" / "unit"
    return sorted(path.relative_to(folder) for name in PACKAGES for path in (folder / name).rglob("test_*.py"))


def source_of(path: Path) -> Path:
    """The module (without its suffix) or package that a unit test is named after."""
    return ROOT / path.parent / path.stem.removeprefix("test_")


@pytest.mark.parametrize("path", unit_tests(), ids=str)
def test_a_unit_test_is_named_after_the_module_that_it_tests(path: Path) -> None:
    source = source_of(path)
    assert source.with_suffix(".py").is_file() or source.is_dir() or str(path) in WITHOUT_A_MODULE


def test_exceptions_are_still_needed() -> None:
    for name in WITHOUT_A_MODULE:
        assert (ROOT / "tests" / "unit" / name).is_file()
        assert not source_of(Path(name)).with_suffix(".py").exists()


def test_a_figure_replaces_an_older_one_and_keeps_those_of_other_sets() -> None:
    first = updated("", {("b", "seconds"): "3 s", ("a", "rows"): "7"}, "2031-01-01", "abc")
    again = updated(first, {("b", "seconds"): "2 s"}, "2031-02-01", "def")

    assert first == TITLE + "| a | rows | 7 | 2031-01-01 | abc |\n| b | seconds | 3 s | 2031-01-01 | abc |\n"
    assert again == TITLE + "| a | rows | 7 | 2031-01-01 | abc |\n| b | seconds | 2 s | 2031-02-01 | def |\n"


@pytest.mark.parametrize(
    ("wall", "processor", "load", "own"),
    [(100, 5, 0, 100), (100, 90, 0, 100), (100, 5, 40, 10), (100, 70, 40, 70), (100, 300, 40, 100)],
)
def test_time_is_counted_as_on_a_machine_without_other_work(
    monkeypatch: pytest.MonkeyPatch, wall: float, processor: float, load: float, own: float
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0, 0))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert own_seconds(wall, processor) == own
