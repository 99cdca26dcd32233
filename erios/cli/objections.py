"""``erios objections``: the register of patients who object to research.

It prints no patient but in ``list``; lists and single patients can come on standard input (``import -``), so that
no identity needs to stand in a shell's history.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from erios.cli.output import AsJson, answer, command_group, print_table, write_json
from erios.errors import InputError
from erios.objections import Change, Objection, check_date, current_entries, parse_reference, read_list
from erios.objections import add as add_objections
from erios.objections import remove as remove_objections
from erios.objections import repair as repair_register
from erios.settings import load_settings
from erios.workflows.stale_extracts import describe_stale, follow_objections

app = command_group("Keep the rows of patients who object to research out of the warehouse.")

NEXT_STEP_ADD = "Their rows leave with the next `erios etl load`, or at once with `erios etl refresh`."
NEXT_STEP_REMOVE = (
    "Their rows come back from the landing zone with the next `erios etl load`, or at once with `erios etl refresh`."
)

Patient = Annotated[str, typer.Argument(help="ID, Patient/ID or SYSTEM|VALUE (a URI, INS-NIR or INS-NIA).")]
Reason = Annotated[str, typer.Option("--reason", help="Why, in a few words; kept sealed.")]
Date = Annotated[str, typer.Option("--date", help="The day they said so, as 2026-01-31; today without it.")]


@app.command()
def add(patient: Patient, reason: Reason = "", date: Date = "", as_json: AsJson = False) -> None:
    """Enter a patient who objects.

    Example: erios objections add Patient/123 --reason "letter of 3 March"
    """
    objection = Objection(parse_reference(patient), reason, check_date(date))
    _show(add_objections(load_settings(), [objection]), NEXT_STEP_ADD, as_json)


@app.command()
def remove(patient: Patient, reason: Reason = "", as_json: AsJson = False) -> None:
    """Enter that a patient no longer objects, in the form in which they were added.

    Example: erios objections remove Patient/123
    """
    _show(remove_objections(load_settings(), [Objection(parse_reference(patient), reason)]), NEXT_STEP_REMOVE, as_json)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV with a column patient (and reason, date), or one a line; - reads.")],
    as_json: AsJson = False,
) -> None:
    """Enter all patients of a list, or none of them; `-` reads standard input.

    Example: erios objections import /srv/objections.csv
    """
    _show(add_objections(load_settings(), read_list(_text(file), str(file))), NEXT_STEP_ADD, as_json)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List who objects now, since when, and who entered it. This shows clear identities.

    Example: erios objections list --json
    """
    names = ("reference", "date", "reason", "time", "operator")
    rows = [{name: getattr(entry, name) for name in names} for entry in current_entries(load_settings())]
    if as_json:
        return write_json(rows)
    lines = [tuple(row.values()) for row in rows]
    return print_table(
        f"Patients who object: {len(rows)}", ("patient", "since", "reason", "entered", "by"), lines, numbers=0
    )


@app.command()
def repair(
    reason: Annotated[str, typer.Option("--reason", help="What happened; it stays in the audit chain.")],
) -> None:
    """Go on with a register that lost entries, when no newer backup is left.

    Whoever objected in what was lost must be entered again, first of all: until then their rows can come back.

    Example: erios objections repair --reason "disk of 3 March, backup of 1 March"
    """
    lost = repair_register(load_settings(), reason)
    answer().print(f"The register goes on without the {lost} entries it lost. Enter them again before the next load.")


def _text(file: Path) -> str:
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{file} is not UTF-8 text: save it as UTF-8; nothing was imported") from None
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}; nothing was imported") from None


def _show(change: Change, next_step: str, as_json: bool) -> None:
    entered = len(change.patient_keys) - change.unchanged
    stale = follow_objections(load_settings())
    if as_json:
        write_json({"entered": entered, "unchanged": change.unchanged, "standing": change.current, "extracts": stale})
    already = f" ({change.unchanged} were so already)" if change.unchanged else ""
    lines = [
        f"Entered {entered}{already}; patients who object now: {change.current}.",
        describe_stale(stale),
        next_step,
    ]
    answer(beside_json=as_json).print("\n".join(lines))
