"""A released extract to train on, in a home of each test's own, and what a test needs to steer a run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from erios.checkout import PROJECT
from erios.settings import Settings
from tests.made_once import made_once
from tests.portal.conftest import close_database, point_to
from tests.training.hospital import make_hospital

if TYPE_CHECKING:
    from erios.studies.models import Run

PATIENTS = 1500
"""So many that a test part has some twenty returns: with four of them any figure of a model is chance."""


@pytest.fixture(scope="session")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose one extract is released to a study with the person at the keyboard on its team."""
    return (
        made_once(tmp_path_factory, "training-hospital", lambda folder: make_hospital(folder / "home", PATIENTS))
        / "home"
    )


@pytest.fixture
def home(hospital: Path, erios_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A copy of the hospital for one test."""
    from erios.settings import load_settings

    shutil.copytree(hospital, erios_home)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    settings = load_settings()
    point_to(settings)
    yield settings
    close_database()


@dataclass(frozen=True)
class Gate:
    """Holds the training that has it among its handlers after chosen iterations, until it is opened."""

    folder: Path

    def close(self, iteration: int) -> None:
        """Hold whoever comes to the end of ``iteration``."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / f"closed-{iteration}").touch()

    def waits(self, iteration: int) -> bool:
        """Somebody stands there."""
        return (self.folder / f"waits-{iteration}").exists()

    def open(self, iteration: int) -> None:
        (self.folder / f"closed-{iteration}").unlink()

    def pid(self, iteration: int) -> int:
        """The process that stands there."""
        return int((self.folder / f"waits-{iteration}").read_text())


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


def gated(gate: Gate, folder: Path, **settings: Any) -> str:
    """The readmission bundle with a gate in its training; answers its folder."""
    shutil.copytree(PROJECT / "conf" / "bundles" / "readmission", folder)
    path = folder / "configs" / "train.json"
    config = json.loads(path.read_text(encoding="utf-8")) | settings
    config["train"]["handlers"].append({"_target_": "tests.training.gate.GateKeeper", "folder": str(gate.folder)})
    path.write_text(json.dumps(config), encoding="utf-8")
    return str(folder)


def extract_number() -> str:
    """The one extract's."""
    from erios.studies.models import Extract

    return str(Extract.objects.get().number)


def begin(bundle: str, **changes: Any) -> Run:
    """A short training, queued; ``changes``: of the wish."""
    from erios.workflows.train import RunRequest, start

    usual: Mapping[str, Any] = {"overrides": {"epochs": 3}, "energy": False}
    return start(RunRequest(bundle, extract_number(), **{**usual, **changes}))


def end_of(run: Run, patience: float = 400.0) -> Run:
    """The run once it has ended and its record is closed."""
    from erios.workflows.run_follow import follow
    from tests.slurm import wait_for

    def is_over() -> bool:
        follow()
        run.refresh_from_db()
        return run.closed

    wait_for(is_over, f"end of {run.number}", patience)
    return run


def attempts_of(run: Run, settings: Settings) -> list[Any]:
    """The MLflow runs of a run's attempts, oldest first."""
    from erios.studies.run_selectors import folder_of
    from experiments.recorder import make_client, mlflow_run
    from experiments.run_spec import read_spec

    spec = read_spec(folder_of(run, settings))
    client = make_client(spec)
    return [client.get_run(mlflow_run(spec, number) or "") for number in range(1, spec.attempts + 1)]


def curve(run: Run, settings: Settings, name: str = "train/loss") -> list[tuple[int, float]]:
    """A figure of all attempts of a run, by step."""
    from erios.studies.run_selectors import folder_of
    from experiments.recorder import make_client
    from experiments.run_spec import read_spec

    client = make_client(read_spec(folder_of(run, settings)))
    return [
        (point.step, point.value)
        for attempt in attempts_of(run, settings)
        for point in client.get_metric_history(attempt.info.run_id, name)
    ]


def alive(pid: int) -> bool:
    """There is such a process, and it is no zombie."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def kill(pid: int) -> None:
    os.kill(pid, 9)
