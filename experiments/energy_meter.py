"""The energy of a run: one meter per node, over the GPUs of the job, without network access.

Owns the choice of what codecarbon measures. It estimates where the machine shows no counter, and says which it did.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Self

from experiments.cluster import scheduler_kinds

VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


def allocated_gpus(environ: Mapping[str, str]) -> list[str]:
    """The GPUs that this process's job may use, by number or identifier; none if the scheduler gave none."""
    for name in VISIBLE:
        if environ.get(name):
            return [gpu.strip() for gpu in environ[name].split(",") if gpu.strip() not in ("", "-1", "NoDevFiles")]
    return []


class Meter:
    """Measures from entering to leaving the block; ``figures`` afterwards: kWh by part, g CO2e, seconds.

    A machine that cannot be measured has no figures, and ``source`` says so; the run goes on, and its model lacks that
    part of the evidence for a promotion.
    """

    def __init__(self, country: str = "FRA") -> None:
        self.figures: dict[str, float] = {}
        self.source = ""
        self._country = country
        self._tracker: Any = None

    def __enter__(self) -> Self:
        from codecarbon import OfflineEmissionsTracker

        for kind in scheduler_kinds().values():
            kind.prepare_meter(os.environ)
        self._tracker = OfflineEmissionsTracker(
            country_iso_code=self._country,
            gpu_ids=allocated_gpus(os.environ),
            tracking_mode="machine",
            output_methods=[],
            log_level="critical",
            allow_multiple_runs=True,
        )
        self._tracker.start()
        return self

    def __exit__(self, *_failure: object) -> None:
        grams = 1000.0 * (self._tracker.stop() or 0.0)
        data = getattr(self._tracker, "final_emissions_data", None)
        if data is None:
            self.source = "not measured: codecarbon could not read this machine"
            return
        self.source = f"{data.cpu_model}, {data.gpu_model or 'no GPU'}; codecarbon {data.codecarbon_version}"
        self.figures = {
            "energy/total_kwh": data.energy_consumed,
            "energy/cpu_kwh": data.cpu_energy,
            "energy/gpu_kwh": data.gpu_energy,
            "energy/memory_kwh": data.ram_energy,
            "energy/co2e_g": grams,
            "energy/seconds": data.duration,
        }
