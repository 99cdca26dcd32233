"""Kinds of schedulers: another one is one file, and no other file names what belongs to one."""

from pathlib import Path

import pytest

from erios.checkout import PROJECT
from experiments.cluster import Job, Phase, RankInfo, load_clusters, open_cluster, read_rank, scheduler_kinds
from experiments.cluster import schedulers as package
from experiments.errors import ProfileError, RankError

TOY = """
from experiments.cluster.job import JobState, Phase
from experiments.cluster.scheduler_kinds import RankInfo, read_number


class Toy:
    def __init__(self, cluster):
        self.cluster = cluster

    def submit(self, job):
        self.cluster.check(job)
        return job.name

    def state(self, job_id, folder=None):
        return JobState(Phase.DONE)


class ToyKind:
    unused_fields = frozenset(["partition"])

    def open(self, cluster, _registry):
        return Toy(cluster)

    def check(self, cluster):
        return "" if cluster.account else "account must be given"

    def read_rank(self, environ):
        if "TOY_RANK" not in environ:
            return None
        return RankInfo(read_number(environ, "TOY_RANK"), read_number(environ, "TOY_SIZE"), node="toy")

    def prepare_meter(self, environ):
        pass


KIND = ToyKind()
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for profiles, where schedulers have one more file."""
    (tmp_path / "schedulers").mkdir()
    (tmp_path / "schedulers" / "toy.py").write_text(TOY)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / "schedulers")])
    return tmp_path


def test_another_scheduler_is_one_file(toy):
    (toy / "centre.toml").write_text('kind = "toy"\naccount = "a"\nnodes = 2')
    cluster = load_clusters(toy)["centre"]

    scheduler = open_cluster(cluster, toy)

    assert {"local", "slurm", "toy"} <= scheduler_kinds().keys()
    assert scheduler.submit(Job("run-7", ("true",), toy / "job", nodes=2)) == "run-7"
    assert scheduler.state("run-7").phase is Phase.DONE
    assert read_rank({"TOY_RANK": "1", "TOY_SIZE": "2"}) == RankInfo(1, 2, node="toy")
    with pytest.raises(RankError, match="TOY_SIZE is missing"):
        read_rank({"TOY_RANK": "1"})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('kind = "toy"\naccount = "a"\npartition = "b"', "partition have no effect with kind toy"),
        ('kind = "toy"', "account must be given"),
        ('kind = "none"', r"kind must be one of local, .*slurm, toy"),
    ],
)
def test_a_profile_is_checked_by_its_kind(toy, text, sentence):
    (toy / "centre.toml").write_text(text)

    with pytest.raises(ProfileError, match=sentence):
        load_clusters(toy)


def test_the_shipped_kinds_are_without_a_toy():
    assert {"local", "slurm"} <= scheduler_kinds().keys()
    assert "toy" not in scheduler_kinds()


def test_only_the_module_of_slurm_names_its_variables():
    sources = [path for wing in ("experiments", "erios") for path in (PROJECT / wing).rglob("*.py")]

    naming = [path.relative_to(PROJECT).as_posix() for path in sources if "SLURM" in path.read_text(encoding="utf-8")]

    assert naming == ["experiments/cluster/schedulers/slurm.py"]
