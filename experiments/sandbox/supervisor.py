"""The process outside a training: starts it in the sandbox, takes its messages, tells it to stop, and ends it.

Owns the pipe's outer end, the limits on what the training writes, and the last word on how it ended. The training
cannot outlive this process, nor can this process be stopped from inside.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from ipaddress import ip_address
from shutil import disk_usage
from typing import Any

from pydantic import TypeAdapter

from experiments.cluster import RankInfo
from experiments.errors import SAYS, ExperimentError, ForbiddenError, KilledError, SandboxError, StoppedError
from experiments.run_spec import RunSpec
from experiments.sandbox import bubblewrap, egress_filter
from experiments.sandbox.box import EXTRACT, ROOT, Box, variables_of
from experiments.sandbox.channel import Channel
from experiments.sandbox.collected_files import empty, measure, measure_deleted
from experiments.sandbox.enclosed import LAST_MOMENT, Enclosed, memory_of, threads_of
from experiments.sandbox.limits import DEFAULT, PLAIN, Limits, Site
from experiments.sandbox.machine_network import MachineNetwork
from experiments.sandbox.messages import Begin, Ended, FromInside, Stop, from_inside, shortened
from experiments.stop_signal import PreemptedError, StopSignal

SPARE = 2**30
"""Bytes that a training must leave free on the disk."""
LOOK_EVERY = 0.2
MARGIN = 1.0
"""Seconds after its time in which a training is ended in good order, before it is simply killed."""
PATIENCE = 2.0
"""Seconds in which a training must take a message."""
MEASURE_EVERY = 1.0
GRACE = {"forbidden": 3.0, "failed": 3.0}
"""Seconds from being told to stop until it is killed; who may write a checkpoint gets what its cluster grants."""
NOTICE = 5.0
"""Seconds in which the notice that a peer was given reaches this rank too."""
_WORDS: tuple[tuple[type[ExperimentError], Any], ...] = (
    (PreemptedError, "preempted"),
    (StoppedError, "stopped"),
    (ForbiddenError, "forbidden"),
)


def word_of(reason: ExperimentError) -> Any:
    """The word of the protocol for a reason to stop."""
    return next((word for kind, word in _WORDS if isinstance(reason, kind)), "failed")


@dataclass
class Supervisor:
    """One rank's training. ``handle`` takes each message; what it raises stops the training.

    ``complaint``: why it must stop for another reason than its right.
    """

    spec: RunSpec
    info: RankInfo
    stop: StopSignal
    handle: Callable[[FromInside, Channel], None]
    complaint: Callable[[], ExperimentError | None] = lambda: None
    limits: Limits = DEFAULT
    site: Site = PLAIN
    program: tuple[str, ...] = ("-m", "experiments.sandbox.trainer")

    def run(self) -> None:
        """Train to the end; raises what ended it early."""
        self._apart = several_machines(self.info, os.environ)
        if obstacle := bubblewrap.obstacle() or (self._apart and egress_filter.obstacle(self.site.unreachable)):
            raise SandboxError(obstacle)
        if self.stop.reason:
            raise self.stop.reason
        self._ended: Ended | None = None
        self._told_at: float | None = None
        self._measured_at, self._printed, self._began = 0.0, 0, time.monotonic()
        self._over = threading.Event()
        ours, theirs = socket.socketpair()
        shared = self.info.world_size > 1 and not self._apart
        with (
            closing(Channel(ours, PATIENCE)) as self._channel,
            MachineNetwork(self.spec.folder, shared=shared) as network,
        ):
            with theirs:
                self._start(theirs, bubblewrap.MACHINE if self._apart else network)
            try:
                self._serve()
            finally:
                self._end()
        self._judge()

    def _start(self, theirs: socket.socket, network: bubblewrap.Network | None) -> None:
        program = (*self.program, str(theirs.fileno()))
        self._enclosed = Enclosed(self._box(), program, [theirs.fileno()], network, subprocess.PIPE)
        self._printing = threading.Thread(target=self._print, daemon=True)
        self._printing.start()
        threading.Thread(target=self._enforce, args=(os.dup(self._enclosed.first),), daemon=True).start()
        self._tell(Begin(spec=self._inner_spec(), rank=asdict(self.info)))

    def _print(self) -> None:
        """What the training prints goes to the rank's log, up to its limit; the log itself is not in its hands."""
        most, output = self.limits.messages_mb * 2**20, self._enclosed.process.stdout
        while output and (piece := os.read(output.fileno(), 2**16)):
            if self._printed <= most:
                with suppress(OSError):
                    os.write(2, piece)
            self._printed += len(piece)
        if output:
            output.close()

    def _enforce(self, first: int) -> None:
        """End a training that was told to leave and does not, whatever else this process is busy with."""
        told_at = None
        while not self._over.wait(LOOK_EVERY):
            if (reason := self.stop.reason) is None:
                continue
            told_at = told_at or time.monotonic()
            if time.monotonic() > told_at + GRACE.get(word_of(reason), self.limits.grace_s) + MARGIN:
                signal.pidfd_send_signal(first, signal.SIGKILL)
                break
        os.close(first)

    def _tell(self, message: Begin | Stop) -> None:
        try:
            self._channel.send(message)
        except OSError:
            return  # it is gone, or does not read: it is ended when its time is over

    def _box(self) -> Box:
        output = self.spec.folder / "output"
        for folder in (output, self.spec.checkpoints):
            folder.mkdir(mode=0o750, exist_ok=True)
        if self.info.is_first:
            empty(output)
        meeting = meeting_point(os.environ) if self._apart else ""
        variables = variables_of(os.environ, self.info, self.site.libraries, meeting)
        return Box(
            extract=self.spec.dataset_dir,
            bundle=self.spec.bundle_folder,
            output=output,
            checkpoints=self.spec.checkpoints,
            variables=variables,
            temporary_mb=self.limits.temporary_mb,
            libraries=self.site.libraries,
        )

    def _inner_spec(self) -> Any:
        """The specification as the training gets it: its folders inside, nothing of tracking or people."""
        inner = replace(self.spec, folder=ROOT, dataset_dir=EXTRACT, tracking_uri="", artifacts="", person="", facts={})
        return TypeAdapter(RunSpec).dump_python(inner, mode="json")

    def _serve(self) -> None:
        while self._ended is None and self._channel.is_open:
            for line in self._channel.lines(LOOK_EVERY):
                self._take(line)
                self._look()
            self._look()

    def _take(self, line: bytes) -> None:
        """One message; after the last one nothing is heard."""
        if self._ended is not None:
            return
        message = from_inside(line)
        if isinstance(message, Ended):
            self._ended = message
        else:
            self.handle(message, self._channel)

    def _look(self) -> None:
        """Tell it to stop where there is a reason, end it where it does not, and hold it to its limits."""
        now = time.monotonic()
        self.stop.reason = self.stop.reason or self.complaint()
        if reason := self.stop.reason:
            self._insist(reason, now)
        if self._channel.received > self.limits.messages_mb * 2**20:
            raise SandboxError(f"the training sent more than {self.limits.messages_mb} MiB of messages")
        if now > self._measured_at + MEASURE_EVERY:
            self._measured_at = now
            self._measure()

    def _insist(self, reason: ExperimentError, now: float) -> None:
        """Tell it to stop, once; raise when its time is over."""
        if self._told_at is None:
            self._told_at = now
            with suppress(OSError):
                os.write(2, f"the training is told to leave: {reason}\n".encode())
            self._tell(Stop(how=word_of(reason), reason=shortened(str(reason))))
        if now > self._told_at + GRACE.get(word_of(reason), self.limits.grace_s):
            raise _own(reason) or SandboxError("the training wrote no checkpoint in the time that it was given")

    def _measure(self) -> None:
        """SandboxError where the training is beyond a limit."""
        limits, started = self.limits, self._enclosed.processes()
        written, files = self._folders() if self.info.is_first_on_node else (0, 0)  # its ranks share them
        held = memory_of(started) if limits.memory_gb else 0
        took = time.monotonic() - self._began
        for is_over, sentence in (
            (written + measure_deleted(started) > limits.gigabytes * 2**30, f"wrote more than {limits.gigabytes} GiB"),
            (files > limits.files, f"wrote more than {limits.files} files"),
            (len(started) > limits.processes, f"started more than {limits.processes} processes"),
            (threads_of(started) > limits.threads, f"started more than {limits.threads} threads"),
            (held > limits.memory_gb * 2**30, f"held more than {limits.memory_gb} GiB of memory"),
            (0 < limits.hours * 3600 < took, f"took longer than {limits.hours} hours"),
            (self._printed > limits.messages_mb * 2**20, f"printed more than {limits.messages_mb} MiB"),
            (disk_usage(self.spec.folder).free < SPARE, "left less than a gigabyte free on the disk of the studies"),
        ):
            if is_over:
                raise SandboxError(f"the training {sentence}")

    def _folders(self) -> tuple[int, int]:
        """Bytes and entries of the two folders that it may write to."""
        folders = (self.spec.folder / "output", self.spec.checkpoints)
        sizes, counts = zip(*(measure(folder, self.limits.files) for folder in folders), strict=True)
        return sum(sizes), sum(counts)

    def _end(self) -> None:
        """Whatever happened, nothing of it lives after this; a training that said its last word gets a moment."""
        self._over.set()
        self._enclosed.end(2 if self._ended else 0.5 if not self._channel.is_open else 0)
        self._printing.join(LAST_MOMENT)

    def _judge(self) -> None:
        """Raise what ended the training early: our own reason first, then how its process ended, last what it says."""
        ended = self._ended
        if ended is None:
            raise _own(self.stop.reason) or _loss(self._enclosed.process.returncode)
        if ended.how == "failed":
            raise _own(self.stop.reason) or ExperimentError(f"{SAYS}{shortened(ended.reason)}")
        if ended.how == "done":
            if own := _own(self.stop.reason):
                raise own
            return  # a notice that came when all was done changes nothing
        raise self._awaited_reason(ended.how)

    def _awaited_reason(self, how: str) -> ExperimentError:
        """Our reason for what it says it was told: by us, or by a peer that was told first."""
        until = time.monotonic() + (NOTICE if self.info.world_size > 1 else 0)
        while self.stop.reason is None and time.monotonic() < until:
            time.sleep(LOOK_EVERY)
        if self.stop.reason is not None:
            return self.stop.reason
        if self.info.is_first or how == "preempted":
            return SandboxError("the training left as if it had been told to, which nobody did")
        return ForbiddenError("the first rank was told to leave")


def several_machines(info: RankInfo, environ: Mapping[str, str]) -> bool:
    """The ranks cannot meet on one machine's loopback."""
    address = environ.get("MASTER_ADDR", "localhost")
    return info.world_size != info.local_world_size and address != "localhost" and not is_loopback(address)


def meeting_point(environ: Mapping[str, str]) -> str:
    """The address where ranks on several machines meet, since nothing inside knows names; SandboxError."""
    try:
        return socket.gethostbyname(environ["MASTER_ADDR"])
    except OSError:
        raise SandboxError("the address of the first rank's machine is not known here") from None


def is_loopback(address: str) -> bool:
    """Is it an address of this machine alone?"""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _own(reason: ExperimentError | None) -> ExperimentError | None:
    """A reason to stop that needs no checkpoint; without one, a training that was preempted has failed."""
    return None if isinstance(reason, PreemptedError) else reason


def _loss(code: int) -> SandboxError:
    """What became of a training that said no last word."""
    number = code - 128 if code > 128 else -code
    if number in set(signal.Signals):
        return KilledError(number)
    return SandboxError(f"the training ended with exit code {code} and without a last word")
