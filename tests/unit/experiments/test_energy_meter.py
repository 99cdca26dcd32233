"""The meter: figures without Slurm's programs too, and a run that goes on where nothing can be measured."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from codecarbon import OfflineEmissionsTracker
from codecarbon.core import util

from experiments.energy_meter import Meter, allocated_gpus


@pytest.mark.parametrize("cluster", [None, "chu"])
def test_a_job_on_a_machine_without_scontrol_is_measured(
    cluster: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(util, "SLURM_JOB_ID", "2")
    monkeypatch.setenv("PATH", str(tmp_path))
    if cluster:
        monkeypatch.setenv("SLURM_CLUSTER_NAME", cluster)

    with Meter() as meter:
        time.sleep(0.01)

    assert meter.figures["energy/seconds"] > 0
    assert meter.figures["energy/total_kwh"] > 0
    assert "codecarbon" in meter.source


def test_a_machine_that_cannot_be_measured_says_so_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: OfflineEmissionsTracker) -> None:
        raise OSError("no counters")

    monkeypatch.setattr(OfflineEmissionsTracker, "_ensure_hardware_ready", fail)
    with Meter() as meter:
        pass
    assert meter.figures == {}
    assert "not measured" in meter.source


@pytest.mark.parametrize(
    ("environ", "gpus"),
    [
        ({}, []),
        ({"CUDA_VISIBLE_DEVICES": ""}, []),
        ({"CUDA_VISIBLE_DEVICES": "0, 3"}, ["0", "3"]),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, []),
        ({"ROCR_VISIBLE_DEVICES": "1"}, ["1"]),
    ],
)
def test_only_the_gpus_of_the_job_are_measured(environ: dict[str, str], gpus: list[str]) -> None:
    assert allocated_gpus(environ) == gpus
