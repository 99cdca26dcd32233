"""The team's MLflow server: its accounts, who sees which experiment, and how it is started.

Owns what lies in the tracking zone beside the records. Whoever has no permission sees nothing; who gets one is decided
by the roof. Passwords are drawn here, stored as MLflow's hash, and returned once, to be written to their owner's file.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.closed_runs import protect_ended_runs
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
_INHERITED_NEVER = re.compile(
    r"_?MLFLOW_(?!SERVER_(?:ALLOWED_HOSTS|CORS_ALLOWED_ORIGINS)$)|OTEL_|(?:https?|all|no)_proxy$|prometheus_", re.I
)
"""Variables of the caller that the server does not get: of MLflow's, all but those that say who may ask."""
_WITHOUT_NETWORK = ("unshare", "--user", "--map-current-user", "--net", "--")
"""Runs a command in a network namespace of its own, where no interface is up; a socket that it inherits is usable."""


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
        protect_ended_runs(_records(server).engine)
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


def command(listening: int, workers: int, *, isolated: bool) -> list[str]:
    """The server as a process in the foreground. ``listening``: the descriptor of a socket that listens, inherited;
    ``isolated``: in a network namespace of its own."""
    program = [sys.executable, "-m", "experiments.tracking_app", str(listening), str(workers)]
    return [*_WITHOUT_NETWORK, *program] if isolated else program


def can_isolate(server: Server) -> bool:
    """Can the server's process do without a network: is its database no other machine's, and may this account do it?"""
    from sqlalchemy.engine import make_url

    url = make_url(server.records)
    host = str(url.host or url.query.get("host", ""))
    return host[:1] in ("", "/") and shutil.which("unshare") is not None and _may_unshare()


def _may_unshare() -> bool:
    return subprocess.run([*_WITHOUT_NETWORK, "true"], capture_output=True, check=False).returncode == 0


def environment(server: Server, key: str) -> dict[str, str]:
    """The process's variables; ``key`` signs its forms. Nothing of MLflow's own, and no proxy, is inherited."""
    silence()
    inherited = {name: value for name, value in os.environ.items() if not _INHERITED_NEVER.match(name)}
    return {
        **inherited,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_AUTH_CONFIG_PATH": str(server.settings),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": key,
        "MLFLOW_ENABLE_AI_GATEWAY": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_SERVER_JOB_ENABLE_PERIODIC_TASKS": "false",
        "MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS": "false",
        "MLFLOW_ENABLE_REMOTE_ASSISTANT": "false",
        "MLFLOW_ENABLE_OTLP_EXPORTER": "false",
        "MLFLOW_ALLOW_HTTP_REDIRECTS": "false",
        "MLFLOW_SERVER_ENABLE_GRAPHQL_AUTH": "true",
        **serving_environment(server),
    }


def serving_environment(server: Server) -> dict[str, str]:
    """What ``mlflow server`` hands its processes by variables: where records and files are, and how it is served."""
    return {
        "_MLFLOW_SERVER_FILE_STORE": server.records,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(server.folder / "artifacts"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SGI_NAME": "uvicorn",
        "_MLFLOW_AUTH_ADMIN_BOOTSTRAPPED": "true",
        "_MLFLOW_IN_JOB_EXECUTOR": "false",
        "_MLFLOW_SERVER_BOOT_ID": secrets.token_hex(16),
    }
