"""The team's tracking server beside governance: who is on a study's team sees its runs, and nobody else.

Owns the order: accounts and permissions are as governance has them before the server answers, and follow it after.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from erios.keys import derive_key
from erios.workflows.database import open_database
from erios.workflows.periodic import rounds
from erios.workflows.tracking_access import server_of
from experiments.server import can_isolate, command, environment, make_ready


def serve(host: str, port: int, workers: int, say: Callable[[str], object]) -> int:
    """Run the server until it is told to end; answers its exit code. ``say``: told what keeps it from calling out."""
    settings = open_database()
    server = server_of(settings)
    make_ready(server)
    isolated = can_isolate(server)
    say(_ISOLATED if isolated else _NOT_ISOLATED)
    with _listen(host, port) as listening:
        process = subprocess.Popen(
            command(listening.fileno(), workers, isolated=isolated),
            env=environment(server, derive_key(settings.keyring, b"erios tracking forms").secret.hex()),
            pass_fds=[listening.fileno()],
            start_new_session=True,
        )
    with rounds(), _ending(process):
        return process.wait()


_ISOLATED = "Its process has no network of its own (a network namespace): it can answer, and cannot call."
_NOT_ISOLATED = (
    "Its process refuses to call out, but the system does not hold it to that: its database is reached over the"
    " network, or this account may make no network namespace. Let systemd do it (conf/systemd/erios-tracking.service)."
)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


@contextmanager
def _ending(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """SIGTERM and Ctrl-C end the server with all its processes."""

    def end(*_signal: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        end()
        process.wait(30)
        signal.signal(signal.SIGTERM, before)
