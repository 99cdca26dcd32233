"""Runs are followed one by one: what one of them has left keeps no other from being stopped."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from erios.settings import Settings
from erios.workflows import run_follow


def test_a_run_that_cannot_be_read_keeps_no_other_from_being_followed(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    damaged, other = (SimpleNamespace(number=number, refresh_from_db=lambda: None) for number in ("E1-R001", "E1-R002"))

    def check(run: Any, _settings: Settings) -> Any:
        if run is damaged:
            raise TypeError("a value of the training")
        return run

    monkeypatch.setattr(run_follow, "left_open", list)
    monkeypatch.setattr(run_follow, "live_runs", lambda: [damaged, other])
    monkeypatch.setattr(run_follow, "lock_of", lambda run, _settings: tmp_path / run.number)
    monkeypatch.setattr(run_follow, "_follow", check)

    assert run_follow.follow() == [other]

    assert "E1-R001 cannot be followed: TypeError" in caplog.text
    assert "a value of the training" not in caplog.text
