"""Every way out that ``hostile`` knows: open without the wall, shut behind it.

A file stands for each secret of a hospital, and a process with a password in its environment for the one that watches.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import experiments
from experiments.sandbox import bubblewrap, seccomp
from experiments.sandbox.box import Box, variables_of
from tests.slurm import wait_for
from tests.unit.experiments.sandbox.hostile import ESCAPES

HOSTILE = Path(__file__).with_name("hostile.py")
SECRETS = ("keyring", "landing", "warehouse", "governance", "other_run", "home_file")
WORD, PASSWORD = "erios-watcher-of-the-test", "erios-password-of-the-test"
MEMORY_KEY = 0x65720000 | os.getpid() & 0xFFFF
LEAVING = {"leave_process", "leave_temporary_file", "leave_shared_memory_file"}
LEFT = ("left_file", "left_memory", "left_later")
NEEDS_ROOT = {
    "change_kernel_setting",
    "change_root",
    "have_capabilities",
    "mount_something",
    "open_by_handle",
    "open_packet_socket",
    "open_raw_socket",
    "read_disk",
    "read_kernel_log",
    "use_kernel_programs",
}
"""What an ordinary user cannot do without a wall either."""
NOT_EVERYWHERE = {
    "change_control_group",
    "connect_to_port_by_ipv6",
    "enter_namespace_of_supervisor",
    "keep_key",
    "open_kernel_crypto_socket",
    "open_machine_socket",
    "through_root_of_first_process",
    "change_first_process",
    "read_disk",
    "read_kernel_log",
    "use_io_rings",
}
"""What a kernel may lack, or a container forbid, without a wall of ours."""


@dataclass(frozen=True)
class Prey:
    """What there is to reach; ``box``: what the sandbox is given of it."""

    targets: Mapping[str, Any]
    box: Box

    def write(self, folder: Path, **changed: Any) -> Path:
        """The targets as a file."""
        path = folder / "targets.json"
        path.write_text(json.dumps({**self.targets, **changed}))
        return path


def answer(server: socket.socket) -> None:
    """Answer everybody who connects."""
    server.listen()
    while True:
        try:
            connection, _address = server.accept()
        except OSError:
            return
        with connection:
            connection.sendall(b"welcome")


def answer_datagrams(server: socket.socket) -> None:
    while True:
        try:
            _query, address = server.recvfrom(16)
            server.sendto(b"welcome", address)
        except OSError:
            return


def listening(family: socket.AddressFamily, address: Any) -> socket.socket:
    server = socket.socket(family)
    server.bind(address)
    threading.Thread(target=answer, args=(server,), daemon=True).start()
    return server


@pytest.fixture
def prey(tmp_path: Path) -> Iterator[Prey]:
    home, outside = tmp_path / "home", Path(tempfile.mkdtemp(prefix="erios-escape-"))
    home.mkdir()
    for name in SECRETS:
        (home / name).write_text(f"secret of {name}")
    folders = {name: tmp_path / name for name in ("extract", "bundle", "output", "checkpoints")}
    for folder in folders.values():
        folder.mkdir()
    (folders["extract"] / "data").write_text("cleared")
    (folders["bundle"] / "hostile.py").write_bytes(HOSTILE.read_bytes())
    shared = Path("/dev/shm") / f"erios-escape-{os.getpid()}"
    shared.write_text("secret")
    tcp, named = listening(socket.AF_INET, ("127.0.0.1", 0)), listening(socket.AF_UNIX, str(outside / "socket"))
    abstract = listening(socket.AF_UNIX, f"\0erios-escape-{os.getpid()}")
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    threading.Thread(target=answer_datagrams, args=(datagrams,), daemon=True).start()
    watcher = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)", WORD], env={"PASSWORD": PASSWORD}, cwd=home
    )
    libc = ctypes.CDLL(None)
    segment, messages = libc.shmget(MEMORY_KEY, 4096, 0o1600), libc.msgget(MEMORY_KEY, 0o1600)
    targets = {name: str(home / name) for name in SECRETS} | {
        "root": str(tmp_path),
        "pid": watcher.pid,
        "word": WORD,
        "secret": PASSWORD,
        "port": tcp.getsockname()[1],
        "port6": 1,
        "datagrams": datagrams.getsockname()[1],
        "abstract": f"erios-escape-{os.getpid()}",
        "socket": str(outside / "socket"),
        "cards": [name for _number, name in socket.if_nameindex() if name != "lo"],
        "memory_key": MEMORY_KEY,
        "shared_memory": str(shared),
        "left_memory": f"{shared}-left",
        "left_file": str(outside / "left"),
        "left_later": str(outside / "later"),
        "disk": next((str(path) for path in Path("/dev").glob("*") if path.is_block_device()), ""),
        **{name: str(folder) for name, folder in folders.items()},
        "packages": str(tmp_path),
        "product": str(tmp_path),
        "beside": str(tmp_path),
    }
    box = Box(
        folders["extract"],
        folders["bundle"],
        folders["output"],
        folders["checkpoints"],
        variables_of({"PATH": "/usr/bin", "PASSWORD": PASSWORD}),
    )
    yield Prey(targets, box)
    libc.shmctl(segment, 0, None)
    libc.msgctl(messages, 0, None)
    watcher.kill()
    watcher.wait()
    for server in (tcp, named, abstract, datagrams):
        server.close()
    for path in (shared, Path(f"{shared}-left")):
        path.unlink(missing_ok=True)


def without_wall(prey: Prey, folder: Path) -> dict[str, Any]:
    """In a mount namespace of its own where that can be had, so that nothing of the test's machine changes."""
    apart = ["unshare", "--mount"] if os.geteuid() == 0 else []
    line = [*apart, sys.executable, str(HOSTILE), str(prey.write(folder))]
    with Path(prey.targets["keyring"]).open() as keyring:  # what a process leaves open by mistake
        said = subprocess.run(
            line,
            pass_fds=[keyring.fileno()],
            env={"PASSWORD": PASSWORD},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
    return dict(json.loads(said.stdout))


def behind_wall(prey: Prey, folder: Path) -> dict[str, Any]:
    inside = {"extract": "/work/extract", "bundle": "/work/bundle", "output": "/work/output", "beside": "/"}
    product = Path(experiments.__file__).parent
    prey.write(prey.box.output, **inside, packages=pytest.__path__[0], product=str(product))
    with tempfile.TemporaryFile() as rules:
        rules.write(seccomp.program())
        rules.seek(0)
        program = [sys.executable, "/work/bundle/hostile.py", "/work/output/targets.json"]
        said = subprocess.run(
            bubblewrap.command(prey.box, program, rules.fileno()),
            pass_fds=[rules.fileno()],
            env=dict(prey.box.variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert said.returncode == 0, said.stderr[-2000:]
    return dict(json.loads(said.stdout))


def left_behind(prey: Prey, *, missing: bool = False) -> list[str]:
    """What escapes left outside; or what they did not."""
    return [name for name in LEFT if Path(prey.targets[name]).exists() != missing]


def test_what_a_program_reaches_without_a_wall_it_does_not_reach_behind_it(prey: Prey, tmp_path: Path) -> None:
    assert not bubblewrap.obstacle()
    assert len(ESCAPES) >= 41

    bare = without_wall(prey, tmp_path)
    wait_for(lambda: not left_behind(prey, missing=True), "what is left without a wall", 30)
    for name in LEFT:
        Path(prey.targets[name]).unlink()
    walled = behind_wall(prey, tmp_path)

    assert {name: reached for name, reached in walled.items() if reached} == {}
    shut_anyway = {name for name, reached in bare.items() if not reached}
    excused = NOT_EVERYWHERE | (set() if os.geteuid() == 0 else NEEDS_ROOT)
    assert shut_anyway - LEAVING <= excused
    time.sleep(4)  # longer than the process that is left waits
    assert left_behind(prey) == []
