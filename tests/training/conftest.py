"""A released extract to train on, in a home of each test's own, and what a test needs to steer a run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from erios.checkout import PROJECT
from erios.settings import Settings
from experiments.sandbox.box import ROOT
from tests.made_once import made_once
from tests.portal.conftest import close_database, point_to
from tests.training.hospital import make_hospital

if TYPE_CHECKING:
    from erios.studies.models import Run

INSIDE = ROOT / "checkpoints"
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


@dataclass
class Gate:
    """Holds the training that has it among its handlers after chosen iterations, until it is opened.

    It stands in the folder of checkpoints of the run that began last, which both sides of the sandbox see.
    """

    closed: set[int] = field(default_factory=set)
    folder: Path = Path()

    def close(self, iteration: int) -> None:
        """Hold whoever comes to the end of ``iteration`` in the next run."""
        self.closed.add(iteration)

    def place(self, run: Path) -> None:
        """Put it into a run's way, before the run is queued."""
        self.folder = run / "checkpoints" / "gate"
        self.folder.mkdir(parents=True)
        for iteration in self.closed:
            (self.folder / f"closed-{iteration}").touch()

    def waits(self, iteration: int) -> bool:
        """Somebody stands there."""
        return (self.folder / f"waits-{iteration}").exists()

    def open(self, iteration: int) -> None:
        self.closed.discard(iteration)
        (self.folder / f"closed-{iteration}").unlink()

    def pid(self, iteration: int) -> int:
        """The process that stands there, by its number outside the sandbox."""
        inner = (self.folder / f"waits-{iteration}").read_text()
        trainers = [pid for pid in trainers_of(self.folder.parent) if rank_of(supervisor_of(pid)) == 0]
        return next(pid for pid in trainers if inner_number(pid) == inner)


def trainers_of(checkpoints: Path) -> list[int]:
    """The trainings inside a sandbox whose folder of checkpoints this is."""
    return [pid for pid in running("experiments.sandbox.trainer") if sees(pid, checkpoints)]


def running(module: str) -> list[int]:
    """The processes of Python that run a module."""
    pids = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    return [pid for pid in pids if command_of(pid)[1:3] == ["-m", module]]


def command_of(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def sees(pid: int, checkpoints: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/root{INSIDE}").samefile(checkpoints)
    except OSError:
        return False


def inner_number(pid: int) -> str:
    """The number of a process in its own namespace."""
    return status_of(pid, "NSpid").split()[-1]


def status_of(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:"))


def supervisor_of(pid: int) -> int:
    """The process outside that watches a training."""
    while "erios.cli.job" not in command_of(pid):
        pid = int(status_of(pid, "PPid"))
    return pid


def rank_of(pid: int) -> int:
    """The rank of a supervisor, as its scheduler gave it."""
    from experiments.cluster import read_rank

    environ = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return read_rank(dict(entry.split("=", 1) for entry in environ if "=" in entry)).rank


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    from erios.workflows import train
    from experiments.run_spec import write_spec

    gate = Gate()

    def write_and_place(spec: Any) -> None:
        write_spec(spec)
        gate.place(spec.folder)

    monkeypatch.setattr(train, "write_spec", write_and_place)
    return gate


def gated(folder: Path, **settings: Any) -> str:
    """The readmission bundle with a gate in its training; answers its folder."""
    shutil.copytree(PROJECT / "conf" / "bundles" / "readmission", folder)
    (folder / "scripts").mkdir()
    shutil.copy(PROJECT / "tests" / "training" / "gate.py", folder / "scripts" / "gate.py")
    path = folder / "configs" / "train.json"
    config = json.loads(path.read_text(encoding="utf-8")) | settings
    keeper = {"_target_": "scripts.gate.GateKeeper", "folder": str(INSIDE / "gate")}
    config["train"]["handlers"].append(keeper)
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
