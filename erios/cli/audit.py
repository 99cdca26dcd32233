"""``erios audit``: prove that the record of decisions is whole, anchor it elsewhere, and read it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from erios.audit import read_events
from erios.audit.anchors import Anchor, read_anchor, stamped_at
from erios.cli.output import AsJson, answer, command_group, write_json
from erios.errors import StorageError, UsageError
from erios.settings import load_settings
from erios.workflows.record import anchor_record, verify_record

app = command_group("Verify, anchor and export the audit chain.")


@app.command()
def verify(
    anchors: Annotated[
        list[Path] | None,
        typer.Option(
            "--anchor", help="A file of `erios audit anchor`: is that end still in the chain? May be repeated."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every event of the chain, and every row of the governance database against it; exit code 6 for a fault.

    A fault of the chain: an event was changed, removed, put in or cut off. A fault of a row: its table, row and field
    are named; it was changed, put in or removed past the program.

    That chain and witness were not both put back from an old copy, an anchor proves, which another body keeps.

    Example: erios audit verify --anchor /media/dpo/2026-11.anchor
    """
    settings = load_settings()
    kept = [read_anchor(path) for path in anchors or ()]
    times = [stamped_at(settings, anchor) for anchor in kept]
    verification = verify_record(settings, kept)
    if as_json:
        write_json(asdict(verification))
    if verification.faults:
        for fault in verification.faults[1:] if not as_json else ():
            answer().print(fault)
        more = f" (and {len(verification.faults) - 1} more faults)" if len(verification.faults) > 1 else ""
        what = "governance database is not as the audit chain tells" if verification.rows else "audit chain is damaged"
        raise StorageError(f"the {what}: {verification.faults[0]}{more}; keep it as it is and find out why")
    if not as_json:
        for line in (_whole(verification.events, verification.seal), *map(_anchored, kept, times)):
            answer().print(line)


def _whole(events: int, seal: str) -> str:
    if events:
        return f"The audit chain is whole: {events} events, last seal {seal}."
    return f"The audit chain is empty: nothing is on record in {load_settings().home}."


def _anchored(anchor: Anchor, time: datetime | None) -> str:
    by = f"time-stamped {time.astimezone(UTC).isoformat(timespec='seconds')}" if time else "without a time-stamp"
    return f"It holds the {anchor.events} events of the anchor of {anchor.made}, {by}."


@app.command()
def anchor(file: Annotated[Path, typer.Argument(help="The new file; it holds no word of what was decided.")]) -> None:
    """Write the chain's end into a file for another body to keep, time-stamped where `[anchor]` names an authority.

    Who can write both zones can put chain and witness back from one old copy, and they fit each other. Hand the file to
    somebody who keeps it elsewhere: the DPO, a notary, an archive. `erios audit verify --anchor` then finds it out.

    Example: erios audit anchor /media/dpo/2026-11.anchor
    """
    made = anchor_record(load_settings(), file)
    stamped = (
        "time-stamped" if made.timestamp else "without a time-stamp, since anchor.timestamp_url names no authority"
    )
    answer().print(f"{file} anchors {made.events} events, last seal {made.seal}, {stamped}.")
    answer().print("Give it to a body that cannot write here; it needs no secrecy.")


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
