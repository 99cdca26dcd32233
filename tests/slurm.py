"""A real Slurm cluster of two nodes on this machine for the tests, gone with them; as root or as an ordinary user.

Nothing here is a test. The clocks are set short, so that a preempted job runs again within seconds.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "scancel", "srun")
NODES = {"n1": ("/dev/null", "/dev/zero"), "n2": ("/dev/full", "/dev/urandom")}
"""Node → the device files that stand for its GPUs."""
PATIENCE = 120.0
MARK = "TESTED_DAEMON"

_CONF = """\
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={place}/munge.sock,cred_expire=5
CredType=cred/munge
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/%n
SlurmctldPidFile={place}/ctld.pid
SlurmdPidFile={place}/%n.pid
SlurmctldLogFile={place}/ctld.log
SlurmdLogFile={place}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=4
SlurmdTimeout=5
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=100000
MpiDefault=none
ReturnToService=2
SwitchType=switch/none
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 CoresPerSocket=4 RealMemory=8000 Gres=gpu:2
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4 CoresPerSocket=4 RealMemory=8000 Gres=gpu:2
PartitionName=gpu Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=n1,n2 MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


@dataclass
class SlurmHost:
    """The running cluster: its configuration file and the processes that make it."""

    conf: Path
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        """An environment in which Slurm's commands find this cluster."""
        return {**os.environ, "SLURM_CONF": str(self.conf)}

    def ask(self, *command: str) -> str:
        """What one of Slurm's commands answers."""
        return subprocess.run(command, env=self.environ, check=True, capture_output=True, text=True).stdout

    def start(self, name: str, *command: str) -> None:
        """Run a daemon in the foreground, so that its process is ours to end; it and its helpers carry its name."""
        with (self.conf.parent / f"{name}.out").open("ab") as said:
            self.daemons[name] = subprocess.Popen(
                command,
                env={**self.environ, MARK: name},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def start_node(self, node: str) -> None:
        """slurmd of ``node``, with nothing kept from before."""
        self.start(node, _program("slurmd"), "-D", "-c", "-N", node, "-f", str(self.conf))

    def kill_node(self, node: str) -> None:
        """The node is gone, its daemon and all that ran there, without a word; the health check has it noticed."""
        for process in self.processes(f"{MARK}={node}", f"SLURMD_NODENAME={node}"):
            os.kill(process, signal.SIGKILL)
        self.daemons[node].wait()
        self.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=lost")

    def processes(self, *marks: str) -> list[int]:
        """This cluster's processes that have one of ``marks`` in their environment."""
        found = {int(path.name): _environ_of(path) for path in Path("/proc").glob("[0-9]*")}
        ours = f"SLURM_CONF={self.conf}"
        return [number for number, environ in found.items() if ours in environ and not environ.isdisjoint(marks)]

    def answers(self) -> bool:
        """The controller takes orders."""
        ping = subprocess.run(["scontrol", "ping"], env=self.environ, stdout=subprocess.DEVNULL, check=False)
        return ping.returncode == 0

    def wait_until_idle(self) -> None:
        """All nodes are up and hold no job."""
        wait_for(lambda: self.ask("sinfo", "-h", "-o", "%T %D").split() == ["idle", str(len(NODES))], "idle nodes")


def wait_for(is_so: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Look every few hundredths of a second until ``is_so()``; AssertionError when patience ends."""
    until = time.monotonic() + patience
    while not is_so():
        assert time.monotonic() < until, f"no {what} within {patience:.0f} s"
        time.sleep(0.05)


@contextmanager
def running(place: Path) -> Iterator[SlurmHost]:
    """Run the cluster with its files in ``place``, whose path is short: a socket's has at most 108 bytes."""
    missing = [name for name in PROGRAMS if not _found(name)]
    assert not missing, f"Slurm is missing ({', '.join(missing)}): run `make test`, which installs slurm-wlm and munge"
    _write_files(place)
    host = SlurmHost(place / "slurm.conf")
    with ExitStack() as ends:
        ends.callback(_end, host)
        host.start("munged", *_munged(place))
        wait_for((place / "munge.sock").exists, "munge")
        host.start("ctld", _program("slurmctld"), "-D", "-c", "-f", str(host.conf))
        for node in NODES:
            host.start_node(node)
        wait_for(host.answers, "answer of slurmctld")
        host.wait_until_idle()
        yield host


def _write_files(place: Path) -> None:
    for folder in ("state", *NODES):
        (place / folder).mkdir()
    (place / "key").write_bytes(os.urandom(1024))
    (place / "key").chmod(0o600)
    conf = _CONF.format(place=place, user=pwd.getpwuid(os.getuid()).pw_name, ports=free_ports(1 + len(NODES)))
    (place / "slurm.conf").write_text(conf)
    devices = [f"NodeName={node} Name=gpu File={file}\n" for node, files in NODES.items() for file in files]
    (place / "gres.conf").write_text("".join(devices))


def _munged(place: Path) -> list[str]:
    files = [f"--{what}-file={place}/munged.{what}" for what in ("pid", "log", "seed")]
    return [
        _program("munged"),
        "--foreground",
        "--force",
        f"--key-file={place}/key",
        f"--socket={place}/munge.sock",
        *files,
    ]


def _end(host: SlurmHost) -> None:
    """First what runs on the nodes, then each daemon that we started, by its id."""
    for process in host.processes(*(f"SLURMD_NODENAME={node}" for node in NODES)):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    for name in (*NODES, "ctld", "munged"):
        daemon = host.daemons.get(name)
        if daemon and daemon.poll() is None:
            daemon.terminate()
            daemon.wait(PATIENCE)


def _environ_of(process: Path) -> set[str]:
    try:
        return set((process / "environ").read_bytes().decode(errors="replace").split("\0"))
    except OSError:
        return set()


def _found(program: str) -> bool:
    return shutil.which(program, path=_path()) is not None


def _program(name: str) -> str:
    return shutil.which(name, path=_path()) or name


def _path() -> str:
    """Debian keeps daemons out of an ordinary user's PATH."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
