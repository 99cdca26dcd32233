"""A cluster's profile, conf/clusters/NAME.toml: read strictly, checked before a job is made of it.

Owns the fields and their limits (docs/clusters.md says what each is for); it must never ask the cluster itself.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from experiments.cluster.job import NAME, VARIABLE, Job
from experiments.errors import ProfileError

KINDS = ("local", "slurm")
ACCELERATORS = ("", "nvidia", "amd")
_WORD = re.compile(r"[^\s\"'\\#]*")
_OPTION = re.compile(r"--[a-z][a-z-]*(=[^\s\"'\\#]+)?")
_TIME = re.compile(r"((\d+-)?\d{1,2}:\d{2}:\d{2})?")
_OWNED = (
    *("job-name", "nodes", "ntasks", "ntasks-per-node", "cpus-per-task", "mem", "gres", "time", "partition"),
    *("account", "qos", "constraint", "signal", "requeue", "no-requeue", "open-mode", "output", "error", "exclusive"),
    *("export", "export-file", "chdir", "comment", "array", "wrap"),
)
"""Options of sbatch that the script sets from the fields below, or that would break it."""
_SLURM_ONLY = (
    *("account", "constraint", "exclusive", "gres", "memory_gb", "modules", "options", "partition", "qos"),
    "time_limit",
)


@dataclass(frozen=True)
class Cluster:
    """One cluster. ``nodes``, and per node ``processes`` and ``gpus``, are the most that a job may ask for.

    ``cores`` and ``memory_gb`` (GiB) are what each process gets; ``grace_s`` is in seconds.
    """

    name: str
    kind: str
    summary: str = ""
    python: str = ""
    nodes: int = 1
    processes: int = 1
    gpus: int = 0
    accelerator: str = ""
    cores: int = 1
    memory_gb: int = 0
    time_limit: str = ""
    grace_s: int = 30
    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    gres: str = "gpu"
    exclusive: bool = False
    requeue: bool = True
    required: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def check(self, job: Job) -> None:
        """ProfileError if ``job`` asks for more than the cluster has, or the profile lacks what its centre requires."""
        lacking = [name for name in self.required if not getattr(self, name)]
        if lacking:
            raise ProfileError(
                f"cluster {self.name} requires {', '.join(lacking)}: write it in conf/clusters/{self.name}.toml"
            )
        for what in ("nodes", "processes", "gpus"):
            asked, most = getattr(job, what), getattr(self, what)
            if asked > most:
                raise ProfileError(f"cluster {self.name} has at most {most} {what}, not {asked}: ask for fewer")


def load_clusters(folder: Path) -> Mapping[str, Cluster]:
    """The profiles in ``folder`` by name; ProfileError for the first that is not as it must be."""
    files = sorted(folder.glob("*.toml"))
    if not files:
        raise ProfileError(f"{folder} holds no cluster profile: a profile is a file NAME.toml")
    return {path.stem: _load(path) for path in files}


def _load(path: Path) -> Cluster:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProfileError(f"{path} cannot be read as TOML: {error}") from None
    _check_known(path, values)
    cluster = Cluster(name=path.stem, **{name: _typed(path, name, value) for name, value in values.items()})
    _check_values(path, cluster)
    return cluster


_FIELDS: Mapping[str, type] = {
    each.name: type(each.default) if isinstance(each.default, str | int) else tuple
    for each in fields(Cluster)
    if each.name not in ("name", "environment")
} | {"kind": str, "environment": dict}


def _check_known(path: Path, values: Mapping[str, Any]) -> None:
    unknown = sorted(set(values) - set(_FIELDS))
    if unknown:
        raise ProfileError(f"{path}: unknown {', '.join(unknown)}; known are {', '.join(sorted(_FIELDS))}")
    if "kind" not in values:
        raise ProfileError(f"{path}: kind is missing: one of {', '.join(KINDS)}")


def _typed(path: Path, name: str, value: Any) -> Any:
    """``value`` as the field holds it; TOML's arrays must hold text, its table text by variable."""
    wanted = _FIELDS[name]
    if wanted is tuple and isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value)
    if wanted is dict and isinstance(value, dict) and all(isinstance(each, str) for each in value.values()):
        return MappingProxyType(value)
    if wanted in (str, int, bool) and type(value) is wanted:
        return value
    words = {str: "text", int: "a whole number", bool: "true or false", tuple: "a list of texts"}
    raise ProfileError(f"{path}: {name} must be {words.get(wanted, 'a table of texts')}")


def _check_values(path: Path, cluster: Cluster) -> None:
    for is_right, sentence in _rules(cluster):
        if not is_right:
            raise ProfileError(f"{path}: {sentence}")


def _rules(cluster: Cluster) -> list[tuple[bool, str]]:
    words = (cluster.partition, cluster.account, cluster.qos, cluster.constraint, cluster.gres, *cluster.modules)
    idle = [name for name in _SLURM_ONLY if getattr(cluster, name) != getattr(Cluster, name)]
    optional = {name for name, kind in _FIELDS.items() if kind is str} - {"kind"}
    return [
        (bool(NAME.fullmatch(cluster.name)), "a profile is named by letters, digits, dots, dashes and underscores"),
        (cluster.kind in KINDS, f"kind must be one of {', '.join(KINDS)}"),
        (cluster.accelerator in ACCELERATORS, 'accelerator must be "nvidia", "amd" or "" for none'),
        (bool(cluster.accelerator) == (cluster.gpus > 0), "gpus and accelerator go together: give both or none"),
        (min(cluster.nodes, cluster.processes, cluster.cores) >= 1, "nodes, processes and cores are 1 or more"),
        (min(cluster.gpus, cluster.memory_gb, cluster.grace_s) >= 0, "gpus, memory_gb and grace_s are 0 or more"),
        (bool(_TIME.fullmatch(cluster.time_limit)), "time_limit is [DAYS-]HH:MM:SS"),
        (_seconds(cluster.time_limit) > cluster.grace_s, "grace_s is shorter than time_limit"),
        (all(map(_WORD.fullmatch, words)), "names of partitions, accounts and modules hold no space, quote or #"),
        (set(cluster.required) <= optional, f"required may name {', '.join(sorted(optional))}"),
        (all(map(VARIABLE.fullmatch, cluster.environment)), "environment: a key is no name of a variable"),
        (
            all(map(_is_free_option, cluster.options)),
            f"options are --NAME or --NAME=VALUE, none of {', '.join(_OWNED)}",
        ),
        (cluster.kind == "slurm" or not idle, f"{', '.join(idle)} say nothing to this machine: take them out"),
    ]


def _seconds(limit: str) -> float:
    """Of a time limit; one that is not there, or is refused anyway, lasts for ever."""
    if not limit or not _TIME.fullmatch(limit):
        return math.inf
    days, _dash, clock = limit.rpartition("-")
    hours, minutes, seconds = map(int, clock.split(":"))
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


def _is_free_option(option: str) -> bool:
    return bool(_OPTION.fullmatch(option)) and option[2:].split("=", maxsplit=1)[0] not in _OWNED
