"""The demonstration: its home is its own, and it runs whole, stops anywhere, and goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from erios.audit import last_event, verify
from erios.demo.accounts import draw_passwords
from erios.demo.services import free_port
from erios.demo.size import FAST, FULL, Scale, claim
from erios.demo.steps import Demo
from erios.errors import UsageError
from erios.settings import load_settings
from tests.functional.conftest import in_process  # noqa: F401 - a fixture
from tests.inline import InlineRunner
from tests.portal.conftest import close_database, point_to
from tests.training.hospital import _no_spark

Run = Callable[..., tuple[int, str, str]]
TINY = Scale("tiny", 120, 20, 2, 2)


def test_a_home_that_is_no_demonstration_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()

    with pytest.raises(UsageError, match="no demonstration's"):
        claim(tmp_path, FAST, restart=True)

    assert (tmp_path / "landing").is_dir()


def test_a_demonstration_goes_on_or_begins_anew(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert not claim(home, FAST, restart=False)
    (home / "warehouse").mkdir()

    assert claim(home, FAST, restart=False)
    assert (home / "warehouse").is_dir()
    assert not claim(home, FULL, restart=False)  # another scale is another hospital
    assert not (home / "warehouse").exists()
    assert not claim(home, FULL, restart=True)


def test_a_port_that_is_taken_is_not_given() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) != port


def what_the_tutorials_do(erios: Run, number: str, backup: Path) -> None:
    """The commands of tutorials and how-to pages that no other test runs, on the demonstration's home."""
    passphrase = backup.with_name("passphrase")
    passphrase.write_text("a long enough passphrase")
    passphrase.chmod(0o600)
    sealed = ("--passphrase-file", passphrase)
    good: list[tuple[tuple[object, ...], str]] = [
        (("doctor",), "audit chain"),
        (("warehouse", "releases"), "r000001"),
        (("warehouse", "show", "patient"), "birth_date"),
        (("warehouse", "compact"), "r00000"),
        (("runs", "list"), number),
        (("runs", "show", number), "readmission"),
        (("runs", "follow", number), f"Run {number} is done"),
        (("runs", "compare", number, number.replace("R001", "R002")), "learning_rate"),
        (("runs", "stop", number), "had ended already: it is done"),
        (("backup", "create", backup, *sealed), "Backup in"),
        (("backup", "verify", backup, *sealed), "whole, byte for byte"),
    ]
    refused: list[tuple[tuple[object, ...], int, str]] = [
        (("runs", "promote", number), 9, ""),
        (("tracking", "login"), 2, "was never started"),
        (("backup", "restore", backup, *sealed), 2, "is not empty"),
        (("reidentify", "refuse", "1a2b3c4d", "--reason", "not needed"), 2, "type a code of the portal"),
    ]
    for command, words in good:
        code, out, said = erios(*command)
        assert (code, words in out + said) == (0, True), (command, out, said)
    for command, code, words in refused:
        found, out, said = erios(*command)
        assert (found, words in said) == (code, True), (command, out, said)


@pytest.mark.slow
def test_the_whole_demonstration_runs_and_a_second_time_changes_nothing(
    erios_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_process: Run,  # noqa: F811
) -> None:
    monkeypatch.setattr("secrets.token_bytes", Random(7).randbytes)  # the key decides who is in which part of the data
    for module in ("load", "extract_build"):
        monkeypatch.setattr(f"erios.workflows.{module}.spark_session", _no_spark)
        monkeypatch.setattr(f"erios.workflows.{module}.SparkRunner", lambda _spark: InlineRunner())
    settings, heard = load_settings(), list[str]()
    claim(settings.home, TINY, restart=False)
    point_to(settings)

    came = {step.name: step.act(heard.append) for step in Demo(settings, TINY).steps()}

    assert "active" in came["Decision"]
    assert "released" in came["Clearance"]
    assert came["Airlock"] == "the results text is results published; its request is released"
    assert came["Readmission"].startswith("run E")
    assert came["Lesions"].startswith("run E")
    assert any("voted" in said for said in heard)
    last = last_event(settings, "")
    again = {step.name: step.act(heard.append) for step in Demo(settings, TINY).steps()}
    assert again == came
    assert last_event(settings, "") == last
    assert verify(settings).faults == ()
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    what_the_tutorials_do(in_process, came["Readmission"].split()[1].rstrip(":"), tmp_path / "backup")
    passwords = draw_passwords()
    assert len(set(passwords.values())) == len(passwords) == 12
    close_database()
