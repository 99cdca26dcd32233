"""Jobs of this machine: they behave as on Slurm, and nothing of them outlives their end."""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from erios.checkout import PROJECT
from experiments.cluster import Job, JobState, Phase, Scheduler, load_clusters, open_cluster
from experiments.errors import ClusterError, ProfileError
from tests.slurm import wait_for

PROFILE = load_clusters(PROJECT / "conf" / "clusters")["local"]


@pytest.fixture
def cluster(tmp_path: Path) -> Scheduler:
    return open_cluster(PROFILE, tmp_path / "jobs")


def job(folder: Path, program: str, **changes) -> Job:
    environment = {"PYTHONPATH": str(PROJECT), "SECRET": "s3cret 'of' run"}
    command = (sys.executable, "-m", "tests.ranks", program)
    return replace(Job("run-7", command, folder / "job", processes=2, environment=environment), **changes)


def shell(folder: Path, script: str, **changes) -> Job:
    return job(folder, "", command=("bash", "-c", script), **changes)


def words(job: Job) -> list[dict]:
    """What the ranks left, by rank."""
    return [json.loads(path.read_text()) for path in sorted(job.folder.glob("word-?"))]


def end_of(cluster: Scheduler, number: str) -> JobState:
    wait_for(lambda: cluster.state(number).phase.is_final, f"end of job {number}")
    return cluster.state(number)


def alive(process: int) -> bool:
    """Runs, and is no zombie that only waits to be counted."""
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_ranks_get_the_variables_of_torchrun(cluster, tmp_path):
    names = "RANK LOCAL_RANK WORLD_SIZE LOCAL_WORLD_SIZE EXPERIMENTS_NODE"
    work = shell(tmp_path, f"for name in {names}; do echo ${{!name}}; done", nodes=2)

    state = end_of(cluster, cluster.submit(work))

    said = [path.read_text().split() for path in cluster.logs(work.folder)[1:]]
    assert state == JobState(Phase.DONE)
    assert said == [[str(n), str(n % 2), "4", "2", f"local{n // 2}"] for n in range(4)]


def test_nothing_of_the_submitter_comes_along_but_what_the_job_names(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("SUBMITTER", "private")
    work = shell(tmp_path, 'echo "[$SUBMITTER] [$SECRET]"; umask; ulimit -c', processes=1)

    end_of(cluster, cluster.submit(work))

    assert (work.folder / "rank-0.log").read_text() == "[] [s3cret 'of' run]\n0077\n0\n"
    assert not (work.folder / "environment").exists()


def test_a_job_that_wants_to_go_on_starts_again(cluster, tmp_path):
    work = shell(tmp_path, "echo attempt $EXPERIMENTS_RESTART; exit $((EXPERIMENTS_RESTART < 2 ? 75 : 0))")

    assert end_of(cluster, cluster.submit(work)) == JobState(Phase.DONE, restart=2)
    assert (work.folder / "rank-1.log").read_text() == "attempt 0\nattempt 1\nattempt 2\n"


def test_where_nothing_is_queued_again_it_ends_preempted(tmp_path):
    cluster = open_cluster(replace(PROFILE, requeue=False), tmp_path / "jobs")

    state = end_of(cluster, cluster.submit(shell(tmp_path, "exit 75")))

    assert (state.phase, state.restart) == (Phase.PREEMPTED, 0)
    assert "resume the run" in state.reason


def test_a_rank_that_fails_takes_its_peers_along(cluster, tmp_path):
    work = shell(tmp_path, "[ $RANK = 1 ] && exit 3; sleep 60")

    assert end_of(cluster, cluster.submit(work)) == JobState(Phase.FAILED, "rank 1 on local0 ended with exit code 3")


def test_a_killed_rank_is_named(cluster, tmp_path):
    work = job(tmp_path, "wait")
    number = cluster.submit(work)
    wait_for(lambda: len(words(work)) == 2, "word of every rank")

    os.kill(words(work)[1]["pid"], signal.SIGKILL)

    assert end_of(cluster, number) == JobState(Phase.FAILED, "rank 1 on local0 was killed by SIGKILL")


def test_a_cancelled_job_has_time_for_a_checkpoint_and_does_not_come_back(cluster, tmp_path):
    work = job(tmp_path, "wait")
    number = cluster.submit(work)
    wait_for(lambda: len(words(work)) == 2, "word of every rank")
    listed = cluster.list("run-")

    cluster.cancel(number, "the clearance was revoked")

    assert [(each.id, each.name, each.state.phase) for each in listed] == [(number, "run-7", Phase.RUNNING)]
    assert end_of(cluster, number) == JobState(Phase.CANCELLED, "the clearance was revoked")
    assert (work.folder / "checkpoint-0").read_text() == "SIGTERM"
    assert cluster.list("run-") == []
    cluster.cancel(number, "again")
    assert cluster.state(number).reason == "the clearance was revoked"


def test_what_ignores_sigterm_is_killed_after_the_grace_with_all_it_started(tmp_path):
    cluster = open_cluster(replace(PROFILE, grace_s=0), tmp_path / "jobs")
    work = shell(tmp_path, "trap '' TERM; setsid sleep 60 & echo $! >child; wait", processes=1)
    number = cluster.submit(work)
    wait_for(lambda: (work.folder / "child").exists() and (work.folder / "child").read_text().strip() != "", "child")

    cluster.cancel(number, "enough")

    assert end_of(cluster, number).phase is Phase.CANCELLED
    assert not alive(int((work.folder / "child").read_text()))


def test_a_job_whose_watcher_is_killed_has_failed_and_leaves_no_process(cluster, tmp_path):
    work = job(tmp_path, "wait")
    number = cluster.submit(work)
    wait_for(lambda: len(words(work)) == 2, "word of every rank")

    os.kill(watcher_of(work), signal.SIGKILL)

    assert end_of(cluster, number).phase is Phase.FAILED
    assert "watcher was killed" in cluster.state(number).reason
    assert [each["pid"] for each in words(work) if alive(each["pid"])] == []


def watcher_of(work: Job) -> int:
    """The process whose command line ends with the job's folder."""
    lines = {path: path.read_bytes().split(b"\0") for path in Path("/proc").glob("[0-9]*/cmdline") if alive_at(path)}
    return next(int(path.parent.name) for path, line in lines.items() if str(work.folder).encode() in line)


def alive_at(path: Path) -> bool:
    return alive(int(path.parent.name))


def test_a_folder_holds_one_job(cluster, tmp_path):
    work = shell(tmp_path, "true")
    end_of(cluster, cluster.submit(work))
    (work.folder / "environment").touch()

    with pytest.raises(ProfileError, match="belongs to another job"):
        cluster.submit(work)


def test_more_gpus_than_are_shown_are_refused(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")

    with pytest.raises(ClusterError, match="CUDA_VISIBLE_DEVICES shows 1 GPUs, and the job asks for 2"):
        cluster.submit(shell(tmp_path, "true", gpus=2))


def test_nodes_share_the_gpus_out(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    work = shell(tmp_path, "echo $CUDA_VISIBLE_DEVICES $EXPERIMENTS_GPUS", nodes=2, processes=1, gpus=2)

    end_of(cluster, cluster.submit(work))

    assert [path.read_text() for path in cluster.logs(work.folder)[1:]] == ["4,5 2\n", "6,7 2\n"]


def test_an_unknown_job_is_unknown(cluster):
    assert cluster.state("12").phase is Phase.UNKNOWN
    assert cluster.list() == []
