"""The checkpoint of row seals: SQLite's locks on it hold, whoever else opens it in the same process."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from erios.audit.row_seals import _opened
from erios.errors import BusyError, StorageError
from erios.settings import Settings

WRITE = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"


def _another_process_may_write(path: Path) -> bool:
    done = subprocess.run([sys.executable, "-c", WRITE, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "database is locked" in done.stderr
    return done.returncode == 0


def test_a_writer_keeps_its_lock_while_the_checkpoint_is_opened_and_closed_beside_it(settings: Settings) -> None:
    path = settings.identity / "row-seals.db"
    with closing(_opened(settings)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        _opened(settings).close()
        assert not _another_process_may_write(path)
        writer.execute("COMMIT")
        assert _another_process_may_write(path)


def test_a_damaged_checkpoint_and_a_link_are_each_one_sentence(settings: Settings, tmp_path: Path) -> None:
    path = settings.identity / "row-seals.db"
    _opened(settings).close()
    path.write_bytes(b"no database" * 100)
    with pytest.raises(StorageError, match="delete it, and it is made anew from the audit chain") as told:
        _opened(settings)
    assert not isinstance(told.value, BusyError)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match=r"row-seals\.db: it is a link"):
        _opened(settings)
