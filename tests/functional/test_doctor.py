"""``erios doctor``: each thing well and ill, with the command that mends it, and no secret told."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from erios.keys import init_keyring
from erios.settings import Settings, load_settings
from erios.workflows import doctor
from erios.workflows.doctor import Finding, Health, examine


def look(settings: Settings | None = None) -> dict[str, Finding]:
    """What is found now, by what it is about."""
    return {one.about: one for _part, found in examine(settings or load_settings()) for one in found}


@pytest.fixture
def home(erios_home: Path) -> Settings:
    """A home with zones, a key and an empty chain."""
    from erios.audit import make

    settings = load_settings()
    settings.make_zones()
    init_keyring(settings.keyring)
    make(settings)
    return settings


def test_an_empty_home_is_told_what_comes_first(erios_home: Path) -> None:
    found = look()

    assert found["keyring"].health is Health.ILL
    assert found["keyring"].mend == "erios keys init"
    assert found["releases"].mend == "erios etl load PATH"
    assert not erios_home.exists()


def test_a_sound_home_is_well(home: Settings) -> None:
    found = look()

    assert {name for name, one in found.items() if one.health is Health.ILL} == set()
    assert found["audit chain"].said == "0 events, whole"
    assert found["packages"].health is Health.WELL
    assert json.loads(home.keyring.read_text())["current"] not in str(found)


def _loosen(settings: Settings) -> None:
    settings.identity.chmod(0o755)


def _age_of_java(settings: Settings) -> None:
    os.environ["JAVA_HOME"] = str(settings.home)


def _cut_chain(settings: Settings) -> None:
    from erios.audit import append

    append(settings, "a.test")
    with sqlite3.connect(settings.governance / "governance.db") as base:
        for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            base.execute(f'DROP TRIGGER "{name}"')
        base.execute("UPDATE audit_event SET action = 'b.test'")


def _lose_release(settings: Settings) -> None:
    releases = settings.warehouse / "releases"
    releases.mkdir()
    (releases / "r000001.json").write_text("{")


@pytest.mark.parametrize(
    ("hurt", "about", "mend"),
    [
        (_loosen, "identity", "chmod 700"),
        (_age_of_java, "Java", "apt-get install openjdk-17"),
        (_cut_chain, "audit chain", "erios audit verify"),
        (_lose_release, "Warehouse", ""),
    ],
)
def test_what_is_hurt_is_found_with_what_mends_it(
    home: Settings, monkeypatch: pytest.MonkeyPatch, hurt: Callable[[Settings], None], about: str, mend: str
) -> None:
    monkeypatch.setenv("JAVA_HOME", os.environ.get("JAVA_HOME", ""))
    hurt(home)

    found = look()[about]

    assert found.health is Health.ILL
    assert found.mend.startswith(mend)


def test_a_package_of_another_version_is_named(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_installed", lambda name: "0" if name == "duckdb" else version(name))

    assert "duckdb" in look()["packages"].said
    assert look()["packages"].mend == "make setup"


def test_a_service_that_does_not_answer_is_told_in_time(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        monkeypatch.setenv("ERIOS_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert look()["tracking server"].health is Health.WELL
    assert look()["tracking server"].mend == "erios tracking serve on its host"


def test_a_password_that_others_may_read_is_told_and_not_shown(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    path = home.home / "smtp"
    path.write_text("hunter2")
    path.chmod(0o644)
    monkeypatch.setenv("ERIOS_PORTAL__MAIL__PASSWORD_FILE", str(path))

    found = look()

    assert found["password_file"].mend == f"chmod 600 {path}"
    assert "hunter2" not in str(found)


def test_a_check_that_fails_is_a_finding_without_its_message(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_settings: Settings) -> None:
        raise ValueError("Dupont")

    monkeypatch.setattr(doctor, "_PARTS", (("Part", fail),))

    assert look() == {"Part": Finding("Part", Health.ILL, "cannot be looked at (ValueError)")}
