"""`erios synth`: what it prints, what it refuses."""

from __future__ import annotations

import json

from typer.main import get_command

from erios.cli.exits import run
from erios.cli.synth import app


def call(*arguments: str) -> int:
    def command(prog_name: str) -> None:
        get_command(app).main(list(arguments), prog_name=prog_name)

    return run(command)


def test_synth_writes_an_export_and_answers_in_json(tmp_path, capsys):
    assert call(str(tmp_path / "out"), "--patients", "3", "--seed", "1", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["types"]["Patient"] == 3
    assert answer["resources"] == sum(answer["types"].values())
    assert (tmp_path / "out" / "manifest.json").exists()


def test_synth_refuses_a_folder_in_use_with_one_sentence(tmp_path, capsys):
    (tmp_path / "mine").write_text("keep")
    assert call(str(tmp_path), "--patients", "3") == 3
    assert capsys.readouterr().err.strip().endswith("is not an empty folder: name a new one")
