"""``erios reidentify``: from a pseudonym back to the patient, by two people.

The answer goes to standard output, once, and nowhere else.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from erios import reidentification
from erios.cli.output import AsJson, command_group, print_rows, screen, write_json
from erios.reidentification import Purpose, requests
from erios.settings import load_settings

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
    made = reidentification.request(load_settings(), pseudonym, purpose, reason)
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
    reference = reidentification.approve(load_settings(), request_id)
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
    reidentification.refuse(load_settings(), request_id, reason)
    screen().print(f"Request {request_id} is refused and closed.")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the requests and what became of them. It shows pseudonyms only.

    Example: erios reidentify list
    """
    rows = [asdict(entry) for entry in requests(load_settings())]
    columns = ("id", "state", "pseudonym", "purpose", "requester", "expires")
    print_rows(f"{len(rows)} requests", columns, rows, as_json=as_json)
