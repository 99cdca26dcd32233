"""The team's MLflow server: a run told over HTTP, seen by its team and by nobody else."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from erios.checkout import PROJECT
from erios.settings import Settings
from erios.studies.models import Part
from erios.workflows.tracking_access import log_in, server_of, share_runs
from experiments.server import draw_password
from tests.portal.conftest import close_database, point_to, seal_everything
from tests.slurm import free_ports, wait_for
from tests.training.conftest import attempts_of, begin, end_of

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # MLflow's server imports what is deprecated

STARTING = 300.0
"""Seconds that a busy machine has to start MLflow's server."""


@dataclass(frozen=True)
class Tracking:
    """A running server."""

    url: str
    settings: Settings
    process: subprocess.Popen[bytes]
    log: Path

    def ask(self, path: str, login: str = "", password: str = "", body: Any = None) -> tuple[int, Any]:
        """Status and answer of MLflow's interface to somebody."""
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(f"{self.url}/{path}", data, {"Content-Type": "application/json"})
        if login:
            request.add_header("Authorization", "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                said = answer.read().decode()
                return answer.status, json.loads(said) if said.startswith("{") else said
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def experiments(self, login: str, password: str) -> list[str]:
        """The experiments that somebody sees."""
        status, found = self.ask("api/2.0/mlflow/experiments/search", login, password, {"max_results": 100})
        assert status == 200, found
        return sorted(one["name"] for one in found.get("experiments", []))

    def answers(self) -> bool:
        """Does it answer? AssertionError with what it said last when it has ended."""
        assert self.process.poll() is None, f"the server ended with {self.process.returncode}: {self.said}"
        try:
            return self.ask("health")[0] in (200, 401)
        except (OSError, HTTPException):
            return False

    @property
    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text()[-2000:]


@pytest.fixture
def tracking(home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracking]:
    from erios.settings import load_settings

    (port,) = free_ports(1)
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    environ = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    command = [sys.executable, "-m", "erios", "tracking", "serve", "--port", str(port), "--workers", "1"]
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, cwd=PROJECT, stdout=log, stderr=log)
    try:
        monkeypatch.setenv("ERIOS_TRACKING_URI", f"http://127.0.0.1:{port}")
        settings = load_settings()
        point_to(settings)
        server = Tracking(settings.tracking_uri, settings, process, tmp_path / "server.log")
        wait_for(server.answers, "answer of the server", STARTING)
        yield server
    finally:
        process.terminate()
        process.wait(30)
        close_database()


def password_of(path: Path) -> str:
    return path.read_text().rsplit("= ", 1)[1].strip()


def test_a_run_is_told_to_the_server_and_seen_by_its_team_alone(tracking: Tracking) -> None:
    from erios.operator_login import current_operator

    me, credentials = current_operator(), log_in()
    password = password_of(credentials)
    stranger = draw_password(server_of(tracking.settings), "eve")
    wait_for(lambda: tracking.experiments(me, password) != [], "the study's experiment")

    run = end_of(begin("readmission", overrides={"epochs": 2}))

    assert credentials.stat().st_mode & 0o777 == 0o600
    (tracked,) = attempts_of(run, tracking.settings)
    study = run.extract.study.number
    number = tracked.info.experiment_id
    assert (run.state, run.reason, tracked.info.status) == ("done", "", "FINISHED")
    assert tracked.info.artifact_uri.startswith("mlflow-artifacts:/")
    assert tracking.experiments(me, password) == [study]
    assert tracking.experiments("eve", stranger) == []
    get = f"api/2.0/mlflow/runs/get?run_id={tracked.info.run_id}"
    assert tracking.ask(get, me, password)[0] == 200
    assert tracking.ask(get, "eve", stranger)[0] == 403
    assert tracking.ask(get)[0] == 401
    assert tracking.ask(get, me, "not the password")[0] == 401
    assert tracking.ask("api/2.0/mlflow/runs/create", "eve", stranger, {"experiment_id": number})[0] == 403
    assert tracking.ask("api/2.0/mlflow/users/create", me, password, {"username": "x", "password": "x" * 20})[0] == 404
    tag = {"run_id": tracked.info.run_id, "key": "erios.reason", "value": "another"}
    assert tracking.ask("api/2.0/mlflow/runs/set-tag", me, password, tag)[0] == 400  # it has ended
    Part.objects.filter(person__username=me).delete()
    seal_everything()
    share_runs()
    assert tracking.experiments(me, password) == []
    assert tracking.ask(get, me, password)[0] == 403
