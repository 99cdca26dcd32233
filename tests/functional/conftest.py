"""What the tests of loading share: a home for a whole module, and a load whose gate lets everything pass."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from erios.settings import Settings
    from etl.load_config import Gate
    from etl.pipeline import LoadReport

Load = Callable[..., "LoadReport"]


@pytest.fixture(scope="session")
def patient() -> Callable[..., dict[str, Any]]:
    """A minimal valid Patient by id, with whatever else it is given."""
    return lambda id, **more: {"resourceType": "Patient", "id": id, "gender": "female", **more}


@pytest.fixture(scope="session")
def write_ndjson() -> Callable[[Path, list[Any]], Path]:
    """Write resources (or ready lines of bytes) one a line."""

    def write(path: Path, lines: list[Any]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        raw = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
        path.write_bytes(b"".join(line + b"\n" for line in raw))
        return path

    return write


@pytest.fixture(scope="session")
def make_home() -> Callable[[Path], Settings]:
    """Settings of a new home with its zones and a keyring."""
    from erios.keys import init_keyring
    from erios.settings import Settings

    def make(home: Path, **load: int) -> Settings:
        settings = Settings.model_validate({"home": home, "load": {"buckets": 4, **load}})
        settings = settings.model_copy(update={"home": home}) if settings.home != home else settings
        settings.make_zones()
        init_keyring(settings.keyring)
        return settings

    return make


@pytest.fixture(scope="module")
def module_settings(tmp_path_factory: pytest.TempPathFactory, make_home: Callable[[Path], Settings]) -> Settings:
    """Settings of a home that the tests of one module share."""
    return make_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def load(spark: SparkSession) -> Load:
    """The pipeline with the tests' Spark session; without another gate, one that lets everything pass."""
    from erios.workflows.load import load_config
    from etl.load_config import Verdict
    from etl.pipeline import load as run
    from etl.task_runner import SparkRunner

    def passes(_tables: Mapping[str, Any], _fresh: Mapping[str, Any], _batch: str) -> Verdict:
        return Verdict(False, (), {"gate": "open"})

    def load_paths(paths: list[Path], settings: Settings, gate: Gate = passes) -> LoadReport:
        return run(paths, load_config(settings), SparkRunner(spark), gate)

    return load_paths


@pytest.fixture
def in_process(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command line in this process: exit code, standard output, standard error."""
    import warnings

    from typer.main import get_command

    from erios.cli import app
    from erios.cli.exits import run

    def call(*arguments: object) -> tuple[int, str, str]:
        command = get_command(app)
        capfd.readouterr()
        with warnings.catch_warnings():
            code = run(lambda prog_name: command([str(a) for a in arguments], prog_name=prog_name))
        return code, *capfd.readouterr()

    return call


@pytest.fixture
def at_home(module_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The home that the tests of one module share, as the home of the commands of this test."""
    monkeypatch.setenv("ERIOS_HOME", str(module_settings.home))
    monkeypatch.setenv("ERIOS_LOAD__BUCKETS", str(module_settings.load.buckets))
    return module_settings


@pytest.fixture(scope="session")
def fresh(make_home: Callable[[Path], Settings]) -> Callable[[Path], Settings]:
    """``make_home`` under the name the tests of single faults use."""
    return make_home
