"""``erios airlock``: what leaves a study, checked before anybody asks; ``airlock_requests`` has how it is asked for."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Annotated

import typer

from erios.airlock.check import Context, Released, check_file, hide_cells
from erios.airlock.findings import Report
from erios.cli import airlock_requests
from erios.cli.airlock_requests import Column, declared
from erios.cli.output import AsJson, answer, command_group, print_table, write_json
from erios.errors import InputError, RefusedError, UsageError
from erios.settings import load_settings

app = command_group("Check what is to leave a study; ask for it, vote, release. Everything asked is on record.")
for name, command in airlock_requests.COMMANDS.items():
    app.command(name)(command)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The file that is to leave.")],
    data: Annotated[
        list[Path] | None, typer.Option("--with", help="The data behind a figure, or the predictions of a model.")
    ] = None,
    earlier: Annotated[Path | None, typer.Option("--earlier", help="The folder with what left before.")] = None,
    column: Column = None,
    as_json: AsJson = False,
) -> None:
    """Run the airlock's checks on a file and say how to mend it; code 9 where they would hold it.

    Example: erios airlock check results/table1.csv --earlier released
    """
    context = Context(
        earlier=_released(earlier),
        attachments=tuple(data or ()),
        columns=declared(column),
        settings=load_settings().airlock,
    )
    report = check_file(file, context)
    if as_json:
        write_json(_with_sentences(report))
    else:
        _print(report, file)
    if report.held:
        raise RefusedError(f"{file.name} would be held: {len(report.findings)} findings; mend them and check again")


@app.command()
def suggest(
    file: Annotated[Path, typer.Argument(help="A table that the checks hold.")],
    out: Annotated[Path, typer.Option("--out", help="Where to write the table with its cells hidden (CSV).")],
    earlier: Annotated[Path | None, typer.Option("--earlier", help="The folder with what left before.")] = None,
    column: Column = None,
) -> None:
    """Write a table with its small cells hidden, and as many more as totals would give away.

    Example: erios airlock suggest results/table1.csv --out results/table1-hidden.csv
    """
    context = Context(earlier=_released(earlier), columns=declared(column), settings=load_settings().airlock)
    grid = hide_cells(file, context)
    if grid is None:
        raise RefusedError(f"{file.name}: hiding cells does not mend it; `erios airlock check` says what would")
    written = io.StringIO(newline="")
    csv.writer(written).writerows(grid)
    _write_new(out, written.getvalue().encode())
    answer().print(f"{out}: cells are hidden where it takes it; check it, and hide others if those tell you more")


@app.command()
def clean(
    file: Annotated[Path, typer.Argument(help="A PNG figure.")],
    out: Annotated[Path, typer.Option("--out", help="Where to write it without its metadata.")],
) -> None:
    """Write a figure anew with nothing in it but the picture.

    Example: erios airlock clean results/roc.png --out results/roc-clean.png
    """
    from erios.airlock.figures import MAGIC, BrokenError, clean_figure

    if not file.is_file():
        raise InputError(f"{file} is no file")
    content = file.read_bytes()
    try:
        cleaned = clean_figure(content) if content.startswith(MAGIC) else None
    except BrokenError:
        cleaned = None
    if cleaned is None:
        raise InputError(f"{file.name} is no PNG, or a damaged one: save the figure as PNG")
    _write_new(out, cleaned)
    answer().print(f"{out}: {len(content) - len(cleaned)} bytes beside the picture are gone")


def _write_new(path: Path, content: bytes) -> None:
    """Nothing is overwritten: the original is what the author still has."""
    try:
        with path.open("xb") as target:
            target.write(content)
    except FileExistsError:
        raise UsageError(f"--out {path} is there already: name a new file") from None


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
