"""A cluster's profile: its fields and their limits (docs/clusters.md describes each).

Owns what holds for every kind of scheduler; it must never ask the cluster itself.
"""

from __future__ import annotations

import math
import re
from dataclasses import field, fields
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StrictBool, StrictInt, StrictStr, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from experiments.cluster.job import NAME, VARIABLE, Job
from experiments.errors import ProfileError

Count = Annotated[StrictInt, Field(ge=1)]
CountOrNone = Annotated[StrictInt, Field(ge=0)]
Word = Annotated[StrictStr, Field(pattern=r"^[^\s\"'\\#]*\Z")]
"""Stands in a batch script as it is."""
TimeLimit = Annotated[StrictStr, Field(pattern=r"^((\d+-)?\d{1,2}:\d{2}:\d{2})?\Z")]
FolderPath = Annotated[StrictStr, Field(pattern=r"^/[^\s:]+\Z")]
ADDRESS = re.compile(r"(?P<host>\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.]+\]):(?P<port>\d{1,5})")
"""An IP address and a port, the address of version 6 in brackets; no name, which would need a resolver."""
Address = Annotated[StrictStr, Field(pattern=rf"^{ADDRESS.pattern}\Z")]
Variable = Annotated[StrictStr, Field(pattern=rf"^{VARIABLE.pattern}\Z")]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", regex_engine="python-re"))
class Cluster:
    """One cluster. ``nodes``, and per node ``processes`` and ``gpus``, are the most that a job may ask for.

    ``cores`` and ``memory_gb`` (GiB) are what each process gets; ``grace_s`` is in seconds. ``readable``: folders that
    a training sees beside its environment, such as those of the GPUs' libraries. ``unreachable``: addresses that a
    filter of outgoing connections keeps from jobs; without any, no job has more than one node.
    """

    name: Annotated[str, Field(pattern=rf"^{NAME.pattern}\Z")]
    kind: StrictStr
    summary: StrictStr = ""
    python: StrictStr = ""
    nodes: Count = 1
    processes: Count = 1
    gpus: CountOrNone = 0
    accelerator: Literal["", "nvidia", "amd"] = ""
    cores: Count = 1
    memory_gb: CountOrNone = 0
    time_limit: TimeLimit = ""
    grace_s: CountOrNone = 30
    partition: Word = ""
    account: Word = ""
    qos: Word = ""
    constraint: Word = ""
    gres: Word = "gpu"
    exclusive: StrictBool = False
    requeue: StrictBool = True
    required: tuple[StrictStr, ...] = ()
    modules: tuple[Word, ...] = ()
    options: tuple[StrictStr, ...] = ()
    readable: tuple[FolderPath, ...] = ()
    unreachable: tuple[Address, ...] = ()
    environment: dict[Variable, StrictStr] = field(default_factory=dict)

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        for is_right, sentence in self._rules():
            if not is_right:
                raise PydanticCustomError("rule", "{sentence}", {"sentence": sentence})
        return self

    def _rules(self) -> list[tuple[bool, str]]:
        texts = sorted(each.name for each in fields(Cluster) if isinstance(each.default, str))
        return [
            (bool(self.accelerator) == (self.gpus > 0), "gpus and accelerator go together: give both or none"),
            (_seconds(self.time_limit) > self.grace_s, "grace_s must be shorter than time_limit"),
            (set(self.required) <= set(texts), f"required may name {', '.join(texts)}"),
        ]

    def check(self, job: Job) -> None:
        """ProfileError if ``job`` asks for more than the cluster has, or the profile lacks what its centre requires."""
        lacking = [name for name in self.required if not getattr(self, name)]
        if lacking:
            raise ProfileError(
                f"cluster {self.name} requires {', '.join(lacking)}: write it in conf/clusters/{self.name}.toml"
            )
        for what in ("nodes", "processes", "gpus"):
            requested, most = getattr(job, what), getattr(self, what)
            if requested > most:
                raise ProfileError(f"cluster {self.name} has at most {most} {what}, not {requested}: ask for fewer")


def _seconds(limit: str) -> float:
    """A time limit in seconds; infinite if there is none."""
    if not limit:
        return math.inf
    days, _dash, clock = limit.rpartition("-")
    hours, minutes, seconds = map(int, clock.split(":"))
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
