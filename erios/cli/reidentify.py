"""``erios reidentify``: from a pseudonym back to the patient, by two people.

The answer goes to standard output, once, and nowhere else.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from erios import reidentification
from erios.cli.output import AsJson, command_group, print_rows, screen, write_json
from erios.errors import UsageError
from erios.reidentification import Purpose, requests
from erios.settings import load_settings
from erios.workflows.reidentify import person_of

app = command_group("Find the patient behind a pseudonym: two people, a reason, on record.")

RequestId = Annotated[str, typer.Argument(metavar="REQUEST", help="The id that `erios reidentify request` gave.")]


@app.command()
def request(
    pseudonym: Annotated[str, typer.Argument(help="The patient's pseudonym, as in the column patient_key.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, naming no patient; it stays in the audit chain.")],
    purpose: Annotated[Purpose, typer.Option("--purpose", help="chance-finding or patient-right.")],
    as_json: AsJson = False,
) -> None:
    """Ask for the patient behind a pseudonym; another person must approve within seven days.

    Example: erios reidentify request 0f… --purpose chance-finding --reason "nodule on a CT of study 12"
    """
    by = _ask_person()
    made = reidentification.request(load_settings(), pseudonym, purpose, reason, operator=by)
    if as_json:
        write_json(asdict(made))
    screen().print(
        f"Request {made.id} by {made.requester}; another person runs `erios reidentify approve {made.id}`"
        f" before {made.expires}."
    )


@app.command()
def approve(request_id: RequestId, as_json: AsJson = False) -> None:
    """Approve another person's request: prints the patient's reference, once.

    Example: erios reidentify approve 1a2b3c4d
    """
    by = _ask_person()
    reference = reidentification.approve(load_settings(), request_id, operator=by)
    if as_json:
        write_json({"request": request_id, "reference": reference})
    else:
        typer.echo(reference)
    screen().print(f"Request {request_id} is approved and closed; the audit chain has it.")


@app.command()
def refuse(
    request_id: RequestId,
    reason: Annotated[str, typer.Option("--reason", help="Why not; it stays in the audit chain.")],
) -> None:
    """Refuse another person's request, which closes it.

    Example: erios reidentify refuse 1a2b3c4d --reason "not a finding to act on"
    """
    by = _ask_person()
    reidentification.refuse(load_settings(), request_id, reason, operator=by)
    screen().print(f"Request {request_id} is refused and closed.")


def _ask_person() -> str:
    """The login that the code typed at the terminal, or piped to it, was given to."""
    code = _read_code().strip()
    if not code:
        raise UsageError("type a code of the portal's page of re-identification: it says who you are")
    return person_of(code)


def _read_code() -> str:
    """From the terminal, unseen, or from what is piped; empty where there is neither."""
    if sys.stdin.isatty():
        typed: str = typer.prompt("Your code (portal, page of re-identification)", hide_input=True, err=True)
        return typed
    try:
        return sys.stdin.readline()
    except OSError:
        return ""


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the requests and what became of them. It shows pseudonyms only.

    Example: erios reidentify list
    """
    rows = [asdict(entry) for entry in requests(load_settings())]
    columns = ("id", "state", "pseudonym", "purpose", "requester", "expires")
    print_rows(f"{len(rows)} requests", columns, rows, as_json=as_json)
