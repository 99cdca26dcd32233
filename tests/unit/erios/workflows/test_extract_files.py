"""Folders of extracts: one process at a time, and drafts that appear whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from erios.errors import BusyError
from erios.workflows.extract_files import draft_folder, locked, publish_draft


def test_a_second_holder_of_a_folder_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    folder = tmp_path / "extracts" / "E1-X01"

    with locked(folder), pytest.raises(BusyError, match="somebody is at work on extract E1-X01"), locked(folder):
        pass
    with locked(folder):
        assert folder.parent.is_dir()


def test_a_published_draft_replaces_the_folder_whole(tmp_path: Path) -> None:
    folder = tmp_path / "E1-X01"
    draft = draft_folder(folder)
    for path, text in ((folder / "old.txt", "old"), (draft / "data" / "new.txt", "new")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    publish_draft(draft, folder)

    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()] == [
        "E1-X01/data/new.txt"
    ]
