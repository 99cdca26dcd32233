"""``erios worker``: background work of the portal."""

from __future__ import annotations

from typing import Annotated

import typer

from erios.workflows.portal import work

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def worker(
    until_empty: Annotated[bool, typer.Option("--until-empty", help="End when nothing is left to do.")] = False,
) -> None:
    """Send letters and do other background work of the portal, until Ctrl-C. `erios portal` starts one by itself.

    Example: erios worker --until-empty
    """
    work(until_empty=until_empty)
