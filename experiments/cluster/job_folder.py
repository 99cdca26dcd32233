"""The files of a job's folder, which the submitter, the batch script and every rank see.

``environment`` (0600) the variables of the processes, secrets among them; ``job.sh`` the batch script; ``batch.log``
and ``rank-N.log`` the output; ``rank-N.end`` how a rank ended; ``job.end`` how the script ended; ``cancelled`` the
reason for which nothing may start here any more. Owns their names and forms; it must never start or stop a process.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.cluster.job import REQUEUE, Job
from experiments.errors import ClusterError, ProfileError

SCRIPT = "job.sh"
ENVIRONMENT = "environment"
END = "job.end"
CANCELLED = "cancelled"
BATCH_LOG = "batch.log"
LEFT = "its processes wrote their checkpoint and left, and the cluster does not queue it again: resume the run"
"""The state of a job that ended with REQUEUE for good."""


def rank_shell(*, node: str, rank: str) -> str:
    """The script of the shell around each process: it survives the signals meant for the command and writes its end.

    ``node`` and ``rank``: names of the variables that hold them. A command that leaves with REQUEUE exits with 0 here:
    an error would have its peers killed in the middle of their own checkpoint. The environment is read here and not in
    a batch script, so that no secret passes through the messages of a scheduler.
    """
    return f"""\
trap : TERM USR1
. ./{ENVIRONMENT} || exit
"$@"
code=$?
echo "$(date +%s%N) $code ${node}" >"rank-${rank}.end"
[ $code = {REQUEUE} ] && exit
exit $code
"""


@dataclass(frozen=True)
class End:
    """How one rank ended; ``at`` in nanoseconds of its node's clock."""

    rank: int
    node: str
    code: int
    at: int

    def sentence(self) -> str:
        """In words."""
        who = f"rank {self.rank} on {self.node}"
        if self.code > 128 and (self.code - 128) in set(signal.Signals):
            return f"{who} was killed by {signal.Signals(self.code - 128).name}"
        return f"{who} ended with exit code {self.code}"


def prepare(job: Job) -> None:
    """Make the folder, for the owner alone, with the environment in it; ProfileError if a job has it already."""
    try:
        job.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(job.folder / ENVIRONMENT, _as_shell(job.environment))
    except FileExistsError:
        raise ProfileError(f"{job.folder} belongs to another job: give each job a folder of its own") from None
    except OSError as error:
        raise ClusterError(f"job {job.name}: cannot write to {job.folder}: {error.strerror}") from None


def write_private(path: Path, text: str) -> None:
    """A new file that only its owner may read; FileExistsError if it is there."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as file:
        file.write(text)


def _as_shell(environment: Mapping[str, str]) -> str:
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(environment.items()))


def forget_secrets(folder: Path) -> None:
    """Nothing will start here any more."""
    (folder / ENVIRONMENT).unlink(missing_ok=True)


def note_cancelled(folder: Path, reason: str) -> None:
    """Keep the reason; the first one is kept."""
    try:
        write_private(folder / CANCELLED, f"{reason}\n")
    except FileExistsError:
        return
    except OSError as error:
        raise ClusterError(f"cannot note in {folder} why its job is stopped: {error.strerror}") from None


def cancelled_because(folder: Path) -> str | None:
    """The reason of a job that was cancelled by us; None of another."""
    return _read(folder / CANCELLED)


def script_code(folder: Path) -> int | None:
    """The exit code with which the last attempt's batch script ended; None while it runs, or if it was killed."""
    text = _read(folder / END) or ""
    return int(text) if text.isdecimal() else None


def failure(folder: Path) -> str | None:
    """The first rank of this attempt that ended in error, in words; None if none did."""
    ends = [end for end in ends_of(folder) if end.code not in (0, REQUEUE)]
    return min(ends, key=lambda end: end.at).sentence() if ends else None


def ends_of(folder: Path) -> list[End]:
    """How the ranks of the latest attempt ended, those that have."""
    files = ((path, (_read(path) or "").split()) for path in folder.glob("rank-*.end"))
    return [
        End(_rank(path), node, int(code), int(at))
        for path, words in files
        if len(words) == 3
        for at, code, node in [words]
    ]


def forget_ends(folder: Path) -> None:
    """Before another attempt."""
    for path in folder.glob("rank-*.end"):
        path.unlink()


def logs_of(folder: Path) -> Sequence[Path]:
    """The log files that exist, the batch script's first, then by rank."""
    return [*folder.glob(BATCH_LOG), *sorted(folder.glob("rank-*.log"), key=_rank)]


def _rank(path: Path) -> int:
    number = re.search(r"\d+", path.name)
    return int(number.group()) if number else -1


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
