"""Cluster profiles: what is shipped loads, and anything else is answered with a sentence."""

from pathlib import Path

import pytest

from erios.checkout import PROJECT
from experiments.cluster import Cluster, Job, load_clusters, scheduler_kinds
from experiments.errors import ProfileError

SHIPPED = load_clusters(PROJECT / "conf" / "clusters")
KINDS = ", ".join(sorted(scheduler_kinds()))


def load(folder: Path, text: str) -> Cluster:
    (folder / "site.toml").write_text(text)
    return load_clusters(folder)["site"]


def test_the_shipped_profiles_load():
    kinds = {name: each.kind for name, each in SHIPPED.items()}

    assert kinds.items() >= {"adastra": "slurm", "chu": "slurm", "local": "local", "test": "slurm"}.items()


def test_what_is_left_out_has_its_default(tmp_path):
    assert load(tmp_path, 'kind = "slurm"') == Cluster(name="site", kind="slurm")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('kind = "slurm"\ngpu = 4', "unknown gpu; known are accelerator, account, constraint, cores"),
        ('summary = "x"', f"kind is missing: one of {KINDS}"),
        ('kind = "none"', f"kind must be one of {KINDS}"),
        ('kind = "slurm"\nnodes = "two"', "nodes must be a whole number"),
        ('kind = "slurm"\nnodes = true', "nodes must be a whole number"),
        ('kind = "slurm"\nexclusive = 1', "exclusive must be true or false"),
        ('kind = "slurm"\nmodules = "rocm"', "modules must be a list of texts"),
        ('kind = "slurm"\n[environment]\nA = 1', "environment must be a table of texts"),
        ('kind = "slurm"\n[environment]\n"A B" = "1"', "environment: a key is not the name of a variable"),
        ('kind = "slurm"\nnodes = 0', "nodes must be 1 or more"),
        ('kind = "slurm"\ngrace_s = -1', "grace_s must be 0 or more"),
        ('kind = "slurm"\ngpus = 2', "gpus and accelerator go together"),
        ('kind = "slurm"\naccelerator = "tpu"', "accelerator must be '', 'nvidia' or 'amd'"),
        ('kind = "slurm"\ntime_limit = "2 days"', "time_limit: must be [DAYS-]HH:MM:SS"),
        ('kind = "slurm"\ntime_limit = "00:01:00"\ngrace_s = 60', "grace_s must be shorter than time_limit"),
        ('kind = "slurm"\npartition = "gpu\\n#SBATCH --uid=0"', "hold no space, quote or #"),
        ('kind = "slurm"\nrequired = ["nodes"]', "required may name accelerator, account"),
        ('kind = "slurm"\noptions = ["--export=ALL"]', "options are --NAME or --NAME=VALUE, none of job-name"),
        ('kind = "slurm"\noptions = ["-A x"]', "options are --NAME or --NAME=VALUE"),
        ('kind = "local"\npartition = "gpu"\nmodules = ["rocm"]', "modules, partition have no effect with kind local"),
        ('kind = "slurm"\nname = "other"', "unknown name"),
        ('kind = "slurm"\npartition = "gpu\\n"', "hold no space, quote or #"),
        ('kind = "slurm', "cannot be read as TOML"),
    ],
)
def test_a_profile_that_is_wrong_is_refused_with_the_allowed_values(tmp_path, text, sentence):
    with pytest.raises(ProfileError) as refusal:
        load(tmp_path, text)

    assert sentence in str(refusal.value)
    assert str(refusal.value).startswith(str(tmp_path / "site.toml"))


def test_a_folder_without_profiles_is_refused(tmp_path):
    with pytest.raises(ProfileError, match="holds no cluster profile"):
        load_clusters(tmp_path)


def test_a_job_that_a_cluster_cannot_hold_is_refused(tmp_path):
    chu = SHIPPED["chu"]

    chu.check(Job("run", ("true",), tmp_path, nodes=4, processes=4, gpus=4))
    for asked, sentence in [
        (Job("run", ("true",), tmp_path, nodes=5), "4 nodes, not 5"),
        (Job("run", ("true",), tmp_path, gpus=8), "4 gpus, not 8"),
    ]:
        with pytest.raises(ProfileError, match=f"cluster chu has at most {sentence}: ask for fewer"):
            chu.check(asked)


def test_a_centre_that_requires_an_account_is_not_asked_without(tmp_path):
    with pytest.raises(
        ProfileError, match=r"adastra requires account, python: write it in conf/clusters/adastra\.toml"
    ):
        SHIPPED["adastra"].check(Job("run", ("true",), tmp_path))


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"name": "run 1"}, "job name 'run 1'"),
        ({"name": "-x"}, "job name '-x'"),
        ({"command": ()}, "its command is empty"),
        ({"command": ("a\0b",)}, "holds a zero byte"),
        ({"environment": {"A": "\0"}}, "holds a zero byte"),
        ({"nodes": 0}, "nodes and processes are 1 or more"),
        ({"environment": {"A;B": "1"}}, "A;B cannot be the name of an environment variable"),
    ],
)
def test_a_job_that_nothing_could_run_is_refused(tmp_path, asked, sentence):
    with pytest.raises(ProfileError, match=sentence):
        Job(**{"name": "run", "command": ("true",), "folder": tmp_path, **asked})


def test_every_field_is_described():
    page = (PROJECT / "docs" / "clusters.md").read_text(encoding="utf-8")

    missing = [name for name in Cluster.__dataclass_fields__ if name != "name" and f"| `{name}` |" not in page]
    assert missing == []
