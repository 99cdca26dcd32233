"""``erios airlock check``: the sentences, the JSON and the exit code."""

from __future__ import annotations

import json

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from typer.testing import CliRunner

from erios.cli import app
from erios.errors import InputError, RefusedError, UsageError

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


def test_clean_takes_the_metadata_out_and_the_picture_stays(tmp_path):
    figure, cleaned = tmp_path / "figure.png", tmp_path / "clean.png"
    metadata = PngInfo()
    metadata.add_text("Comment", "anything")
    Image.linear_gradient("L").save(figure, pnginfo=metadata)

    result = erios("airlock", "clean", str(figure), "--out", str(cleaned))

    assert result.exit_code == 0
    assert b"tEXt" in figure.read_bytes()
    assert b"tEXt" not in cleaned.read_bytes()
    assert Image.open(cleaned).tobytes() == Image.open(figure).tobytes()


def test_clean_of_what_is_no_figure_is_an_input_error(tmp_path):
    text = tmp_path / "figure.png"
    text.write_text("none", encoding="utf-8")

    assert isinstance(erios("airlock", "clean", str(text), "--out", str(tmp_path / "out.png")).exception, InputError)


def test_check_takes_what_a_column_is_declared_to_be(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("model,xyz\nforest,0.8\nlinear,0.7\n", encoding="utf-8")

    assert isinstance(erios("airlock", "check", str(file)).exception, RefusedError)
    assert erios("airlock", "check", str(file), "--column", "xyz=measure").exit_code == 0
    assert isinstance(erios("airlock", "check", str(file), "--column", "xyz=nothing").exception, UsageError)


def test_check_of_no_file_is_an_input_error(tmp_path):
    assert isinstance(erios("airlock", "check", str(tmp_path / "absent.csv")).exception, InputError)


def test_suggest_writes_a_table_that_passes_and_overwrites_none(tmp_path):
    file, out = tmp_path / "table.csv", tmp_path / "hidden.csv"
    file.write_text("sex,yes,no,total\nF,5,90,95\nM,60,40,100\nTotal,65,130,195\n", encoding="utf-8")

    assert erios("airlock", "suggest", str(file), "--out", str(out)).exit_code == 0
    assert erios("airlock", "check", str(out)).exit_code == 0
    assert isinstance(erios("airlock", "suggest", str(file), "--out", str(out)).exception, UsageError)
