"""What is shipped for an operator: units whose commands exist, settings that load, a container file without secrets."""

from __future__ import annotations

import re
import shlex
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest

from erios.checkout import PROJECT
from erios.cli import load_group
from erios.settings import Settings, load_settings

UNITS = sorted((PROJECT / "conf" / "systemd").glob("*.service"))
EXAMPLES = sorted((PROJECT / "conf" / "examples").glob("*.toml"))


class Unit(RawConfigParser):
    """A systemd unit; a name may come more than once, and all its values count."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=False)
        self.optionxform = str  # type: ignore[assignment,method-assign]
        self.path = path
        self.read(path)

    def starts(self) -> list[str]:
        """The commands of ours that it starts."""
        text = self.path.read_text(encoding="utf-8")
        return re.findall(r"^ExecStart(?:Pre)?=.*?/bin/erios ([^'\n]+)", text, re.MULTILINE)


def parse(arguments: list[str]) -> None:
    """Parse a command line as ours; nothing is run."""
    name, *rest = arguments
    command: Any = load_group(name)
    context = None
    while hasattr(command, "get_command"):
        context = command.make_context(name, list(rest), parent=context, resilient_parsing=True)
        name, *rest = rest
        command = command.get_command(context, name)
        assert command is not None, name
    command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_commands_that_exist_and_may_write_little(path: Path) -> None:
    unit = Unit(path)
    assert unit.starts()
    for line in unit.starts():
        parse(shlex.split(line.replace("$(date +%%F)", "day").replace("$CREDENTIALS_DIRECTORY", "/run")))
    service = unit["Service"]
    assert (service["User"], service["ProtectSystem"], service["NoNewPrivileges"]) == ("erios", "strict", "yes")
    assert "erios.toml" in service["Environment"]


def test_a_command_that_does_not_exist_would_be_found() -> None:
    with pytest.raises(Exception, match="--nowhere"):
        parse(["portal", "--nowhere"])


def test_each_timer_has_its_service() -> None:
    timers = {path.stem for path in (PROJECT / "conf" / "systemd").glob("*.timer")}
    assert timers
    assert timers <= {path.stem for path in UNITS}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_of_settings_loads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ERIOS_HOME", "ERIOS_DATABASE"):
        monkeypatch.delenv(name, raising=False)

    settings = load_settings(path)

    assert isinstance(settings, Settings)
    assert settings.database.startswith("postgresql://")
    assert not settings.landing.is_relative_to(settings.home)


def test_the_container_runs_as_nobody_special_and_holds_no_data() -> None:
    lines = (PROJECT / "Containerfile").read_text(encoding="utf-8").splitlines()
    last = [line for line in lines if line.startswith("USER ")][-1]
    assert last == "USER erios"
    assert {".git", "var", ".venv"} <= set((PROJECT / ".containerignore").read_text().split())
