"""What a backup takes of a zone in which trainings write: plain files, through no link, and no other zone's rows."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from erios.settings import Settings
from erios.workflows import backup


def database(path: Path, word: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (word)")
        connection.execute("INSERT INTO t VALUES (?)", [word])
        connection.commit()


def taken(settings: Settings, draft: Path) -> dict[str, bytes]:
    """Each file that a backup reads of the zone of studies."""
    draft.mkdir()
    return {inner: path.read_bytes() for path, inner in backup._contents("studies", draft, settings) if path.is_file()}


def test_no_link_and_no_name_leads_a_backup_into_another_zone(settings: Settings, tmp_path: Path) -> None:
    database(settings.governance / "governance.db", "a vote")
    run = settings.studies / "E1" / "runs" / "E1-R001"
    for folder in (run / "output", run / "checkpoints"):
        folder.mkdir(parents=True)
        (folder / "link.db").symlink_to(settings.governance / "governance.db")
        (folder / "folder").symlink_to(settings.governance)
        up = "..%2f" * 5 + "governance%2fgovernance.db"
        (folder / up).write_bytes(b"SQLite format 3\0")
    (run / "run.json").write_text("{}")
    database(run / "checkpoints" / "what?.db", "own")

    found = taken(settings, tmp_path / "draft")

    assert "E1/runs/E1-R001/run.json" in found
    assert b"own" in found["E1/runs/E1-R001/checkpoints/what?.db"]
    assert not [name for name, content in found.items() if b"a vote" in content]
    assert not [name for name in found if "/output/" in name or "link" in name]


def test_a_folder_that_a_training_made_as_deep_as_can_be_keeps_no_backup_from_being_made(
    settings: Settings, tmp_path: Path
) -> None:
    checkpoints = settings.studies / "E1" / "runs" / "E1-R001" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "newest.pt").write_bytes(b"own")
    dig = "import os\nfor n in range(3000): os.mkdir('d'); os.chdir('d')"
    subprocess.run([sys.executable, "-c", dig], cwd=checkpoints, check=True)

    found = taken(settings, tmp_path / "draft")

    assert found == {"E1/runs/E1-R001/checkpoints/newest.pt": b"own"}
    subprocess.run(["rm", "-r", checkpoints / "d"], check=True)  # deeper than Python's own removal goes
