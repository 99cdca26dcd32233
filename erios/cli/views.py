"""`erios views`: check, run and inventory the SQL-on-FHIR views that make the tables."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from erios.cli.output import AsJson, answer, command_group, print_table, screen, write_json
from erios.errors import InputError, UsageError
from erios.settings import load_settings
from etl.errors import PrivacyError
from etl.ingest.inventory import take_inventory
from etl.ingest.view_output import write_rows
from etl.tables import as_table
from etl.views import CompiledView, ViewError, compile_view, load_view
from etl.views.conformance import TestResult, report, run_suite
from etl.views.run import check_sql

app = command_group("Check and run the SQL-on-FHIR views that make the tables.")


class OutputFormat(StrEnum):
    """How `views run` writes rows."""

    csv = "csv"
    ndjson = "ndjson"
    parquet = "parquet"


@app.command()
def check(
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Folder of views (*.json); the warehouse's without it.")
    ] = None,
) -> None:
    """Compile every view of a folder and say what is wrong with each, with the path in its file.

    Example: erios views check conf/views
    """
    folder = directory or load_settings().views_dir
    files = sorted(folder.glob("*.json"))
    if not files:
        raise InputError(f"no view (*.json) in {folder}")
    outcomes = [(file.name, _compiled(file)) for file in files]
    good = [outcome for _, outcome in outcomes if not isinstance(outcome, str)]
    rows = [(view.name, view.resource, str(len(view.columns))) for view in good]
    print_table(f"Views in {folder}", ["view", "resource", "columns"], rows, numbers=1)
    faults = [(name, outcome) for name, outcome in outcomes if isinstance(outcome, str)]
    for name, sentence in faults:
        answer().print(f"{name}: {sentence}")
    if faults:
        raise UsageError(f"{len(faults)} of {len(files)} views in {folder} cannot be used; see above")


def _compiled(file: Path) -> CompiledView | str:
    """The compiled view of a file, or the sentence that says what is wrong with it."""
    try:
        view = compile_view(load_view(file))
        check_sql(view)
        if any(column.privacy for column in view.columns):
            as_table(view)
    except (ViewError, PrivacyError) as error:
        return str(error)
    return view


@app.command()
def run(
    view: Annotated[Path, typer.Argument(metavar="VIEW.json", help="A ViewDefinition.")],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file or folder: NDJSON, gzip, Bundles, resources.")],
    output_format: Annotated[OutputFormat, typer.Option("--format", help="Form of the rows.")] = OutputFormat.csv,
    out: Annotated[Path | None, typer.Option("--out", help="File to write; standard output without it.")] = None,
) -> None:
    """Run one view over a file or folder and write its rows. No privacy rule is applied.

    Example: erios views run conf/views/patient.json export/ --format parquet --out patients.parquet
    """
    if not path.exists():
        raise InputError(f"no such file or folder: {path}")
    compiled = compile_view(load_view(view))
    with tempfile.TemporaryDirectory(dir=out.parent if out else None) as folder:
        rows = Path(folder) / "rows"
        count = write_rows(compiled, path, rows, output_format.value)
        _deliver(rows, out)
    screen().print(f"{compiled.name}: {count:,} rows")


def _deliver(rows: Path, out: Path | None) -> None:
    """Put a finished file in its place, or on standard output."""
    if out is not None:
        rows.replace(out)
        return
    with rows.open("rb") as handle:
        shutil.copyfileobj(handle, sys.stdout.buffer)
    sys.stdout.buffer.flush()


@app.command()
def conformance(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the suite's test files.")],
    report_file: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Where to write the suite's report (JSON).")
    ] = None,
) -> None:
    """Run the SQL-on-FHIR conformance suite; exit code 1 if a test fails.

    Example: erios views conformance suite/ --report report.json
    """
    results = run_suite(directory)
    if report_file is not None:
        report_file.write_text(json.dumps(report(results), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    failed = _show(results)
    answer().print(f"{len(results) - failed} of {len(results)} tests pass.")
    if failed:
        raise typer.Exit(1)


def _show(results: list[TestResult]) -> int:
    """Print one row a file and one line a failed test; answers how many failed."""
    files = list(dict.fromkeys(result.file for result in results))
    passed = {file: sum(r.passed for r in results if r.file == file) for file in files}
    of = {file: sum(r.file == file for r in results) for file in files}
    rows = [(file, str(passed[file]), str(of[file])) for file in files]
    print_table("Conformance", ["file", "passed", "of"], rows, numbers=2)
    failures = [result for result in results if not result.passed]
    for result in failures:
        answer().print(f"{result.file}: {result.name}: {result.reason}")
    return len(failures)


@app.command()
def inventory(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="An export: a file or folder.")],
    as_json: AsJson = False,
) -> None:
    """List the elements and extensions of an export that no view reads, with counts.

    Example: erios views inventory export/
    """
    unread = take_inventory(path, load_settings().views_dir)
    if as_json:
        write_json(unread.to_dict())
        return
    rows = [(r.path, r.extension or r.kind, f"{r.count:,}", f"{r.resources:,}") for r in unread.rows]
    title = f"Read by no view: {len(rows):,} places in {sum(unread.resources.values()):,} resources"
    print_table(title, ["place", "what", "values", "resources"], rows, numbers=2)
