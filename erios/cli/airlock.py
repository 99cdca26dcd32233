"""``erios airlock``: what leaves a study, checked before anybody asks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from erios.airlock.check import Context, Released, check_file
from erios.airlock.findings import Report
from erios.cli.output import AsJson, answer, command_group, print_table, write_json
from erios.errors import InputError, RefusedError
from erios.settings import load_settings

app = command_group("Check what is to leave a study, as the airlock does.")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The file that is to leave.")],
    data: Annotated[
        list[Path] | None, typer.Option("--with", help="The data behind a figure, or the predictions of a model.")
    ] = None,
    earlier: Annotated[Path | None, typer.Option("--earlier", help="The folder with what left before.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the airlock's checks on a file and say how to mend it; code 9 where they would hold it.

    Example: erios airlock check results/table1.csv --earlier released
    """
    context = Context(earlier=_released(earlier), attachments=tuple(data or ()), settings=load_settings().airlock)
    report = check_file(file, context)
    if as_json:
        write_json(_with_sentences(report))
    else:
        _print(report, file)
    if report.held:
        raise RefusedError(f"{file.name} would be held: {len(report.findings)} findings; mend them and check again")


def _released(folder: Path | None) -> list[Released]:
    if folder is None:
        return []
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder")
    return [Released(path.name, path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()]


def _with_sentences(report: Report) -> dict[str, object]:
    sentences = [
        {**finding.as_json(), "where": finding.where, "message": finding.message, "remedy": finding.remedy}
        for finding in report.findings
    ]
    return {**report.as_json(), "held": report.held, "findings": sentences}


def _print(report: Report, file: Path) -> None:
    rows = ([each.verdict, each.check, each.where, each.message, each.remedy] for each in report.findings)
    if report.findings:
        print_table(
            f"{file.name}: {report.form}", ("verdict", "check", "where", "what", "how to mend"), rows, numbers=0
        )
    else:
        answer().print(f"{file.name}: {report.form}, nothing to hold it for; two checkers still read it")
