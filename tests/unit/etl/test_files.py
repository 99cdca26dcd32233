"""Files are whole or absent, and a lock has one holder."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from etl.files import PRIVATE, open_locked, unlock, write_atomically, written_atomically


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_and_no_draft_stays(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"1")
    write_atomically(path, b"22", PRIVATE)

    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"22", 0o600)
    assert _names(tmp_path) == ["file"]


def test_a_file_that_may_not_be_overwritten_stays(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"first", overwrite=False)

    with pytest.raises(FileExistsError):
        write_atomically(path, b"second", overwrite=False)
    assert path.read_bytes() == b"first"
    assert _names(tmp_path) == ["file"]


def test_a_full_disk_leaves_the_old_file_and_no_draft(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def refuse(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    with pytest.raises(OSError, match="No space left"), written_atomically(path) as draft:
        draft.write_bytes(b"new")
    assert path.read_bytes() == b"old"
    assert _names(tmp_path) == ["file"]


def test_content_is_on_the_disk_before_it_has_its_name_and_the_name_after(tmp_path, monkeypatch):
    path, steps, whole = tmp_path / "file", [], os.fsync

    def note(descriptor: int) -> None:
        steps.append(("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "content", path.exists()))  # noqa: PTH112
        whole(descriptor)

    monkeypatch.setattr("os.fsync", note)
    write_atomically(path, b"1")
    path.unlink()
    with written_atomically(path) as draft:
        draft.write_bytes(b"1")
    assert steps == [("content", False), ("folder", True)] * 2


def test_an_error_while_a_draft_is_written_leaves_nothing(tmp_path):
    def fail(draft):
        draft.write_bytes(b"half")
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"), written_atomically(tmp_path / "file") as draft:
        fail(draft)
    assert _names(tmp_path) == []


def test_a_lock_has_one_holder_until_it_is_freed(tmp_path):
    path = tmp_path / "lock"
    file = open_locked(path)
    with pytest.raises(BlockingIOError):
        open_locked(path, patience=0.05)
    unlock(file)
    unlock(open_locked(path))
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_lock_of_a_process_that_died_is_free(tmp_path):
    program = f"from etl.files import open_locked; from pathlib import Path; import os; \
file = open_locked(Path({str(tmp_path / 'lock')!r})); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 9
    unlock(open_locked(tmp_path / "lock"))
