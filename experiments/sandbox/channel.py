"""One inherited socket between a training and the process that watches it: lines in, lines out.

Owns framing and its limits. A peer that sends an endless line, or never reads, is not waited for.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

from pydantic import BaseModel

from experiments.errors import SandboxError
from experiments.sandbox.messages import MOST_BYTES


class Channel:
    """``lines`` gives what has arrived whole; ``is_open`` is False once the peer has closed its end.

    ``patience``: seconds in which the peer must take a message; None: as long as it likes. ``received``: bytes.
    """

    def __init__(self, connection: socket.socket, patience: float | None = None) -> None:
        self._socket = connection
        self._socket.settimeout(patience)
        self._rest = b""
        self.received = 0
        self.is_open = True

    def fileno(self) -> int:
        """For ``select``."""
        return self._socket.fileno()

    def send(self, message: BaseModel) -> None:
        """Send a message; OSError if the peer is gone or does not read."""
        self._socket.sendall(message.model_dump_json().encode() + b"\n")

    def lines(self, patience: float | None) -> Iterator[bytes]:
        """Lines that arrive within ``patience`` seconds (None: wait); SandboxError for one that is too long."""
        if not select.select([self._socket], [], [], patience)[0]:
            return
        try:
            chunk = self._socket.recv(2**16)
        except (ConnectionError, TimeoutError):
            chunk = b""
        self.is_open = bool(chunk)
        self.received += len(chunk)
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MOST_BYTES:
            raise SandboxError(f"the training broke the protocol (a message of more than {MOST_BYTES} bytes)")
        yield from whole

    def close(self) -> None:
        """The peer sees the end."""
        self._socket.close()
