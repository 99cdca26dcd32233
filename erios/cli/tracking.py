"""``erios tracking``: the team's MLflow server."""

from __future__ import annotations

from typing import Annotated

import typer

from erios.cli.output import command_group, screen
from erios.workflows.portal import check_free
from erios.workflows.tracking import serve as serve_tracking
from erios.workflows.tracking_access import log_in

app = command_group("The team's MLflow server: runs of a study are seen by its team, and by nobody else.")


@app.command()
def serve(
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="The port to listen on.")] = 5000,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes that answer.")] = 2,
) -> None:
    """Serve runs, figures and models until Ctrl-C. Put it behind the hospital's HTTPS; name it as `tracking_uri`.

    Example: erios tracking serve --port 5000
    """
    check_free(host, port)
    screen().print(f"The tracking server answers at http://{host}:{port}; Ctrl-C ends it.")
    raise typer.Exit(serve_tracking(host, port, workers, screen().print))


@app.command()
def login() -> None:
    """Give yourself a new password for the server, written to ~/.mlflow/credentials, where MLflow looks for it.

    Example: erios tracking login
    """
    screen().print(f"{log_in()} holds your new password; an earlier one holds no longer.")
