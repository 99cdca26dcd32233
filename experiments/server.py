"""The team's MLflow server: its accounts, who sees which experiment, and how it is started.

Owns what lies in the tracking zone beside the records. Whoever has no permission sees nothing; who gets one is decided
by the roof. Passwords are drawn here, stored as MLflow's hash, and returned once, to be written to their owner's file.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.recorder import silence

if TYPE_CHECKING:
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

ADMINISTRATOR = "erios"
"""The account that owns the server; nobody has its password."""
READ, WRITE = "READ", "EDIT"
_SETTINGS = """[mlflow]
default_permission = NO_PERMISSIONS
database_uri = {accounts}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
admin_username = {administrator}
"""


@dataclass(frozen=True)
class Server:
    """``folder``: the tracking zone; ``database``: postgresql://…, or "" for SQLite files in the folder."""

    folder: Path
    database: str = ""

    @property
    def records(self) -> str:
        """SQLAlchemy's URL of runs, figures and models."""
        return _with_driver(self.database) or f"sqlite:///{self.folder / 'mlflow.db'}"

    @property
    def accounts(self) -> str:
        """SQLAlchemy's URL of accounts and permissions."""
        return _with_driver(self.database) or f"sqlite:///{self.folder / 'accounts.db'}"

    @property
    def settings(self) -> Path:
        """What MLflow reads at its start; without a secret."""
        return self.folder / "server.ini"


def _with_driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def make_ready(server: Server) -> None:
    """Make the two databases, the administrator's account and MLflow's settings, once.

    One process at a time, and before the server's own starts: MLflow makes missing tables without a lock, so that two
    of its processes at a new database collide, and one of them ends.
    """
    with _alone(server):
        store = _store(server)
        _records(server)
        if not store.has_user(ADMINISTRATOR):
            store.create_user(ADMINISTRATOR, secrets.token_urlsafe(32), is_admin=True)
        text = _SETTINGS.format(accounts=server.accounts.replace("%", "%%"), administrator=ADMINISTRATOR)
        server.settings.write_text(text, encoding="utf-8")


def is_ready(server: Server) -> bool:
    """Was the server made ready before?"""
    return server.settings.is_file()


def draw_password(server: Server, login: str) -> str:
    """A new password for an account, which is made if it is not there; the old one ends."""
    password = secrets.token_urlsafe(32)
    with _alone(server):
        store = _store(server)
        if store.has_user(login):
            store.update_user(login, password=password)
        else:
            store.create_user(login, password)
    return password


def close_account(server: Server, login: str) -> None:
    """The account and all its permissions are gone."""
    with _alone(server):
        store = _store(server)
        if store.has_user(login):
            store.delete_user(login)


def share(server: Server, wanted: Mapping[str, Mapping[str, str]]) -> None:
    """Let each experiment, by name, be seen by exactly those logins, as permitted; make those not there yet."""
    with _alone(server):
        numbers = {_experiment(server, name): people for name, people in wanted.items()}
        store = _store(server)
        for user in store.list_users():
            if not user.is_admin:
                mine = {number: people[user.username] for number, people in numbers.items() if user.username in people}
                _set(store, user.username, mine)


@contextmanager
def _alone(server: Server) -> Iterator[None]:
    """One process at a time: what MLflow looks up and what it then writes are two steps."""
    silence()
    from mlflow.utils.file_utils import ExclusiveFileLock

    with ExclusiveFileLock(str(server.folder / "accounts.lock")):
        yield


def _experiment(server: Server, name: str) -> str:
    """The number of an experiment. Its files lie under that number: by it MLflow's server knows whose they are."""
    store = _records(server)
    experiment = store.get_experiment_by_name(name)
    return str(experiment.experiment_id if experiment else store.create_experiment(name))


def _records(server: Server) -> Any:
    silence()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    make: Any = SqlAlchemyStore
    return make(server.records, "mlflow-artifacts:/")


def _set(store: SqlAlchemyStore, login: str, wanted: Mapping[str, str]) -> None:
    present = {each.experiment_id: each.permission for each in store.list_experiment_permissions(login)}
    for number in present.keys() - wanted.keys():
        store.delete_experiment_permission(number, login)
    for number, permission in wanted.items():
        if number not in present:
            store.create_experiment_permission(number, login, permission)
        elif present[number] != permission:
            store.update_experiment_permission(number, login, permission)


def _store(server: Server) -> SqlAlchemyStore:
    silence()
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    store: Any = SqlAlchemyStore()
    store.init_db(server.accounts)
    return store  # type: ignore[no-any-return]


def command(server: Server, host: str, port: int, workers: int) -> list[str]:
    """The server as a process in the foreground."""
    where = ["--host", host, "--port", str(port), "--workers", str(workers)]
    kept = ["--backend-store-uri", server.records, "--artifacts-destination", str(server.folder / "artifacts")]
    return [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", *where, *kept]


def environment(server: Server, key: str) -> dict[str, str]:
    """The process's variables; ``key`` signs its forms."""
    silence()
    return {
        **os.environ,
        "MLFLOW_AUTH_CONFIG_PATH": str(server.settings),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": key,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
