"""Who may see which runs on the team's tracking server: permissions as governance has them, and passwords."""

from __future__ import annotations

from pathlib import Path

from erios.accounts.audit_events import record
from erios.accounts.models import User
from erios.audit import Draft
from erios.broker.credentials import write_credentials
from erios.errors import UsageError
from erios.settings import Settings, load_settings
from erios.studies.run_selectors import shares
from erios.workflows.database import open_database, operator
from experiments.server import READ, WRITE, Server, draw_password, is_ready, make_ready, share

_shared: dict[str, dict[str, str]] = {}
"""What this process gave last, so that a round that changes nothing asks nothing."""


def server_of(settings: Settings) -> Server:
    return Server(settings.tracking, settings.tracking_database)


def share_runs() -> None:
    """Let each study's experiment be seen by its team: data scientists write, the others read."""
    server = server_of(load_settings())
    wanted = {study: {who: WRITE if may else READ for who, may in team.items()} for study, team in shares().items()}
    if is_ready(server) and wanted != _shared:
        share(server, wanted)
        _shared.clear()
        _shared.update(wanted)


def log_in() -> Path:
    """Give the person at the keyboard a new password for the server, in the file where MLflow looks for it."""
    return write_credentials(new_credentials())


def new_credentials() -> bytes:
    """A new password of the person at the keyboard for the server, in the form that MLflow reads."""
    if not is_ready(server_of(open_database())):
        raise UsageError("the tracking server was never started: run `erios tracking serve` first")
    by = operator()
    text = f"[mlflow]\nmlflow_tracking_username = {by.username}\nmlflow_tracking_password = {give_password(by)}\n"
    return text.encode()


def give_password(by: User) -> str:
    """A new password of somebody for the server, which need not run; it is kept nowhere in clear."""
    from django.db import transaction

    server = server_of(load_settings())
    make_ready(server)
    password = draw_password(server, by.username)
    _shared.clear()
    share_runs()
    with transaction.atomic():
        record([Draft("tracking.login", by.username)], by=by)
    return password
