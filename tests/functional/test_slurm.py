"""Jobs on a real Slurm cluster of two nodes: training, cancelling, preemption, lost ranks and nodes."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from erios.checkout import PROJECT
from experiments.cluster import Cluster, Job, JobState, Phase, Scheduler, load_clusters, open_cluster
from experiments.errors import ClusterError, ProfileError
from tests.slurm import SlurmHost, wait_for

pytestmark = pytest.mark.slow
PROFILE = load_clusters(PROJECT / "conf" / "clusters")["test"]
SECRET = 's3cret \'of "this" $run'


@pytest.fixture
def cluster(slurm: SlurmHost, tmp_path: Path) -> Scheduler:
    slurm.wait_until_idle()
    return open_cluster(PROFILE, tmp_path)


def job(folder: Path, program: str, **changes) -> Job:
    environment = {"PYTHONPATH": str(PROJECT), "SECRET": SECRET}
    command = (sys.executable, "-m", "tests.ranks", program)
    return replace(Job("run-7", command, folder / "job", nodes=2, environment=environment), **changes)


def urgent(cluster: Cluster, folder: Path) -> tuple[Scheduler, Job]:
    """A job before which those of the partition ``gpu`` must give way."""
    profile = replace(cluster, partition="urgent", exclusive=True)
    return open_cluster(profile, folder), Job("urgent", ("true",), folder / "urgent", nodes=2)


def words(job: Job) -> list[dict]:
    """What the ranks left, by rank."""
    return [json.loads(path.read_text()) for path in sorted(job.folder.glob("word-?"))]


def end_of(cluster: Scheduler, number: str) -> JobState:
    wait_for(lambda: cluster.state(number).phase.is_final, f"end of job {number}")
    return cluster.state(number)


def submit_and_see(cluster: Scheduler, job: Job) -> str:
    """The id of the job, once all its ranks have left a word."""
    number = cluster.submit(job)
    wait_for(lambda: len(words(job)) == job.nodes * job.processes, "word of every rank")
    return number


def test_two_nodes_train_to_the_same_weights(cluster, tmp_path):
    work = job(tmp_path, "train")

    state = end_of(cluster, cluster.submit(work))

    first, second = words(work)
    assert state == JobState(Phase.DONE)
    assert first["word"] == second["word"]
    assert [each["rank_info"]["node"] for each in (first, second)] == ["n1", "n2"]
    assert [each["rank_info"]["world_size"] for each in (first, second)] == [2, 2]


def test_secrets_reach_the_ranks_and_stand_nowhere_else(cluster, slurm, tmp_path):
    work = job(tmp_path, "wait")
    number = submit_and_see(cluster, work)

    shown = slurm.ask("scontrol", "show", "job", number) + slurm.ask("scontrol", "write", "batch_script", number, "-")
    assert [each["secret"] for each in words(work)] == [SECRET, SECRET]
    assert (work.folder / "environment").stat().st_mode & 0o777 == 0o600
    assert "s3cret" not in shown + command_lines()
    assert holders(slurm.conf.parent) == []
    cluster.cancel(number, "seen enough")
    end_of(cluster, number)
    assert holders(work.folder) == ["word-0", "word-1"]


def command_lines() -> str:
    """Those of all processes, and one that holds the word looked for would be among them."""
    return subprocess.run(["ps", "-ww", "-eo", "args"], check=True, capture_output=True, text=True).stdout


def holders(folder: Path) -> list[str]:
    """The files in which the secret stands."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path.name for path in files if b"s3cret" in path.read_bytes()]


def test_a_queued_job_is_cancelled_before_it_starts(cluster, tmp_path):
    holder, work = job(tmp_path / "holder", "wait"), job(tmp_path, "wait")
    holding = submit_and_see(open_cluster(replace(PROFILE, exclusive=True), tmp_path), holder)
    queued = cluster.submit(work)
    wait_for(lambda: cluster.state(queued).reason == "waits for free nodes", "reason to wait")

    listed = [(each.id, each.name, each.state.phase) for each in cluster.list("run-")]
    cluster.cancel(queued, "the clearance of extract E-3 was revoked")

    assert listed == [(queued, "run-7", Phase.QUEUED), (holding, "run-7", Phase.RUNNING)]
    assert cluster.list("other") == []
    assert end_of(cluster, queued) == JobState(Phase.CANCELLED, "the clearance of extract E-3 was revoked")
    assert words(work) == []
    assert not (work.folder / "environment").exists()
    cluster.cancel(holding, "done with")
    end_of(cluster, holding)


