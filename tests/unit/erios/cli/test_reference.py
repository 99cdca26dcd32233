"""The command reference is current, and `make docs` writes it."""

import sys

from erios.checkout import PROJECT
from erios.cli import reference

PAGE = PROJECT / "docs" / "reference" / "commands.md"


def test_the_page_is_what_the_commands_say():
    assert PAGE.read_text(encoding="utf-8") == reference.commands_page(), "run `make docs`"


def test_the_page_names_options_arguments_and_exit_codes():
    page = reference.commands_page()

    assert "### erios keys list\n\n    erios keys list [--json]\n" in page
    assert "| `--json` | Answer on standard output as JSON. |  |" in page
    assert "| 9 | A rule of governance refuses it: it takes another person, or it comes too late. |" in page


def test_the_page_is_written_to_the_file_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["reference", str(tmp_path / "new" / "page.md")])

    reference.main()

    assert (tmp_path / "new" / "page.md").read_text(encoding="utf-8") == reference.commands_page()
