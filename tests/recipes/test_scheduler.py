"""How to add a scheduler: the recipe, followed to the letter, ends with a cluster that takes a job."""

from __future__ import annotations

import os

import pytest

from tests.recipes.recipe import House

OARSUB = """#!/bin/sh
for last; do :; done
cd "$4" && OAR_JOB_ID=42 bash -c "$last" >>"$6" 2>&1
echo "OAR_JOB_ID=42"
"""
"""Stands in for OAR's command: takes the same options, and runs the job at once."""
SUBMIT = """
import sys
from pathlib import Path
from experiments.cluster import Job, load_clusters, open_cluster

cluster = open_cluster(load_clusters(Path("conf/clusters"))["grenoble"], Path("registry"))
say = "from experiments.cluster import read_rank; info = read_rank(); print(info.rank, info.world_size)"
folder = Path("job").absolute()
print(cluster.submit(Job("run-1", (sys.executable, "-c", say), folder, environment={"PYTHONPATH": str(Path.cwd())})))
print(*[log.read_text() for log in cluster.logs(folder)])
"""


@pytest.mark.slow
def test_a_scheduler_added_by_the_recipe_takes_a_job(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = house.folder / "programs"
    programs.mkdir()
    (programs / "oarsub").write_text(OARSUB, encoding="utf-8")
    (programs / "oarsub").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")

    touched = house.follow("CONTRIBUTING.md", "A scheduler")

    assert touched == ["experiments/cluster/schedulers/oar.py", "conf/clusters/grenoble.toml"]
    assert house.python(SUBMIT) == "42\n0 1"
