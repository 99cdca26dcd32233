"""From a run to its job: cluster, folder, command and environment."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from erios.errors import UsageError
from erios.settings import Settings
from erios.workflows import run_jobs
from erios.workflows.run_jobs import find_cluster, job_folder, lock_of, make_job, make_job_folder


@pytest.fixture
def run() -> Any:
    return SimpleNamespace(number="E1-R001", extract=SimpleNamespace(study=SimpleNamespace(number="E1")))


def test_an_unknown_cluster_is_refused_with_those_there_are(settings: Settings) -> None:
    assert find_cluster("local", settings).kind == "local"
    with pytest.raises(UsageError, match=r"no cluster 'moon'; known are .*local"):
        find_cluster("moon", settings)


@pytest.mark.parametrize("zone", ["identity", "landing/batch", ""])
def test_a_cluster_that_shows_a_zone_to_trainings_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    shown = replace(find_cluster("local", settings), readable=(str(settings.home / zone),))
    monkeypatch.setattr(run_jobs, "load_clusters", lambda _folder: {"local": shown})

    with pytest.raises(UsageError, match="may not hold or lie in a zone"):
        find_cluster("local", settings)


def test_a_job_starts_the_run_by_number_and_inherits_settings_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "s")
    monkeypatch.setenv("ERIOS_DATABASE", "")
    monkeypatch.setenv("PYTHONPATH", "/code")

    job = make_job("E1-R001", Path("/jobs/1"), find_cluster("local", settings), nodes=1, processes=2, gpus=0)

    assert job.command == (sys.executable, "-m", "erios.cli.job", "E1-R001")
    assert job.environment == {"ERIOS_HOME": str(settings.home), "ERIOS_DATABASE": "", "PYTHONPATH": "/code"}


def test_each_job_of_a_run_has_a_folder_of_its_own_and_the_newest_counts_by_number(
    run: Any, settings: Settings
) -> None:
    folders = [make_job_folder(run, settings) for _ in range(11)]

    assert [folder.name for folder in folders] == [str(number) for number in range(1, 12)]
    assert job_folder(run, settings) == folders[-1]


def test_the_lock_lies_beside_the_folder_that_it_guards(run: Any, settings: Settings) -> None:
    assert lock_of(run, settings) == settings.studies / "E1" / "runs" / ".E1-R001.lock"
