"""The suite's own rules: unit tests mirror the source, long tests say so, figures keep date and revision."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

from tests.figures import TITLE, updated
from tests.made_once import made_once
from tests.sampling import examples
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


def test_a_folder_is_made_once_and_anew_after_a_failure(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    made: list[Path] = []

    def make(folder: Path) -> None:
        folder.mkdir()
        made.append(folder)
        if len(made) == 1:
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        made_once(tmp_path_factory, "costly", make)
    folders = {made_once(tmp_path_factory, "costly", make) for _ in range(2)}

    assert folders == {tmp_path_factory.getbasetemp() / "costly"}
    assert len(made) == 2


def test_workers_of_a_run_share_what_is_made_once(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw7")
    monkeypatch.setattr(tmp_path_factory, "getbasetemp", lambda: tmp_path / "popen-gw7")

    assert made_once(tmp_path_factory, "costly", Path.mkdir) == tmp_path / "costly"


def test_a_profile_with_fewer_examples_takes_its_share_of_each_number() -> None:
    with_profile, current = {}, hypothesis.settings.get_current_profile_name()
    for name in ("ci", "fast"):
        hypothesis.settings.load_profile(name)
        with_profile[name] = [examples(number) for number in (300, 40, 10)]
    hypothesis.settings.load_profile(current)

    assert with_profile == {"ci": [300, 40, 10], "fast": [45, 6, 3]}
