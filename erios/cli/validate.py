"""`erios validate`: the validation suites, run again on a release."""

from __future__ import annotations

from typing import Annotated

import typer

from erios.cli.output import AsJson, answer, write_json
from erios.errors import ValidationBlocked
from erios.settings import load_settings
from erios.workflows.load import validate_release
from validation import Severity

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def validate(
    release: Annotated[str | None, typer.Option("--release", help="A release id; the latest without it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the validation suites again on a release; exit code 5 if a blocking expectation fails.

    Example: erios validate --release r000001
    """
    opened, report = validate_release(load_settings(), release)
    if as_json:
        write_json({"release": opened.id, **report.to_dict()})
    else:
        for severity, label in ((Severity.BLOCK, "Blocks"), (Severity.WARN, "Warning")):
            for line in report.sentences(severity):
                answer().print(f"{label}: {line}")
        good = sum(result.success for result in report.results)
        answer().print(f"Release {opened.id}: {good} of {len(report.results)} expectations hold.")
        answer().print(f"Data Docs: {report.docs_index}")
    if report.blocked:
        raise ValidationBlocked(f"release {opened.id} fails expectations that block; see above")
