"""Every command: listed, explained, with an example; the face as a whole."""

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from erios.cli import GROUPS, app, load_group

runner = CliRunner()


def walk(path: tuple[str, ...], command) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command under ``command`` that does something, with its path."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
    for name, child in (children or {}).items():
        yield from walk((*path, name), child)


def all_commands() -> list[tuple[tuple[str, ...], Any]]:
    return [found for name in GROUPS for found in walk((name,), load_group(name))]


def test_the_help_lists_every_group_with_its_line():
    result = runner.invoke(app, ["--help"])

    assert result.exit_code == 0
    for name, line in GROUPS.items():
        assert f"  {name} " in result.output
        assert line[:40] in result.output


def test_without_arguments_the_help_is_shown():
    assert "Usage: " in runner.invoke(app, []).output


def test_the_version_is_shown():
    assert runner.invoke(app, ["--version"]).output == "erios 0.1.0\n"


def test_an_unknown_command_suggests_a_known_one():
    result = runner.invoke(app, ["keyz"])

    assert result.exit_code == 2
    assert "Did you mean 'keys'?" in result.output


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_has_plain_help_and_no_completion_options(name):
    module = importlib.import_module(f"erios.cli.{name}")

    options = [option for parameter in load_group(name).params for option in parameter.opts]
    assert module.app.rich_markup_mode is None
    assert "--install-completion" not in options


def test_every_command_has_help_with_an_example_that_names_it():
    shown = [(path, command) for path, command in all_commands() if not command.hidden]
    without = [path for path, command in shown if f"erios {' '.join(path)}" not in (command.help or "")]

    assert without == []


def test_every_argument_and_option_is_explained():
    without = [
        (*path, parameter.name)
        for path, command in all_commands()
        for parameter in command.params
        if not parameter.help
    ]

    assert without == []


def test_every_help_is_shown_without_error():
    failed = [path for path, _ in all_commands() if runner.invoke(app, [*path, "--help"]).exit_code]

    assert failed == []


def test_the_list_of_commands_reads_whole_on_eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    listed = runner.invoke(app, ["--help"]).output
    assert [line for line in GROUPS.values() if line not in listed] == []
