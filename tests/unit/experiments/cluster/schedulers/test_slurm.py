"""The batch script: a recorded copy for each Slurm profile, and nothing of the job unquoted."""

import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from erios.checkout import PROJECT
from experiments.cluster import Job, load_clusters
from experiments.cluster.schedulers.slurm import render

RECORDED = Path(__file__).parent / "recorded"
CLUSTERS = load_clusters(PROJECT / "conf" / "clusters")
JOB = Job("run-7", ("/opt/venv/bin/python", "-m", "bundle", "--title", "it's $HOME"), Path("/srv/run-7"))
WHOLE_NODES = {
    "adastra": replace(JOB, nodes=2, processes=8, gpus=8),
    "chu": replace(JOB, nodes=2, processes=4, gpus=4),
    "test": replace(JOB, nodes=2),
}


@pytest.mark.parametrize("name", WHOLE_NODES)
def test_the_script_is_the_recorded_one(name):
    cluster = replace(CLUSTERS[name], account="abc1234") if name == "adastra" else CLUSTERS[name]

    assert render(WHOLE_NODES[name], cluster) == (RECORDED / f"{name}.sh").read_text(encoding="utf-8")


def test_every_slurm_profile_has_a_recorded_script():
    assert sorted(WHOLE_NODES) == sorted(name for name, each in CLUSTERS.items() if each.kind == "slurm")


@pytest.mark.parametrize("name", WHOLE_NODES)
def test_the_recorded_script_is_bash(name):
    subprocess.run(["bash", "-n", RECORDED / f"{name}.sh"], check=True)


def test_a_word_of_the_command_stays_one_word():
    odd = ("python", "a b", "$(reboot)", "`x`", "it's", 'say "so"', "line\nbreak", "", "%j", "*")
    script = render(replace(JOB, command=odd), CLUSTERS["test"])

    block = script.partition(" rank \\\n")[2].partition("\ncode=$?\n\n#")[0]
    assert tuple(shlex.split(block)) == odd


def test_no_value_of_the_environment_is_in_the_script():
    script = render(replace(JOB, environment={"TOKEN": "s3cret"}), CLUSTERS["test"])

    assert "s3cret" not in script
    assert "TOKEN" not in script


def test_a_job_without_gpus_sees_none():
    assert "export CUDA_VISIBLE_DEVICES=''" in render(JOB, CLUSTERS["chu"])
    assert "VISIBLE_DEVICES" not in render(replace(JOB, gpus=1), CLUSTERS["chu"])


def test_memory_is_shared_out_by_process():
    assert "#SBATCH --mem=120G\n" in render(JOB, CLUSTERS["chu"])
    assert "#SBATCH --mem=480G\n" in render(replace(JOB, processes=4), CLUSTERS["chu"])
