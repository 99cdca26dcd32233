"""The restore drill: the machine is lost, and what was backed up stands elsewhere, proved; nothing else is accepted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from erios.audit import append, verify
from erios.errors import StorageError, UsageError
from erios.settings import Settings, load_settings
from erios.studies.models import Extract
from erios.workflows import backup
from erios.workflows.extract import open_extract
from etl.warehouse.release import exclusive, open_release
from tests.portal.conftest import close_database, point_to

PASSPHRASE = "une phrase de passe assez longue"

pytestmark = pytest.mark.slow


def elsewhere(home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of another machine."""
    monkeypatch.setenv("ERIOS_HOME", str(home))
    settings = load_settings()
    point_to(settings)
    return settings


def test_a_lost_machine_is_restored_elsewhere(home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = backup.create(tmp_path / "backup", PASSPHRASE, home)
    number, events = Extract.objects.get().number, verify(home).events - 1  # the backup's own event comes after it
    rows = open_release(home.warehouse).polars("patient").collect().height
    close_database()
    shutil.rmtree(home.home)

    settings = elsewhere(tmp_path / "new" / "home", monkeypatch)
    proved = backup.restore(tmp_path / "backup", PASSPHRASE, settings)

    assert [part.zone for part in made.parts] == list(backup.ORDER)
    assert proved[0] == f"the audit chain of {events} events verifies"
    assert proved[1].startswith("release r000001 opens")
    assert proved[2] == f"extract {number} verifies, byte for byte"
    assert open_release(settings.warehouse).polars("patient").collect().height == rows
    assert open_extract(number).folder.is_relative_to(settings.studies)
    assert {zone: getattr(settings, zone).stat().st_mode & 0o777 for zone in ("identity", "warehouse")} == {
        "identity": 0o700,
        "warehouse": 0o750,
    }
    assert settings.keyring.stat().st_mode & 0o777 == 0o600
    append(settings, "a.test")
    assert verify(settings).faults == ()


def test_a_backup_tells_nothing_and_nothing_of_it_may_change(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backup"
    backup.create(folder, PASSPHRASE, home, ("identity", "governance"))
    key = home.keyring.read_bytes()[:40]
    assert all(key not in path.read_bytes() for path in folder.iterdir())
    with pytest.raises(StorageError, match="passphrase"):
        backup.verify(folder, "another passphrase")

    part = folder / "governance.tar.sealed"
    whole = part.read_bytes()
    part.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))

    settings = elsewhere(tmp_path / "new" / "home", monkeypatch)
    with pytest.raises(StorageError, match="first bytes were changed"):
        backup.restore(folder, PASSPHRASE, settings)
    assert not settings.home.exists()


def test_an_interrupted_restore_is_done_again_and_nothing_is_overwritten(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.create(tmp_path / "backup", PASSPHRASE, home, ("identity", "governance"))
    with pytest.raises(UsageError, match="not empty"):
        backup.restore(tmp_path / "backup", PASSPHRASE, home)
    settings = elsewhere(tmp_path / "new" / "home", monkeypatch)
    rename, seen = Path.rename, list[Path]()

    def die(path: Path, target: Path) -> Path:
        if seen:
            raise KeyboardInterrupt
        seen.append(path)
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", die)
        with pytest.raises(KeyboardInterrupt):
            backup.restore(tmp_path / "backup", PASSPHRASE, settings)
    assert not settings.keyring.exists()  # the identity zone comes last

    assert backup.restore(tmp_path / "backup", PASSPHRASE, settings)[0].endswith("verifies")


def test_a_backup_is_whole_or_not_there(home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from erios.errors import EriosError

    with pytest.raises(UsageError, match="lies in the zone"):
        backup.create(home.warehouse / "backup", PASSPHRASE, home)
    with pytest.raises(UsageError, match="fewer than 12"):
        backup.create(tmp_path / "backup", "short", home)
    with exclusive(home.warehouse), pytest.raises(Exception, match="being written by process"):
        backup.create(tmp_path / "backup", PASSPHRASE, home)

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "_write", full)
    with pytest.raises(EriosError, match="No space left"):
        backup.create(tmp_path / "backup", PASSPHRASE, home, ("identity",))
    assert list(tmp_path.glob("*backup*")) == []
