"""``erios workspace``: JupyterLab for a study, behind the wall."""

from __future__ import annotations

from typing import Annotated

import typer

from erios.cli.output import AsJson, answer, command_group, print_rows, screen, write_json
from erios.errors import UsageError
from erios.studies.models import Workspace
from erios.studies.workspace_actions import TOKEN_S, close_workspace
from erios.studies.workspace_selectors import find_workspace, visible_workspaces
from erios.workflows.database import open_database, operator
from erios.workflows.portal import check_free
from erios.workflows.workspace_server import serve as serve_workspaces
from erios.workflows.workspaces import way_in

app = command_group("JupyterLab on a released extract of your study: behind a wall, on record, nothing leaves.")


@app.command("open")
def open_(
    extract: Annotated[str, typer.Argument(metavar="EXTRACT", help="The released extract's number.")],
    as_json: AsJson = False,
) -> None:
    """Give yourself a way into your workspace on an extract: an address that opens it once, for half a minute.

    Example: erios workspace open E2031-007-X01
    """
    open_database()
    workspace, address = way_in(extract, operator())
    if as_json:
        write_json({**_summary(workspace), "address": address, "seconds": TOKEN_S})
        return
    screen().print(f"Workspace {workspace.number}: open this address in your browser within {TOKEN_S} seconds.")
    answer().print(address)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Your workspaces, or all of them for those who guard the data; newest first.

    Example: erios workspace list
    """
    open_database()
    columns = ("workspace", "extract", "person", "state", "asked", "ended", "bytes", "refused", "reason")
    print_rows("Workspaces", columns, [_summary(each) for each in visible_workspaces(operator())], as_json=as_json)


@app.command()
def close(
    number: Annotated[str, typer.Argument(metavar="WORKSPACE", help="The workspace's number.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, where it is not your own.")] = "",
) -> None:
    """Close a workspace: everything in it ends within seconds, and the study's folder keeps its state.

    Example: erios workspace close E2031-007-W0001
    """
    open_database()
    workspace, by = find_workspace(number), operator()
    if workspace.by != by and not reason.strip():
        raise UsageError("say why you close the workspace of somebody else: --reason TEXT")
    close_workspace(workspace=workspace, by=by, reason=reason.strip() or "its owner closed it")
    screen().print(f"Workspace {number} is closed.")


@app.command()
def serve(
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="The port to listen on.")] = 8010,
) -> None:
    """Serve workspaces until Ctrl-C, which closes them all. Put it behind the hospital's HTTPS, on names of its own.

    Example: erios workspace serve --port 8010
    """
    check_free(host, port)
    screen().print(f"Workspaces answer at http://{host}:{port}; Ctrl-C ends them.")
    serve_workspaces(host, port)


def _summary(workspace: Workspace) -> dict[str, object]:
    return {
        "workspace": workspace.number,
        "extract": workspace.extract.number,
        "person": workspace.by.username,
        "state": workspace.state.removeprefix("workspace "),
        "asked": workspace.created.isoformat(timespec="seconds"),
        "ended": workspace.ended.isoformat(timespec="seconds") if workspace.ended else "",
        "bytes": workspace.out,
        "refused": workspace.refused,
        "reason": workspace.reason,
    }
