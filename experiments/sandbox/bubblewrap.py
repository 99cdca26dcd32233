"""The wall on one machine: bubblewrap, which an ordinary user may call, in namespaces of the kernel.

Owns its command line. Inside are the folders of a ``Box``, new namespaces for users, mounts, processes, IPC, host name
and network, no capability, no way to new ones, and the filter of ``seccomp``. It ends with whoever started it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.errors import SandboxError
from experiments.sandbox import seccomp
from experiments.sandbox.box import Inside, devices

PROGRAM, ENTER = "bwrap", "nsenter"
_SYSTEM = ("/usr", "/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/etc/fonts")
_LINKS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64")
_TOPOLOGY = ("/sys/bus/pci", "/sys/class/kfd", "/sys/class/drm", "/sys/devices", "/sys/module/amdgpu")
"""Where the libraries of GPUs look for them."""
_KERNEL = ("/proc/sys", "/proc/sysrq-trigger")
"""What the kernel's settings let their owner write: laid over the new ``/proc``, to be read alone."""
_PROCESSORS = ("/sys/devices/system/cpu", "/sys/devices/system/node")
_APART = ("--new-session", "--die-with-parent", "--hostname", "sandbox")
_DETACHED = """trap "" TERM USR1 INT
ulimit -c 0; ulimit -n 8192 2>/dev/null
echo 1000 2>/dev/null >/proc/self/oom_score_adj
exec "$@"
"""
"""The scheduler's signals are for the process outside, which says through the pipe what they mean. No memory of a
training is written to a file, and where memory is short it goes first."""


@dataclass(frozen=True)
class Network:
    """A network that is not a training's alone: the loopback that the ranks of one machine share, in the namespaces of
    process ``pid``, which holds them; or with 0 the machine's own, for ranks on several machines."""

    pid: int

    def enter(self) -> list[str]:
        """The command that starts another one in it."""
        return (
            []
            if self == MACHINE
            else [ENTER, f"--target={self.pid}", "--user", "--net", "--preserve-credentials", "--"]
        )


MACHINE = Network(0)


def obstacle() -> str:
    """Why no sandbox can be made on this machine, in one sentence; empty if it can."""
    if shutil.which(PROGRAM) is None:
        return "bubblewrap is not installed (Debian: apt-get install bubblewrap), and no training runs without it"
    if not seccomp.is_known():
        return "there is no filter of system calls for this kind of processor, and no training runs without one"
    line = [PROGRAM, *_namespaces(), "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
    tried = subprocess.run(line, capture_output=True, check=False)
    if tried.returncode:
        return (
            "bubblewrap cannot make namespaces here: let ordinary users make them (sysctl user.max_user_namespaces, "
            "kernel.apparmor_restrict_unprivileged_userns), in a container with an unmasked /proc"
        )
    return ""


def command(
    box: Inside, program: Sequence[str], filter_fd: int, network: Network | None = None, info_fd: int | None = None
) -> list[str]:
    """The command line that runs ``program`` inside; ``filter_fd``: an open file that holds the filter.

    ``info_fd``: where it writes the number of its first process (``first_process``).
    It hands its own environment on: start it with the box's variables and nothing else.
    """
    wall = [PROGRAM, *_namespaces(own_network=network is None), *_mounts(box)]
    wall += [] if info_fd is None else ["--info-fd", str(info_fd)]
    wall += ["--seccomp", str(filter_fd), "--chdir", "/tmp", "--", *program]
    return ["sh", "-c", _DETACHED, "sandbox", *(network.enter() if network else []), *wall]


def _namespaces(*, own_network: bool = True) -> list[str]:
    shared = [] if own_network else ["--share-net"]
    return ["--unshare-all", *shared, "--cap-drop", "ALL", *_APART]


def _mounts(box: Inside) -> Iterator[str]:
    size = str(box.temporary_mb * 2**20)
    yield from ("--proc", "/proc", "--tmpfs", "/proc/1", "--remount-ro", "/proc/1")  # the first process is the wall's
    yield from ("--dev", "/dev", "--size", size, "--tmpfs", "/dev/shm")
    yield from ("--size", size, "--tmpfs", "/tmp")
    for path in (*_SYSTEM, *_PROCESSORS, *_KERNEL):
        yield from ("--ro-bind-try", path, path)
    for link in map(Path, _LINKS):
        if link.is_symlink():
            yield from ("--symlink", str(link.readlink()), str(link))
        elif link.is_dir():
            yield from ("--ro-bind", str(link), str(link))
    given = devices(os.environ)
    for device in given:
        yield from ("--dev-bind", str(device), str(device))
    for path in _TOPOLOGY if given else ():
        yield from ("--ro-bind-try", path, path)
    for outside, inside in box.readable():
        yield from ("--ro-bind", str(outside), str(inside))
    for outside, inside in box.writable():
        yield from ("--bind", str(outside), str(inside))
    yield from ("--remount-ro", "/dev", "--remount-ro", "/")  # else both are as large as half of the memory


def open_network() -> tuple[Network, subprocess.Popen[bytes]]:
    """Namespaces with a loopback and nothing else, held by a process that ends with this one; SandboxError."""
    read, write = os.pipe()
    line = [PROGRAM, "--unshare-user", "--unshare-net", "--ro-bind", "/", "/", "--die-with-parent"]
    holder = subprocess.Popen(
        ["sh", "-c", _DETACHED, "network", *line, "--info-fd", str(write), "sleep", "infinity"],
        pass_fds=[write],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(write)
    return Network(first_process(read)), holder


def first_process(descriptor: int) -> int:
    """The first process inside, as bubblewrap writes it to this pipe, which is closed; SandboxError if it does not."""
    with os.fdopen(descriptor) as answer:
        text = answer.read()
    if not text:
        raise SandboxError("bubblewrap could not make the namespaces")
    return int(json.loads(text)["child-pid"])


def python(*arguments: str) -> list[str]:
    """The environment's Python as it is called inside."""
    return [sys.executable, *arguments]
