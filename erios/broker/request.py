"""What a researcher's side asks of the broker: one message with open files, and one answer.

Owns their form and its limits. Both sides use it; the broker takes nothing of it on trust but that it fits the form.
"""

from __future__ import annotations

import json
import re
import socket
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from erios.errors import UsageError

LARGEST = 64 * 1024
"""Bytes of a message."""
MOST_ARGUMENTS = 200
INTERRUPT = b"I"
"""Sent after the request: Ctrl-C, for the command."""
_HEAD = struct.Struct("!I")
_VARIABLES = ("TERM", "COLUMNS", "LINES", "LANG", "LC_ALL", "NO_COLOR")
"""What a terminal tells the command that writes on it."""
_VALUE = re.compile(r"[\w.:@-]{0,64}", re.ASCII)
"""No path: a locale or a terminal could be read from one."""


@dataclass(frozen=True)
class Request:
    """A command line without the program's name.

    ``attached``: what comes as a file after the three of the terminal, by the argument that it stands for; or nothing.
    """

    arguments: Sequence[str]
    variables: dict[str, str] = field(default_factory=dict)
    attached: str = ""


@dataclass(frozen=True)
class Answer:
    """The command's exit code, and a sentence where the broker itself refused."""

    code: int
    sentence: str = ""


def terminal_of(environ: dict[str, str]) -> dict[str, str]:
    """The variables of the terminal that fit the form."""
    return {name: environ[name] for name in _VARIABLES if name in environ and _VALUE.fullmatch(environ[name])}


def send_request(connection: socket.socket, request: Request, files: Sequence[int]) -> None:
    """The message, with these open files: standard input, output, error, and the attached one."""
    text = json.dumps(asdict(request)).encode()
    if len(text) > LARGEST:
        raise UsageError("this command line is too long for the broker")
    socket.send_fds(connection, [_HEAD.pack(len(text))], list(files))
    connection.sendall(text)


def receive_request(connection: socket.socket) -> tuple[Request, list[int]]:
    """The message and the files that came with it, which are the caller's to close; UsageError, with none left open."""
    head, files, _flags, _address = socket.recv_fds(connection, _HEAD.size, 4)
    try:
        (size,) = _HEAD.unpack(head) if len(head) == _HEAD.size else (0,)
        request = _request(_exactly(connection, size)) if 0 < size <= LARGEST else None
        if request is None or len(files) != 3 + bool(request.attached):
            raise UsageError("no request of this version of the workbench")
    except BaseException:
        close_all(files)
        raise
    return request, files


def _request(text: bytes) -> Request | None:
    """The request, if every part of it has the form."""
    try:
        value = json.loads(text)
        request = Request(value["arguments"], value["variables"], value["attached"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    arguments, variables = request.arguments, request.variables
    if not isinstance(arguments, list) or not isinstance(variables, dict) or len(arguments) > MOST_ARGUMENTS:
        return None
    if not all(isinstance(each, str) for each in arguments) or request.attached not in ("", *arguments):
        return None
    texts = all(isinstance(each, str) for pair in variables.items() for each in pair)
    return request if texts and terminal_of(variables) == variables else None


def send_answer(connection: socket.socket, answer: Answer) -> None:
    """The last thing that the broker says."""
    text = json.dumps(asdict(answer)).encode()
    connection.sendall(_HEAD.pack(len(text)) + text)


def receive_answer(connection: socket.socket) -> Answer | None:
    """What the broker said last; None if it ended without a word."""
    head = _exactly(connection, _HEAD.size)
    text = _exactly(connection, _HEAD.unpack(head)[0]) if len(head) == _HEAD.size else b""
    return Answer(**json.loads(text)) if text else None


def _exactly(connection: socket.socket, size: int) -> bytes:
    """So many bytes, or fewer if the other side ends before."""
    text = b""
    while len(text) < size and (piece := connection.recv(size - len(text))):
        text += piece
    return text


def close_all(files: Sequence[int]) -> None:
    """Close files that nobody reads."""
    for number in files:
        socket.close(number)
