"""What a training may use inside the sandbox, as a value; the settings of the hospital begin with the same figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a training may write to its output folder and its checkpoints together (``gigabytes``, ``files``); say
    through the pipe, and print (``messages_mb``, each); start (``processes``); and write to its temporary folder and
    to shared memory (``temporary_mb``, each). ``grace_s``: seconds for its last checkpoint."""

    gigabytes: int = 100
    files: int = 20_000
    messages_mb: int = 512
    processes: int = 2000
    temporary_mb: int = 2048
    grace_s: float = 60.0


DEFAULT = Limits()
