"""``erios codes``: the code lists that decide which codes may be read in the warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from erios.cli.output import AsJson, answer, command_group, print_table, write_json
from erios.settings import load_settings
from erios.workflows.codes import adopt as adopt_codes
from erios.workflows.codes import code_lists, list_local_codes, load_code_lists
from etl.terminology.code_lists import ListEntry

app = command_group("Load code lists; see and adopt the hospital's own codes.")

NEXT_STEP = "New loads use it; `erios etl rebuild` puts it into the tables that are there."


@app.command()
def load(
    files: Annotated[list[Path], typer.Argument(help="FHIR CodeSystem or ValueSet, ClaML, Loinc.csv, ATIH, CSV.")],
    system: Annotated[str, typer.Option("--system", help="The code system's URL, where the file does not say.")] = "",
    version: Annotated[str, typer.Option("--version", help="The list's version, where the file does not say.")] = "",
    as_json: AsJson = False,
) -> None:
    """Take code lists from the files that their publishers give; each replaces the earlier one of its system.

    Example: erios codes load Loinc.csv cim10.ndjson --version 2026
    """
    _show(load_code_lists(load_settings(), files, system, version), as_json)


@app.command("lists")
def lists(as_json: AsJson = False) -> None:
    """The code lists that were loaded or adopted.

    Example: erios codes lists
    """
    _show(code_lists(load_settings()), as_json)


@app.command()
def local(
    system: Annotated[str, typer.Argument(help="A code system; all without it.")] = "", as_json: AsJson = False
) -> None:
    """The codes of the last release that are in no list, the most frequent first: clear text, so it is put on record.

    Example: erios codes local http://chu.example/labo
    """
    found = list_local_codes(load_settings(), system)
    if as_json:
        write_json([asdict(code) for code in found])
        return
    lines = [(c.system, c.code, c.label or "", f"{c.rows:,}", f"{c.patients:,}") for c in found]
    print_table("Local codes", ("system", "code", "label at the source", "rows", "patients"), lines, numbers=2)


@app.command()
def adopt(
    system: Annotated[str, typer.Argument(help="The code system whose codes become readable.")],
    code: Annotated[list[str] | None, typer.Option("--code", help="This code; may be given again.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="The hospital's list: CSV with code and display.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make the hospital's own codes readable: those of at least eleven patients that read like no person.

    Example: erios codes adopt urn:erios:location.name
    """
    _show([adopt_codes(load_settings(), system, code or (), file)], as_json)


def _show(entries: Sequence[ListEntry], as_json: bool) -> None:
    if as_json:
        write_json([asdict(entry) for entry in entries])
        return
    lines = [(e.system, e.version, e.origin, e.loaded[:10], f"{e.codes:,}") for e in entries]
    print_table("Code lists", ("system", "version", "from", "loaded", "codes"), lines, numbers=1)
    answer().print(NEXT_STEP)
