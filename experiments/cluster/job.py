"""A job, its states, and the interface of every scheduler.

Owns the values and the interface; it must never know which cluster it talks to.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from experiments.errors import ProfileError

REQUEUE = 75
"""Exit code of a process that has written its checkpoint and is to be continued (EX_TEMPFAIL of sysexits.h)."""

NOTICES = (signal.SIGTERM, signal.SIGUSR1)
"""Signals that ask a rank to write its checkpoint and leave: ahead of the time limit, at preemption, when cancelled."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Phase(StrEnum):
    """The state of a job; ``unknown``: neither the cluster nor its folder has one."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETING = "completing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PREEMPTED = "preempted"
    TIMEOUT = "timeout"
    NODE_FAIL = "node_fail"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        """Nothing more will run under this id unless somebody requeues it by hand."""
        return self not in (Phase.QUEUED, Phase.RUNNING, Phase.COMPLETING, Phase.UNKNOWN)


@dataclass(frozen=True)
class JobState:
    """``reason`` in words ("" where there is nothing to say); ``restart``: how many times it was queued again."""

    phase: Phase
    reason: str = ""
    restart: int = 0


@dataclass(frozen=True)
class Job:
    """``processes`` and ``gpus`` are counted per node; ``folder`` is seen by every node and belongs to this job alone.

    ``environment`` may hold secrets: it reaches the processes through a file of mode 0600 and is in no command
    line, script or queue. ``name`` carries the run's id.
    """

    name: str
    command: tuple[str, ...]
    folder: Path
    nodes: int = 1
    processes: int = 1
    gpus: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """ProfileError for what no cluster could run."""
        if not NAME.fullmatch(self.name):
            raise ProfileError(f"job name {self.name!r}: 1 to 64 letters, digits, dots, dashes and underscores")
        if not self.command or any("\0" in part for part in (*self.command, *self.environment.values())):
            raise ProfileError(f"job {self.name}: its command is empty, or it or a variable holds a zero byte")
        if self.nodes < 1 or self.processes < 1 or self.gpus < 0:
            raise ProfileError(f"job {self.name}: nodes and processes are 1 or more, gpus 0 or more")
        wrong = sorted(name for name in self.environment if not VARIABLE.fullmatch(name))
        if wrong:
            raise ProfileError(f"job {self.name}: {', '.join(wrong)} cannot be the name of an environment variable")


@dataclass(frozen=True)
class Listed:
    """A job in the answer of ``list``."""

    id: str
    name: str
    state: JobState


class Scheduler(Protocol):
    """A cluster, as the rest of the program sees it. Every method raises ClusterError if it cannot be reached."""

    def submit(self, job: Job) -> str:
        """Queue ``job`` and answer its id; ProfileError if it does not fit the cluster."""

    def state(self, job_id: str, folder: Path | None = None) -> JobState:
        """The state of the job; with its ``folder`` also after the cluster has forgotten it."""

    def cancel(self, job_id: str, reason: str) -> None:
        """Stop a queued or running job: SIGTERM first, SIGKILL after the grace. ``reason`` is kept in its folder.

        A job that has ended already is left as it is.
        """

    def list(self, prefix: str = "") -> Sequence[Listed]:
        """The caller's jobs whose name starts with ``prefix`` and that have not ended."""

    def logs(self, folder: Path) -> Sequence[Path]:
        """The job's log files that exist: the batch script's, then one per rank; attempts are appended."""
