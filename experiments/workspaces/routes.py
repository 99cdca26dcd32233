"""What a browser may ask of a workspace: the routes of JupyterLab that are open, and nothing else.

Owns the list. A route that is not named here is refused, whatever JupyterLab comes to offer; so are the download of
files, conversions, terminals and extensions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from yarl import URL


class Kind(StrEnum):
    """How an open route is answered."""

    PAGE = "page"
    """The page that was taken when nothing of anybody's had run inside."""
    FILE = "file"
    """JupyterLab's own file, read outside of the sandbox."""
    JSON = "json"
    """Asked inside; what comes back must be JSON."""
    CHANNELS = "channels"
    """A kernel's messages, over a WebSocket."""


_ID = r"[\w-]{1,64}"
_OPEN: tuple[tuple[Kind, str, str], ...] = (
    (Kind.PAGE, "GET", r"/lab(/tree/.*|/workspaces/.*)?"),
    (Kind.FILE, "GET", r"/static/lab/.+"),
    (Kind.FILE, "GET", r"/lab/api/themes/.+"),
    (Kind.JSON, "GET PUT POST PATCH DELETE", r"/api/contents(/.*)?"),
    (Kind.JSON, "GET POST", r"/api/(kernels|sessions)"),
    (Kind.JSON, "GET DELETE", rf"/api/kernels/{_ID}"),
    (Kind.JSON, "POST", rf"/api/kernels/{_ID}/(interrupt|restart)"),
    (Kind.JSON, "GET PATCH DELETE", rf"/api/sessions/{_ID}"),
    (Kind.JSON, "GET", r"/api/(kernelspecs|me|status)"),
    (Kind.JSON, "GET", rf"/lab/api/translations(/({_ID})?)?"),
    (Kind.JSON, "GET PUT", r"/lab/api/settings(/@?[\w.-]+/[\w.:-]+)?"),
    (Kind.JSON, "GET PUT DELETE", rf"/lab/api/workspaces(/{_ID})?"),
    (Kind.CHANNELS, "GET", rf"/api/kernels/{_ID}/channels"),
)
_QUERY = {"content", "type", "format", "hash", "session_id", "permissions"}
"""Names that a query may have; what else it says is not handed on."""
_PICTURES = (".png", ".jpg", ".jpeg", ".gif")
"""Files that come as bytes (base64); every other file comes as text or not at all."""


def route_of(method: str, path: str) -> Kind | None:
    """How this request is answered; None if it is refused. ``path``: as it was sent, percent signs and all."""
    decoded = URL.build(path=path, encoded=True).path
    if "\\" in decoded or "\0" in decoded or ".." in decoded.split("/") or "//" in decoded:
        return None
    return next(
        (kind for kind, methods, form in _OPEN if method in methods.split() and re.fullmatch(form, decoded)), None
    )


def query_of(path: str, query: Mapping[str, str]) -> dict[str, str] | None:
    """The part of a query that is handed on; None where it asks for a file's bytes."""
    kept = {name: value for name, value in query.items() if name in _QUERY}
    if kept.get("format") == "base64" and not path.lower().endswith(_PICTURES):
        return None
    return kept


def is_download(path: str) -> bool:
    """Is it a route by which JupyterLab hands files out?"""
    return path.startswith(("/files/", "/nbconvert/", "/lab/extensions/"))
