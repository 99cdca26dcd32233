"""The messages between a browser and a kernel that may pass, and in which form.

Owns the list, by Jupyter's messaging protocol. Each is read as JSON and written anew; what comes with it as bytes does
not pass, nor do messages by which a notebook's extension speaks to its other half in the browser (comm). A kernel's
come as JSON; to the browser, which speaks nothing else, they go as frames of protocol v1.

Sources: https://jupyter-client.readthedocs.io/en/stable/messaging.html and
https://jupyter-server.readthedocs.io/en/latest/developers/websocket-protocols.html
"""

from __future__ import annotations

import json
from itertools import accumulate, pairwise
from typing import Any

from experiments.workspaces.shown_output import clean_data

_ASKED = {
    "shell": {
        *("execute_request", "inspect_request", "complete_request", "history_request", "is_complete_request"),
        *("comm_info_request", "kernel_info_request"),
    },
    "control": {"interrupt_request", "shutdown_request", "kernel_info_request"},
    "stdin": {"input_reply"},
}
_ANSWERED = {
    "shell": {
        *("execute_reply", "inspect_reply", "complete_reply", "history_reply", "is_complete_reply"),
        *("comm_info_reply", "kernel_info_reply"),
    },
    "control": {"interrupt_reply", "shutdown_reply", "kernel_info_reply"},
    "stdin": {"input_request"},
    "iopub": {
        *("status", "stream", "execute_input", "execute_result", "display_data", "update_display_data"),
        *("error", "clear_output"),
    },
}
WORK = {"execute_request", "complete_request", "inspect_request", "input_reply"}
"""What says that somebody is at work."""
PROTOCOL = "v1.kernel.websocket.jupyter.org"
_NAMES = ("header", "parent_header", "metadata", "content")
_FIELDS, _MOST_PARTS = len(_NAMES), 64
_PAYLOAD = {"page", "set_next_input"}


def from_browser(frame: bytes) -> dict[str, Any] | None:
    """The message in a browser's frame; None if it may not pass."""
    count = int.from_bytes(frame[:8], "little")
    if not _FIELDS + 2 <= count <= _MOST_PARTS:
        return None
    offsets = [int.from_bytes(frame[8 * place : 8 * place + 8], "little") for place in range(1, count + 1)]
    channel, *parts = (frame[start:end] for start, end in pairwise(offsets))
    try:
        fields = dict(zip(_NAMES, map(json.loads, parts), strict=False))
        message = {**fields, "channel": channel.decode()}
    except (ValueError, RecursionError):
        return None
    return _checked(message, _ASKED)


def is_work(message: dict[str, Any]) -> bool:
    """Does a message from a browser say that somebody is at work?"""
    return message["header"]["msg_type"] in WORK


def from_kernel(frame: str) -> bytes | None:
    """A kernel's message as a browser's frame, in the forms that may be shown; None if it may not pass."""
    try:
        message = _checked(json.loads(frame), _ANSWERED)
    except (ValueError, RecursionError):
        return None
    if message is None:
        return None
    content = message["content"]
    if "data" in content:
        content["data"] = clean_data(content["data"])
    if "payload" in content:
        content["payload"] = _clean_payload(content["payload"])
    return _frame(message)


def _frame(message: dict[str, Any]) -> bytes:
    parts = [message["channel"].encode(), *(json.dumps(message.get(name) or {}).encode() for name in _NAMES)]
    offsets = list(accumulate(map(len, parts), initial=8 * (len(parts) + 2)))
    return b"".join(number.to_bytes(8, "little") for number in (len(offsets), *offsets)) + b"".join(parts)


def _clean_payload(payload: Any) -> list[Any]:
    """The old way for a kernel to show pages: in the forms that may be shown."""
    listed = payload if isinstance(payload, list) else []
    kept = [each for each in listed if isinstance(each, dict) and each.get("source") in _PAYLOAD]
    return [{**each, "data": clean_data(each["data"])} if "data" in each else each for each in kept]


def _checked(message: Any, allowed: dict[str, set[str]]) -> dict[str, Any] | None:
    """The fields of a message that may pass, and no others."""
    try:
        kind, channel = message["header"]["msg_type"], message["channel"]
        fits = isinstance(message["content"], dict) and kind in allowed.get(channel, ())
    except (KeyError, TypeError):
        return None
    return {name: message.get(name) or {} for name in (*_NAMES, "channel")} if fits else None
