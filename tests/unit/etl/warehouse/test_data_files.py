"""Folders that tasks make below the work's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl.warehouse.data_files import subfolder


def test_a_folder_below_is_made_with_what_is_between_also_twice(tmp_path: Path) -> None:
    assert subfolder(tmp_path, "lists/moved") == subfolder(tmp_path, "lists/moved") == tmp_path / "lists" / "moved"
    assert (tmp_path / "lists" / "moved").is_dir()


def test_a_late_task_does_not_bring_back_the_folder_that_was_removed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        subfolder(tmp_path / "gone", "ledger")

    assert not (tmp_path / "gone").exists()
