"""``erios doctor``: what is installed, which zones are where, what answers, and what mends the rest."""

from __future__ import annotations

import typer

from erios.cli.output import AsJson, answer, write_json
from erios.errors import MachineError
from erios.settings import load_settings
from erios.workflows.doctor import Finding, examine

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_MARKS = {"well": ("✓", "green"), "note": ("·", "yellow"), "ill": ("✗", "bold red")}


@app.command()
def doctor(
    as_json: AsJson = False,
) -> None:
    """Look at the machine, the zones and the services; say what is wrong, and the command that mends it.

    Nothing is changed. The exit code is 8 when something is wrong, 0 otherwise.

    Example: erios doctor
    """
    report = []
    for part, findings in examine(load_settings()):
        report += [{"part": part, **vars(finding)} for finding in findings]
        if not as_json:
            _print(part, findings)
    if as_json:
        write_json(report)
    if wrong := sum(finding["health"] == "ill" for finding in report):
        raise MachineError(
            f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong; what mends each stands beside it"
        )


def _print(part: str, findings: list[Finding]) -> None:
    from rich.text import Text

    console = answer()
    console.print(part, style="bold")
    for finding in findings:
        mark, colour = _MARKS[finding.health]
        console.print(Text.assemble((f"  {mark} ", colour), (f"{finding.about:<16} ", "bold"), finding.said))
        if finding.mend:
            console.print(Text.assemble(" " * 21, ("→ ", colour), finding.mend))
