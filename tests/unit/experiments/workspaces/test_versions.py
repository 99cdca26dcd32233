"""Versions of a study's shared folder, in which foreign programs write."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from experiments.workspaces.versions import keep_version, versions_of

NOW = datetime(2031, 1, 1, tzinfo=UTC)


def keep(study: Path, versions: Path, minute: int = 0, most: int = 9) -> Path | None:
    return keep_version(study, versions, NOW + timedelta(minutes=minute), most, 2**20)


def test_a_version_is_kept_for_each_change_and_the_oldest_go(tmp_path: Path) -> None:
    study, versions = tmp_path / "study", tmp_path / "versions"
    (study / "deep").mkdir(parents=True)
    (study / "same.txt").write_text("same")
    (study / "deep" / "a.py").write_text("1")
    first = keep(study, versions)
    assert first is not None
    assert keep(study, versions, 1) is None
    (study / "deep" / "a.py").write_text("2")
    second = keep(study, versions, 1)
    assert second is not None
    assert [(each / "deep" / "a.py").read_text() for each in (first, second)] == ["1", "2"]
    assert (first / "same.txt").stat().st_ino == (second / "same.txt").stat().st_ino
    (study / "same.txt").unlink()
    third = keep(study, versions, 1, most=2)
    assert third is not None
    assert third.name == f"{second.name}-1"
    assert versions_of(versions) == [second, third]
    assert not (third / "same.txt").exists()


def test_no_version_leads_out_of_the_folder(tmp_path: Path) -> None:
    study, versions, secret = tmp_path / "study", tmp_path / "versions", tmp_path / "secret"
    study.mkdir()
    secret.mkdir()
    (secret / "key").write_text("secret")
    (study / "plain.txt").write_text("plain")
    (study / "link").symlink_to(secret / "key")
    (study / "folder").symlink_to(secret)
    os.mkfifo(study / "pipe")
    with (study / "hole").open("wb") as file:
        file.truncate(2**30)
    kept = keep(study, versions)
    assert kept is not None
    assert [path.name for path in kept.rglob("*")] == ["plain.txt"]
