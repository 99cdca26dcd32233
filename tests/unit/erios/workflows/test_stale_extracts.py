"""What commands say and do after objections, with and without extracts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from erios.settings import Settings
from erios.studies import run_selectors
from erios.workflows import extract_objections, stale_extracts
from erios.workflows.stale_extracts import describe_stale, follow_objections


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happened: the database was opened, the extracts were searched."""
    happened: list[str] = []

    def search(_settings: Settings) -> list[str]:
        happened.append("search")
        return ["X1"]

    monkeypatch.setattr(stale_extracts, "open_database", lambda: happened.append("open"))
    monkeypatch.setattr(extract_objections, "turn_touched_stale", search)
    return happened


def test_without_extracts_the_database_stays_closed(settings: Settings, opened: list[str]) -> None:
    assert follow_objections(settings) == []
    assert opened == []


@pytest.mark.parametrize("zone", ["warehouse/extracts", "studies"])
def test_with_an_extract_the_database_is_opened_before_the_search(
    zone: str, settings: Settings, opened: list[str]
) -> None:
    (settings.home / zone / "E1-X01").mkdir(parents=True)

    assert follow_objections(settings) == ["X1"]
    assert opened == ["open", "search"]


@pytest.mark.parametrize(
    ("runs", "end"),
    [
        ([], "No model was trained on them."),
        ([("R1", None)], "Trained on them: R1."),
        (
            [("R1", None), ("R2", "2031")],
            "Trained on them: R1, R2. In use by others: R2; the DPO decides what becomes of them.",
        ),
    ],
)
def test_stale_extracts_are_described_with_the_runs_that_read_them(
    runs: list[tuple[str, str | None]], end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [SimpleNamespace(number=number, promoted=promoted) for number, promoted in runs]
    monkeypatch.setattr(run_selectors, "runs_on", lambda _numbers: known)

    assert describe_stale(["X1", "X2"]) == (
        f"Extracts touched, which nobody can open any more: X1, X2. Have them destroyed. {end}"
    )


def test_no_stale_extract_is_one_short_sentence() -> None:
    assert describe_stale([]) == "Extracts touched: none."
