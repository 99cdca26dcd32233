"""The broker's side: a Unix socket, and one process of the workbench's account for each request.

Owns the socket and what a process gets: the person's terminal, a folder of its own, no variable but the broker's and
the terminal's, and the connection, by which the kernel tells it for whom it works. It ends when its person leaves.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from erios.broker.commands import check_arguments
from erios.broker.request import INTERRUPT, Answer, Request, close_all, receive_request, send_answer
from erios.errors import BusyError, EriosError, StorageError
from erios.operator_login import login_of, peer_of

RUNNER = "erios.cli.brokered"
PATIENCE, GRACE = 10.0, 15.0
"""Seconds for a request to come, and for a command to end once its person has left."""
MOST, MOST_OF_ONE = 64, 8
"""Commands at once, of all and of one person."""


class Broker:
    """Listens at ``path`` until it is closed; anybody who may open the socket is served, by the kernel's word."""

    def __init__(self, path: Path) -> None:
        self._socket = _listen(path)
        self._path = path
        self._running: Counter[int] = Counter()
        self._lock = threading.Lock()

    def serve(self) -> None:
        """Until ``close``."""
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_one, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """No further request; commands at work go on."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _serve_one(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            try:
                answer = self._answer(connection)
            except EriosError as refusal:
                answer = Answer(refusal.exit_code, refusal.sentence)
            send_answer(connection, answer)

    def _answer(self, connection: socket.socket) -> Answer:
        with self._place(peer_of(connection)):
            connection.settimeout(PATIENCE)
            request, files = receive_request(connection)
            connection.settimeout(None)
            try:
                check_arguments(request.arguments)
                return _run(request, files, connection)
            finally:
                close_all(files)

    @contextmanager
    def _place(self, uid: int) -> Iterator[None]:
        """A place among those who are served; BusyError."""
        with self._lock:
            if self._running[uid] >= MOST_OF_ONE or self._running.total() >= MOST:
                raise BusyError(f"the broker runs {MOST_OF_ONE} commands of {login_of(uid)}, or {MOST} in all; wait")
            self._running[uid] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[uid] -= 1


def _listen(path: Path) -> socket.socket:
    """A socket that everybody may open, in a folder that the broker's account alone may write; StorageError."""
    listening = socket.socket(socket.AF_UNIX)
    try:
        if path.is_socket():
            path.unlink()
        listening.bind(str(path))
        path.chmod(0o666)
        listening.listen(MOST)
    except OSError as error:
        listening.close()
        raise StorageError(f"cannot listen at {path}: {error.strerror}") from None
    return listening


def _run(request: Request, files: Sequence[int], connection: socket.socket) -> Answer:
    """The command in a process of its own, until it ends or its person is gone.

    Python finds no module where it works (``-P``): files of the person may lie in the folder that it unpacks to.
    """
    with tempfile.TemporaryDirectory(prefix="erios-broker-") as folder:
        attached = str(files[3]) if request.attached else "-"
        line = [sys.executable, "-P", "-m", RUNNER, str(connection.fileno()), folder, attached, request.attached]
        process = subprocess.Popen(
            [*line, *request.arguments],
            stdin=files[0],
            stdout=files[1],
            stderr=files[2],
            pass_fds=[connection.fileno(), *files[3:]],
            cwd="/",
            env={**os.environ, **request.variables},
            start_new_session=True,
        )
        code = _wait(process, connection)
        return Answer(code if code >= 0 else 128 - code)


def _wait(process: subprocess.Popen[bytes], connection: socket.socket) -> int:
    """The process's exit code; Ctrl-C is passed on, and who leaves has hung up."""
    ended = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as waiting:
            waiting.register(ended, selectors.EVENT_READ)
            waiting.register(connection, selectors.EVENT_READ)
            while process.poll() is None:
                ready = {key.fd for key, _ in waiting.select()}
                if connection.fileno() in ready and ended not in ready and not _pass_on(process, connection):
                    return _end(process)
        return process.wait()
    finally:
        os.close(ended)


def _pass_on(process: subprocess.Popen[bytes], connection: socket.socket) -> bool:
    """Send the process what its person pressed; whether the person is still there."""
    pressed = connection.recv(1)
    if pressed == INTERRUPT:
        process.send_signal(signal.SIGINT)
    return bool(pressed)


def _end(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGHUP)
    try:
        return process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