def test_a_running_job_is_cancelled_with_time_for_a_checkpoint(cluster, tmp_path):
    work = job(tmp_path, "wait")
    number = submit_and_see(cluster, work)

    cluster.cancel(number, "the study was suspended")

    assert end_of(cluster, number) == JobState(Phase.CANCELLED, "the study was suspended")
    assert (work.folder / "checkpoint-1").read_text() == "SIGTERM"
    assert [path.name for path in cluster.logs(work.folder)] == ["batch.log", "rank-0.log", "rank-1.log"]
    cluster.cancel(number, "again")
    assert cluster.state(number).reason == "the study was suspended"


def test_a_preempted_job_goes_on_from_its_checkpoint(cluster, tmp_path):
    work = job(tmp_path, "wait")
    number = submit_and_see(cluster, work)
    lane, urgent_work = urgent(PROFILE, tmp_path)

    first = lane.submit(urgent_work)
    wait_for(lambda: cluster.state(number).phase is Phase.QUEUED, "requeue")
    requeued = cluster.state(number)

    assert requeued == JobState(Phase.QUEUED, "queued again, waits for its next start", restart=1)
    assert end_of(lane, first) == JobState(Phase.DONE)
    assert end_of(cluster, number) == JobState(Phase.DONE, restart=1)
    assert [(each["rank_info"]["restart"], each["word"]) for each in words(work)] == [(1, "SIGTERM")] * 2


def test_a_job_cancelled_while_it_gives_way_never_comes_back(cluster, tmp_path):
    work = job(tmp_path, "wait")
    number = submit_and_see(cluster, work)
    lane, urgent_work = urgent(PROFILE, tmp_path)
    first = lane.submit(urgent_work)
    wait_for(lambda: cluster.state(number).phase is not Phase.RUNNING, "preemption")

    cluster.cancel(number, "the clearance was revoked")

    assert end_of(cluster, number).phase is Phase.CANCELLED
    assert end_of(lane, first) == JobState(Phase.DONE)
    assert cluster.state(number).reason == "the clearance was revoked"


def test_a_job_told_of_its_time_limit_is_queued_again_by_its_script(cluster, slurm, tmp_path):
    work = job(tmp_path, "wait")
    number = submit_and_see(cluster, work)

    slurm.ask("scancel", "--signal=USR1", number)  # as --signal=USR1@grace does ahead of the limit

    assert end_of(cluster, number) == JobState(Phase.DONE, restart=1)
    assert [each["word"] for each in words(work)] == ["SIGUSR1"] * 2
    assert not (work.folder / "environment").exists()


def test_where_the_cluster_does_not_requeue_the_job_ends_preempted(slurm, tmp_path):
    cluster = open_cluster(replace(PROFILE, requeue=False), tmp_path)
    work = job(tmp_path, "wait", nodes=1)
    number = submit_and_see(cluster, work)

    slurm.ask("scancel", "--signal=USR1", number)

    state = end_of(cluster, number)
    assert (state.phase, state.restart) == (Phase.PREEMPTED, 0)
    assert "resume the run" in state.reason


def test_a_killed_rank_takes_its_peers_along(cluster, tmp_path):
    work = job(tmp_path, "exchange")
    number = submit_and_see(cluster, work)

    os.kill(words(work)[1]["pid"], signal.SIGKILL)

    assert end_of(cluster, number) == JobState(Phase.FAILED, "rank 1 on n2 was killed by SIGKILL")


def test_a_job_that_lost_its_node_runs_again_when_the_node_is_back(cluster, slurm, tmp_path):
    work = job(tmp_path, "wait")
    number = submit_and_see(cluster, work)

    slurm.kill_node("n2")
    wait_for(lambda: cluster.state(number).phase is Phase.QUEUED, "requeue")
    slurm.start_node("n2")

    assert end_of(cluster, number) == JobState(Phase.DONE, restart=1)
    assert [each["rank_info"]["restart"] for each in words(work)] == [1, 1]


def test_a_lost_node_ends_a_job_that_may_not_be_queued_again(slurm, tmp_path):
    slurm.wait_until_idle()
    cluster = open_cluster(replace(PROFILE, requeue=False), tmp_path)
    number = submit_and_see(cluster, job(tmp_path, "wait"))

    slurm.kill_node("n2")

    state = end_of(cluster, number)
    slurm.start_node("n2")
    assert state == JobState(Phase.NODE_FAIL, "one of its nodes was lost (n[1-2])")


def test_what_slurm_refuses_is_said_in_its_own_words(tmp_path):
    cluster = open_cluster(replace(PROFILE, partition="nowhere"), tmp_path)

    with pytest.raises(ClusterError, match=r"^Slurm refused: Batch job submission failed: Invalid partition name"):
        cluster.submit(job(tmp_path, "wait"))
    assert not (tmp_path / "job" / "environment").exists()
    with pytest.raises(ProfileError, match="at most 2 nodes, not 3"):
        cluster.submit(job(tmp_path / "other", "wait", nodes=3))
    assert cluster.state("987654").phase is Phase.UNKNOWN
