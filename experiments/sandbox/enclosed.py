"""A program behind the wall, seen from outside: how it is started, what it uses, and how all of it is ended.

Owns the filter's file, the environment, and the hold on the first process of its namespace, with which everything in it
ends. What the program says and may do is its caller's.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from experiments.errors import SandboxError
from experiments.sandbox import bubblewrap, seccomp
from experiments.sandbox.box import Inside

LAST_MOMENT = 1.0
"""Seconds in which the kernel takes down a namespace."""


class Enclosed:
    """A running program; ``output``: where what it prints goes, as for ``subprocess.Popen``."""

    def __init__(
        self,
        inside: Inside,
        program: Sequence[str],
        files: Sequence[int],
        network: bubblewrap.Network | None = None,
        output: int = subprocess.DEVNULL,
    ) -> None:
        """Start Python with these arguments and open files, in a thread that lives as long as it: the kernel ends it
        with that thread. SandboxError."""
        read, write = os.pipe()
        with tempfile.TemporaryFile() as rules:
            rules.write(seccomp.program())
            rules.seek(0)
            self.process = subprocess.Popen(
                bubblewrap.command(inside, bubblewrap.python(*program), rules.fileno(), network, write),
                pass_fds=[*files, rules.fileno(), write],
                env=dict(inside.variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output == subprocess.PIPE else output,
                start_new_session=True,
            )
        os.close(write)
        try:
            self.first = _hold(bubblewrap.first_process(read))
        except SandboxError:
            self.process.kill()
            self.process.wait()
            raise

    def end(self, patience: float = 0) -> None:
        """End everything in it, after so many seconds, and wait until nothing is left."""
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if not select.select([self.first], [], [], LAST_MOMENT)[0]:
            signal.pidfd_send_signal(self.first, signal.SIGKILL)
            select.select([self.first], [], [])
        os.close(self.first)

    def processes(self) -> list[int]:
        """Processes that it runs."""
        try:
            return [process.pid for process in psutil.Process(self.process.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def _hold(pid: int) -> int:
    """A descriptor that stays with this process, whoever gets its number afterwards."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise SandboxError("the program in the sandbox ended before it began") from None


def threads_of(pids: Collection[int]) -> int:
    """Threads of these processes."""
    threads = 0
    for pid in pids:
        with suppress(psutil.Error):
            threads += psutil.Process(pid).num_threads()
    return threads


def memory_of(pids: Collection[int]) -> int:
    """Bytes of memory that processes hold and no file gives back; what several share counts once (``proc(5)``)."""
    held = 0
    for pid in pids:
        with suppress(OSError, ValueError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
                if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                    held += int(line.split()[1]) * 1024
    return held
