"""What the demonstration serves, on this machine alone: portal and tracking server, each a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from erios.errors import MachineError

PATIENCE = 120.0
"""Seconds until a server must answer."""


@dataclass(frozen=True)
class Addresses:
    """Where the servers answer."""

    portal: str
    tracking: str


@contextmanager
def served() -> Iterator[Addresses]:
    """Both servers, until the block ends, by SIGTERM too. Raises MachineError when one does not come up."""
    portal, tracking = free_port(8000), free_port(5000)
    with (
        _ended_by_term(),
        _process("portal", portal) as portal_process,
        _process("tracking serve", tracking) as tracking_process,
    ):
        _await(portal_process, portal, "the portal")
        _await(tracking_process, tracking, "the tracking server")
        yield Addresses(f"http://localhost:{portal}", f"http://localhost:{tracking}")


@contextmanager
def _ended_by_term() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does: the servers are in groups of their own and would outlive us."""

    def end(*_signal: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def free_port(wanted: int) -> int:
    """The port if nobody listens on it, else one that the system gives."""
    for port in (wanted, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise MachineError("no port of this machine is free to listen on")


@contextmanager
def _process(command: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A command of ours in a group of its own, without the second factor: these accounts live as long as the demo."""
    environment = {**os.environ, "ERIOS_PORTAL__SECOND_FACTOR": "false"}
    program = [sys.executable, "-m", "erios", *command.split(), "--port", str(port)]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(program, env=environment, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await(process: subprocess.Popen[bytes], port: int, name: str) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.2)
    raise MachineError(f"{name} did not come up on port {port}: start it by itself to see why")
