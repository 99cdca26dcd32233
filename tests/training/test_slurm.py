"""``erios train`` on the real two-node Slurm: one training on two nodes, preemption, lost nodes, revoked rights."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from erios.checkout import PROJECT
from erios.errors import EriosError
from erios.governance.extract import Action
from erios.settings import Settings
from erios.studies import extract_actions as acts
from erios.studies.models import Extract, Run
from erios.studies.run_selectors import folder_of
from erios.workflows.run_follow import follow, stop_forbidden
from erios.workflows.runs import compare_reproduction
from erios.workflows.train import resume
from experiments.cluster import Job, load_clusters, open_cluster
from tests.portal.stories import who
from tests.slurm import SlurmHost, wait_for
from tests.training.conftest import Gate, attempts_of, begin, curve, end_of, gated

pytestmark = pytest.mark.slow
ONE = {"cluster": "test"}
TWO = {"cluster": "test", "nodes": 2}
PROFILE = load_clusters(PROJECT / "conf" / "clusters")["test"]

LONG = pytest.mark.long
"""Whole trainings. `make test` gives way and loses a node in `functional/test_slurm.py`, with a job that computes
little, and goes on from a checkpoint to the same curve in `test_local.py`."""


@pytest.fixture(autouse=True)
def free(slurm: SlurmHost) -> None:
    slurm.wait_until_idle()


def run_on_one_node(folder: Path) -> Run:
    return end_of(begin(gated(folder), **ONE))


def give_way(folder: Path) -> None:
    """An urgent job takes both nodes for a moment."""
    lane = open_cluster(replace(PROFILE, partition="urgent", exclusive=True), folder)
    lane.submit(Job("urgent", ("true",), folder / "urgent", nodes=2))


def test_two_nodes_train_one_model(home: Settings) -> None:
    run = end_of(begin("readmission", **TWO))

    (tracked,) = attempts_of(run, home)
    logs = folder_of(run, home) / "jobs" / "1"
    assert (run.state, run.reason, tracked.info.status) == ("done", "", "FINISHED")
    assert tracked.data.params["processes"] == "2"
    assert len(tracked.data.tags["erios.weights"]) == 64  # told only once both ranks have shown the same
    assert {path.name for path in logs.glob("rank-?.log")} == {"rank-0.log", "rank-1.log"}


@LONG
def test_a_preempted_run_goes_on_and_its_curve_is_that_of_an_undisturbed_one(
    home: Settings, gate: Gate, tmp_path: Path
) -> None:
    whole = run_on_one_node(tmp_path / "bundle")
    gate.close(4)
    run = begin(str(tmp_path / "bundle"), **ONE)
    wait_for(lambda: gate.waits(4), "fourth iteration", 240)

    give_way(tmp_path)
    wait_for(lambda: is_told_to_leave(run, home), "signal", 60)
    gate.open(4)
    done = end_of(run)

    first, second = attempts_of(done, home)
    assert (done.state, first.info.status, second.info.status) == ("done", "KILLED", "FINISHED")
    assert "checkpointed, to go on in another attempt" in first.data.tags["erios.reason"]
    assert second.data.tags["erios.previous"] == first.info.run_id
    assert curve(done, home) == curve(whole, home)
    assert compare_reproduction(whole, done)["same"]


def is_told_to_leave(run: Run, home: Settings) -> bool:
    """Slurm's signal has come as far as the training."""
    log = folder_of(run, home) / "jobs" / "1" / "rank-0.log"
    return "the training is told to leave: stopped by SIGTERM" in log.read_text(encoding="utf-8")


@LONG
def test_a_lost_node_fails_the_attempt_and_the_run_goes_on_when_it_is_back(
    home: Settings, slurm: SlurmHost, gate: Gate, tmp_path: Path
) -> None:
    gate.close(4)
    run = begin(gated(tmp_path / "bundle"), **TWO)
    wait_for(lambda: gate.waits(4), "fourth iteration", 240)

    slurm.kill_node("n1")
    gate.open(4)
    slurm.start_node("n1")
    done = end_of(run)

    first, *_others, last = attempts_of(done, home)
    assert done.state == "done"
    assert (first.info.status, last.info.status) == ("FAILED", "FINISHED")
    assert "without a word" in first.data.tags["erios.reason"]


def test_a_revoked_clearance_stops_a_waiting_and_a_working_run(
    home: Settings, slurm: SlurmHost, gate: Gate, tmp_path: Path
) -> None:
    gate.close(4)
    working = begin(gated(tmp_path / "bundle"), **TWO)
    wait_for(lambda: gate.waits(4), "fourth iteration", 240)
    slurm.ask("scontrol", "update", "nodename=n[1-2]", "state=drain", "reason=full")
    waiting = begin("readmission", **ONE)

    acts.move_extract(extract=Extract.objects.get(), by=who("dpo"), action=Action.REVOKE, reason="an objection")
    stopped = stop_forbidden()
    gate.open(4)
    slurm.ask("scontrol", "update", "nodename=n[1-2]", "state=resume")

    assert sorted(stopped) == sorted([working.number, waiting.number])
    for run in (working, waiting):
        assert end_of(run).state == "stopped"
    (tracked,) = attempts_of(working, home)
    assert tracked.info.status in ("FAILED", "KILLED")
    assert attempts_of(waiting, home) == []
    assert not (folder_of(working, home) / "attempts" / "1" / "evaluation.json").exists()
    wait_for(lambda: slurm.ask("squeue", "--noheader") == "", "empty queue")
    with pytest.raises(EriosError):
        resume(working.number)


def test_a_killed_rank_fails_the_run_of_both_nodes_with_its_reason(home: Settings, gate: Gate, tmp_path: Path) -> None:
    gate.close(4)
    run = begin(gated(tmp_path / "bundle"), **TWO)
    wait_for(lambda: gate.waits(4), "fourth iteration", 240)

    os.kill(gate.pid(4), signal.SIGKILL)
    gate.open(4)
    failed = end_of(run)

    assert failed.state == "failed"
    assert "killed by SIGKILL" in failed.reason or "lost one of its peers" in failed.reason
    done = end_of(resume(run.number))
    first, second = attempts_of(done, home)
    assert (done.state, first.info.status, second.info.status) == ("done", "FAILED", "FINISHED")
    assert follow() == []
