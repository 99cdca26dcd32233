"""The portal as processes: its database made ready, the web server, the worker of background work.

Owns the order of starting: settings and keyring first, then the chain, then Django and its migrations.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from erios.errors import BusyError
from erios.workflows.database import open_database
from erios.workflows.periodic import rounds


def check_free(host: str, port: int) -> None:
    """BusyError when something else answers at this address."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise BusyError(f"{host}:{port} cannot be used ({error.strerror}): give another --host or --port") from None


def serve(host: str, port: int, *, threads: int = 8, processes: int = 1) -> None:
    """Run the portal until it is stopped, with a worker for background work beside it."""
    open_database()
    with _worker_beside():
        _server({"bind": f"{host}:{port}", "workers": processes, "threads": threads}).run()


def _server(options: dict[str, Any]) -> Any:
    from gunicorn.app.base import BaseApplication

    class Server(BaseApplication):  # type: ignore[misc]
        """gunicorn, told what to do by us and by no file."""

        def load_config(self) -> None:
            quiet = {
                "worker_class": "gthread",
                "accesslog": None,
                "loglevel": "warning",
                "control_socket_disable": True,
            }
            for name, value in {**quiet, **options}.items():
                if name in self.cfg.settings:
                    self.cfg.set(name, value)

        def load(self) -> Any:
            from gunicorn.util import import_app

            return import_app("erios.portal.wsgi:application")

    return Server()


@contextmanager
def _worker_beside() -> Iterator[None]:
    worker = subprocess.Popen([sys.executable, "-m", "erios", "worker"])
    try:
        yield
    finally:
        worker.send_signal(signal.SIGINT)
        worker.wait(timeout=30)


def work(*, until_empty: bool = False) -> None:
    """Do background work, letters and builds of extracts; watch over runs; and do what is due every night."""
    from django.core.management import call_command

    open_database()
    with rounds():
        call_command("db_worker", verbosity=0, interval=2, batch=until_empty)
