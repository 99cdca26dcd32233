"""The team's tracking server beside governance: who is on a study's team sees its runs, and nobody else.

Owns the order: accounts and permissions are as governance has them before the server answers, and follow it after.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from erios.keys import derive_key
from erios.workflows.database import open_database
from erios.workflows.periodic import rounds
from erios.workflows.tracking_access import server_of
from experiments.server import command, environment, make_ready


def serve(host: str, port: int, workers: int) -> int:
    """Run the server until it is told to end; answers its exit code."""
    settings = open_database()
    server = server_of(settings)
    make_ready(server)
    key = derive_key(settings.keyring, b"erios tracking forms").secret.hex()
    process = subprocess.Popen(
        command(server, host, port, workers), env=environment(server, key), start_new_session=True
    )
    with rounds(), _ending(process):
        return process.wait()


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
