"""The portal as processes: its database made ready, the web server, the worker of background work.

Owns the order of starting: settings and keyring first, then the chain, then Django and its migrations.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from erios.errors import BusyError, UsageError
from erios.settings import Settings, load_settings

if TYPE_CHECKING:
    from erios.accounts.models import User

_log = logging.getLogger(__name__)


def open_database(*, migrate: bool = False) -> Settings:
    """Make Django ready in this process; on SQLite, or when asked, bring the database's tables up to date.

    Raises UsageError when a server's database has not been migrated, KeyringError, StorageError.
    """
    from erios.audit import make
    from erios.keys import read_key

    settings = load_settings()
    read_key(settings.keyring)  # a home that was never set up, or is mistyped, stays as it is
    settings.make_zones()
    make(settings)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "erios.site")
    import django

    django.setup()
    if _is_behind():
        if settings.database and not migrate:
            raise UsageError("the governance database is not up to date: run `erios portal --migrate`")
        _migrate()
    return settings


def _is_behind() -> bool:
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def _migrate() -> None:
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)
    call_command("createcachetable", verbosity=0)


def operator() -> User:
    """The account of the person at the keyboard, by login; UsageError without one."""
    from erios.accounts.models import User
    from erios.operators import current_operator

    login = current_operator()
    found = User.objects.filter(username=login, is_active=True).first()
    if found is None:
        raise UsageError(f"no open account '{login}' in the portal: an administrator makes one with your login")
    return found


def make_administrator(login: str, password: str) -> User:
    """The first administrator."""
    from django.contrib.auth.password_validation import validate_password
    from django.core.exceptions import ValidationError

    from erios.accounts.actions import make_first_administrator

    try:
        validate_password(password)
    except ValidationError as error:
        raise UsageError(f"this password will not do: {' '.join(error.messages)}") from None
    return make_first_administrator(login=login, password=password)


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


ROUND = 5.0
"""Seconds between two looks at live runs: a run that has lost its right stands still no later."""


@contextmanager
def rounds(every: float = ROUND) -> Iterator[None]:
    """Make a round now, then one ``every`` so many seconds beside what the caller does."""
    done = Event()
    walker = Thread(target=_walk, args=(done, every), daemon=True)
    make_round()
    walker.start()
    try:
        yield
    finally:
        done.set()
        walker.join()


def _walk(done: Event, every: float) -> None:
    from django.db import connections

    while not done.wait(every):
        make_round()
        connections.close_all()


def make_round() -> None:
    """Let expire what is over, and close or stop runs; what fails is logged and tried again in the next round."""
    from erios.workflows.tracking import share_runs
    from erios.workflows.train import follow

    for step in (nightly, follow, share_runs):
        try:
            step()
        except Exception as error:
            _log.error("%s failed: %s", step.__name__, type(error).__name__)


def nightly() -> None:
    """Let studies and extracts expire whose end has passed."""
    from django.utils import timezone

    from erios.studies.actions import expire_studies
    from erios.studies.extract_actions import expire_extracts

    expire_studies(today=timezone.localdate())
    expire_extracts(today=timezone.localdate())
