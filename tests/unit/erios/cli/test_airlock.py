"""``erios airlock check``: the sentences, the JSON and the exit code."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from erios.cli import app
from erios.errors import InputError, RefusedError

pytestmark = pytest.mark.usefixtures("erios_home")
runner = CliRunner()


def erios(*arguments: str):
    return runner.invoke(app, arguments, catch_exceptions=True)


def test_check_says_what_holds_the_file_and_refuses(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("sex,n\nF,120\nM,7\n", encoding="utf-8")

    result = erios("airlock", "check", str(file), "--json")

    assert isinstance(result.exception, RefusedError)
    report = json.loads(result.stdout)
    assert report["held"] is True
    assert report["findings"][0]["where"] == "row 3, column 2"
    assert report["findings"][0]["remedy"].startswith("merge categories")


def test_check_of_a_safe_table_ends_well(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("sex,n\nF,120\nM,70\n", encoding="utf-8")

    result = erios("airlock", "check", str(file))

    assert result.exit_code == 0
    assert "nothing to hold it for" in result.stdout


def test_check_of_no_file_is_an_input_error(tmp_path):
    assert isinstance(erios("airlock", "check", str(tmp_path / "absent.csv")).exception, InputError)
