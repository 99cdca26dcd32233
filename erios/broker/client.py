"""The researcher's side: hand a command line, the terminal and the bundle's files to the broker, and wait.

Owns what is sent. The files of a bundle are read here, with the rights of the person; so is the place where a password
is written.
"""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from erios.broker.bundle_archive import pack_bundle
from erios.broker.commands import WITH_BUNDLE, WITH_CREDENTIALS, check_arguments, command_of, join_texts
from erios.broker.credentials import write_credentials
from erios.broker.request import INTERRUPT, Answer, Request, receive_answer, send_request, terminal_of
from erios.errors import MachineError


def is_brokered(arguments: Sequence[str], path: Path | None) -> bool:
    """The command is one that the broker runs, and whoever calls it is not the broker's account."""
    return path is not None and command_of(arguments) is not None and not _is_own(path)


def _is_own(path: Path) -> bool:
    try:
        return path.stat().st_uid == os.geteuid()
    except OSError:
        return False


def forward(arguments: Sequence[str], path: Path) -> Answer:
    """Let the broker run it, on this terminal. UsageError, MachineError."""
    with tempfile.TemporaryFile() as attached:
        asked, name = _attach(join_texts(arguments), attached)
        command = check_arguments(asked)
        answer = _ask(Request(asked, terminal_of(dict(os.environ)), name), path, attached)
        if command != WITH_CREDENTIALS or answer.code:
            return answer
        attached.seek(0)
        written = write_credentials(attached.read())
        return Answer(0, f"{written} holds your new password; an earlier one holds no longer.")


def is_listening(path: Path) -> bool:
    """A broker takes connections at this socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        try:
            connection.connect(str(path))
        except OSError:
            return False
    return True


def _attach(arguments: list[str], target: IO[bytes]) -> tuple[list[str], str]:
    """The command line as the broker may read it, and the argument that the file stands for."""
    command = command_of(arguments)
    if command == WITH_CREDENTIALS:
        return arguments, arguments[-1]
    if command != WITH_BUNDLE:
        return arguments, ""
    for position, argument in enumerate(arguments[1:], start=1):
        folder = Path(argument)
        if not argument.startswith("-") and not arguments[position - 1].startswith("--") and folder.is_dir():
            name = folder.resolve().name
            pack_bundle(folder.resolve(), target)
            target.seek(0)
            return [*arguments[:position], name, *arguments[position + 1 :]], name
    return arguments, ""


def _ask(request: Request, path: Path, attached: IO[bytes]) -> Answer:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            files = [0, 1, 2, *([attached.fileno()] if request.attached else [])]
            send_request(connection, request, files)
            with _interrupts(lambda: connection.sendall(INTERRUPT)):
                answer = receive_answer(connection)
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or type(error).__name__
        raise MachineError(f"the broker at {path} does not answer ({what}): ask the workbench's operators") from None
    if answer is None:
        raise MachineError("the broker ended before the command did: ask the workbench's operators")
    return answer


@contextmanager
def _interrupts(pass_on: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C is for the command that the broker runs."""
    before = signal.signal(signal.SIGINT, lambda *_: pass_on())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
