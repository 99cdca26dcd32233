"""``erios portal``: the pages where studies are proposed, reviewed, decided and read."""

from __future__ import annotations

from typing import Annotated

import typer

from erios.cli.output import screen
from erios.workflows.database import make_administrator, open_database
from erios.workflows.portal import check_free, serve

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def portal(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 8000,
    processes: Annotated[int, typer.Option("--processes", min=1, help="Server processes; with SQLite, one.")] = 1,
    administrator: Annotated[
        str, typer.Option("--administrator", metavar="LOGIN", help="Make the first administrator, then end.")
    ] = "",
    migrate: Annotated[
        bool, typer.Option("--migrate", help="Bring the database's tables up to date, then end.")
    ] = False,
) -> None:
    """Serve the portal, with a worker for background work, until Ctrl-C.

    The first time: `erios portal --administrator LOGIN` asks for a password and makes the account that makes the
    others. Behind a web server that ends TLS, set `portal.hosts` and `portal.proxy`.

    Example: erios portal --port 8000
    """
    if administrator:
        open_database(migrate=True)
        password = typer.prompt("Password (12 characters or more)", hide_input=True, confirmation_prompt=True)
        make_administrator(administrator, password)
        screen().print(f"Made the administrator {administrator}. Start the portal with `erios portal`.")
        return
    if migrate:
        open_database(migrate=True)
        screen().print("The governance database is up to date.")
        return
    open_database()
    check_free(host, port)
    screen().print(f"The portal answers at http://{host}:{port}/ until Ctrl-C.")
    serve(host, port, processes=processes)
