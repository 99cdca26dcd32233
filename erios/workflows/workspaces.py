"""Workspaces asked for and closed, by the portal and by the command line; what runs is in ``workspace_server``.

Owns the order: the record says that somebody may enter before there is a way in.
"""

from __future__ import annotations

import secrets
import socket
from urllib.parse import urlsplit

from erios.accounts.models import User
from erios.errors import MachineError
from erios.settings import Settings, load_settings
from erios.studies.extract_selectors import find_extract
from erios.studies.models import Workspace
from erios.studies.workspace_actions import ask_workspace
from experiments.sandbox.bubblewrap import obstacle
from experiments.workspaces.place import ENTRY, digest, draw_label

_PATIENCE = 3.0


def way_in(extract: str, by: User) -> tuple[Workspace, str]:
    """A person's workspace on an extract, and the address that opens it once, for some seconds.

    Raises RuleBroken, and MachineError where nothing would answer there.
    """
    settings = load_settings()
    if sentence := obstacle():
        raise MachineError(sentence)
    if not is_served(settings):
        raise MachineError("no server of workspaces answers: start it with `erios workspace serve`")
    token = secrets.token_urlsafe(32)
    workspace = ask_workspace(
        extract=find_extract(extract),
        by=by,
        label=draw_label(),
        token=digest(token),
        most=settings.workspace.day_mb << 20,
    )
    return workspace, f"{settings.workspace.address.replace('*', workspace.label)}{ENTRY}?token={token}"


def is_served(settings: Settings) -> bool:
    """Does anything answer where workspaces are?"""
    address = urlsplit(settings.workspace.address.replace("*", "open"))
    port = address.port or (443 if address.scheme == "https" else 80)
    host = "127.0.0.1" if settings.workspace.domain == "localhost" else address.hostname or ""
    try:
        with socket.create_connection((host, port), timeout=_PATIENCE):
            return True
    except OSError:
        return False
