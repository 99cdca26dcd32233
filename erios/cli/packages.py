"""``erios packages``: the mirror from which workspaces install."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from erios.cli.output import AsJson, command_group, print_rows, screen
from erios.workflows.database import open_database, operator
from erios.workflows.packages import add_package, list_packages

app = command_group("The packages that workspaces may install: put there by a data manager, looked through, on record.")


@app.command()
def add(
    wheels: Annotated[list[Path], typer.Argument(metavar="WHEEL...", help="Files (.whl) that you have fetched.")],
    licence: Annotated[str, typer.Option("--licence", help="The licence, of wheels that name none.")] = "",
    native: Annotated[
        bool, typer.Option("--native", help="Take wheels with machine code: you answer for where they come from.")
    ] = False,
) -> None:
    """Put wheels into the mirror, once each is what its own list says and holds nothing that runs by itself.

    Example: erios packages add lifelines-0.30.0-py3-none-any.whl
    """
    settings, by = open_database(), operator()
    for path in wheels:
        wheel = add_package(path, by, settings, licence=licence, native=native)
        screen().print(f"{wheel.name} {wheel.version} is in the mirror ({wheel.licence}, SHA-256 {wheel.digest[:12]}).")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """What the mirror holds.

    Example: erios packages list
    """
    columns = ("name", "version", "licence", "native", "digest")
    print_rows("Packages", columns, list(list_packages(open_database())), as_json=as_json)
