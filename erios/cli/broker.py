"""``erios broker``: run commands for people whose own accounts read no zone."""

from __future__ import annotations

import signal
from types import FrameType

from erios.broker.server import Broker
from erios.cli.output import command_group, screen
from erios.errors import UsageError
from erios.settings import load_settings

app = command_group("Commands of people whose own accounts on this machine read no zone.")


@app.command()
def serve() -> None:
    """Run commands of whoever asks at the socket of the setting `broker`, each as the account that the kernel names.

    Example: erios broker serve
    """
    path = load_settings().broker
    if path is None:
        raise UsageError("name the socket in the setting `broker`, such as /run/erios/broker")
    broker = Broker(path)

    def end(_signal: int, _frame: FrameType | None) -> None:
        broker.close()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    screen().print(f"The broker answers at {path}; Ctrl-C ends it.")
    broker.serve()
