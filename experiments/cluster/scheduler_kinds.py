"""What a kind of scheduler provides, and the kinds that there are: the modules of ``experiments.cluster.schedulers``.

Owns the interface and the discovery. It must never name a kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Protocol

from experiments.errors import RankError

if TYPE_CHECKING:
    from experiments.cluster.cluster_profile import Cluster
    from experiments.cluster.job import Scheduler

_PACKAGE = "experiments.cluster.schedulers"


@dataclass(frozen=True)
class RankInfo:
    """``rank`` of ``world_size``; ``local_rank`` of ``local_world_size`` on ``node``; ``restart`` counts from 0.

    ``gpus``: GPUs of the job on this node, shared by its local ranks.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1
    node: str = "localhost"
    restart: int = 0
    gpus: int = 0

    @property
    def is_first(self) -> bool:
        """True for the process that writes what is written once a run."""
        return self.rank == 0

    @property
    def is_first_on_node(self) -> bool:
        """True for the process that does what is done once a node."""
        return self.local_rank == 0


class SchedulerKind(Protocol):
    """A kind of scheduler: opens clusters of its kind, and reads the variables of the processes that it starts.

    A job of every kind exports MASTER_ADDR and MASTER_PORT to its ranks, announces its end to them by a signal of
    ``job.NOTICES``, and starts again when they leave with ``job.REQUEUE``.
    """

    unused_fields: frozenset[str]
    """Fields of a profile that have no effect with this kind; a profile that sets one is refused."""

    def open(self, cluster: Cluster, registry: Path) -> Scheduler:
        """The scheduler of a profile; ``registry``: a folder for a kind that keeps its own list of jobs."""

    def check(self, cluster: Cluster) -> str:
        """What is wrong with a profile's values, in one sentence; empty if nothing is."""

    def read_rank(self, environ: Mapping[str, str]) -> RankInfo | None:
        """The rank of a process with these variables; None if this kind did not start it. Raises RankError.

        A process of a job that is no rank, such as a batch script, is rank 0 of 1.
        """

    def prepare_meter(self, environ: Mapping[str, str]) -> None:
        """Called before energy is measured in a job: keep the meter from what this kind's nodes lack."""


def scheduler_kinds() -> Mapping[str, SchedulerKind]:
    """Every kind by the name of its module."""
    modules = sorted(module.name for module in iter_modules(import_module(_PACKAGE).__path__))
    return {name: import_module(f"{_PACKAGE}.{name}").KIND for name in modules}


def read_number(environ: Mapping[str, str], name: str, default: int | None = None) -> int:
    """The variable ``name`` as a number from 0; RankError if it is not one, or missing without a default."""
    text = environ.get(name, "" if default is None else str(default))
    if not text.isdecimal():
        raise RankError(f"{name} is {text or 'missing'}, not a number: start the processes with srun or torchrun")
    return int(text)
