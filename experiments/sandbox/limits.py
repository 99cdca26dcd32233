"""What a training may use inside the sandbox, and what its nodes are like, as values.

The settings of the hospital begin with the same figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Limits:
    """What a training may write to its output folder and its checkpoints together (``gigabytes``, ``files``); say
    through the pipe, and print (``messages_mb``, each); start (``processes``, and ``threads`` of them all); and write
    to its temporary folder and to shared memory (``temporary_mb``, each). ``memory_gb``, GiB that a rank's processes
    hold, and ``hours`` of an attempt: 0 leaves them to the scheduler. ``grace_s``: seconds for its last checkpoint."""

    gigabytes: int = 100
    files: int = 20_000
    messages_mb: int = 512
    processes: int = 2000
    threads: int = 20_000
    memory_gb: int = 0
    hours: int = 0
    temporary_mb: int = 2048
    grace_s: float = 60.0


DEFAULT = Limits()


@dataclass(frozen=True)
class Site:
    """What a cluster's profile says of its nodes: ``libraries``, folders that a training sees beside its environment;
    ``unreachable``, addresses that a filter keeps from ranks on several nodes."""

    libraries: tuple[Path, ...] = ()
    unreachable: tuple[str, ...] = ()


PLAIN = Site()
