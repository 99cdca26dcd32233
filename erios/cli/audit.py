"""``erios audit``: prove that the record of decisions is whole, and read it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from erios.audit import read_events
from erios.cli.output import answer, write_json
from erios.errors import StorageError, UsageError
from erios.settings import load_settings
from erios.workflows.record import verify_record

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def audit() -> None:
    """Verify and export the audit chain."""


@app.command()
def verify(as_json: Annotated[bool, typer.Option("--json", help="Answer on standard output as JSON.")] = False) -> None:
    """Check every event of the chain, and every row of the governance database against it; exit code 6 for a fault.

    A fault of the chain: an event was changed, removed, put in or cut off. A fault of a row: its table, row and field
    are named; it was changed, put in or removed past the program.

    Write the last seal down elsewhere: it also proves that chain and witness were not both put back from an old copy.

    Example: erios audit verify
    """
    verification = verify_record(load_settings())
    if as_json:
        write_json(asdict(verification))
    if verification.faults:
        for fault in verification.faults[1:] if not as_json else ():
            answer().print(fault, soft_wrap=True)
        more = f" (and {len(verification.faults) - 1} more faults)" if len(verification.faults) > 1 else ""
        what = "governance database is not as the audit chain tells" if verification.rows else "audit chain is damaged"
        raise StorageError(f"the {what}: {verification.faults[0]}{more}; keep it as it is and find out why")
    if not as_json:
        answer().print(_whole(verification.events, verification.seal), soft_wrap=True)


def _whole(events: int, seal: str) -> str:
    if events:
        return f"The audit chain is whole: {events} events, last seal {seal}."

    return f"The audit chain is empty: nothing is on record in {load_settings().home}."


@app.command()
def export(
    since: Annotated[
        str, typer.Option("--since", help="A day or instant (UTC), as 2026-01-31 or 2026-01-31T08:00.")
    ] = "",
) -> None:
    """Write the events as JSON on standard output, one a line, oldest first.

    They are as stored; `erios audit verify` says whether they are as written.

    Example: erios audit export --since 2026-01-01
    """
    for event in read_events(load_settings(), _instant(since)):
        sys.stdout.write(json.dumps(asdict(event) | {"details": _details(event.details)}) + "\n")


def _instant(text: str) -> str:
    """The form in which events are stamped, whose order is that of time."""
    if not text:
        return ""
    try:
        given = datetime.fromisoformat(text)
        given = given if given.tzinfo else given.replace(tzinfo=UTC)
        return given.astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError):
        raise UsageError("--since is a day or an instant, as 2026-01-31 or 2026-01-31T08:00") from None


def _details(text: str) -> object:
    """Parsed, unless somebody damaged them."""
    try:
        return json.loads(text)
    except ValueError:
        return text
