"""Ways out of a sandbox, each tried by a function that answers what it reached; nothing where it reached nothing.

``python hostile.py TARGETS.json`` tries all of them, each in a process of its own, and prints the outcome as JSON. It
uses the standard library alone, so that the same file runs with a wall and without one. ``TARGETS.json`` names what is
to be reached: files, ports and processes that the test has put up. Nothing here is a test.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

Targets = dict[str, Any]
_LIBC = ctypes.CDLL(None, use_errno=True)
_PTRACE_ATTACH, _PTRACE_TRACEME = 16, 0
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_PATIENCE = 5


def read_keyring(to: Targets) -> Any:
    return Path(to["keyring"]).read_text()


def read_landing(to: Targets) -> Any:
    return Path(to["landing"]).read_text()


def read_warehouse(to: Targets) -> Any:
    return Path(to["warehouse"]).read_text()


def read_governance(to: Targets) -> Any:
    return Path(to["governance"]).read_bytes()


def write_governance(to: Targets) -> Any:
    with Path(to["governance"]).open("a") as file:
        return file.write(" ")


def read_other_run(to: Targets) -> Any:
    return Path(to["other_run"]).read_text()


def list_parent_of_secrets(to: Targets) -> Any:
    return list(Path(to["keyring"]).parent.iterdir())


def read_account_list(_to: Targets) -> Any:
    return Path("/etc/passwd").read_text()


def read_own_home(to: Targets) -> Any:
    return Path(to["home_file"]).read_text()


def through_root_of_first_process(to: Targets) -> Any:
    return Path(f"/proc/1/root{to['keyring']}").read_text()


def through_root_of_supervisor(to: Targets) -> Any:
    return Path(f"/proc/{to['pid']}/root{to['keyring']}").read_text()


def through_working_folder_of_supervisor(to: Targets) -> Any:
    return list(Path(f"/proc/{to['pid']}/cwd/").iterdir())


def environment_of_supervisor(to: Targets) -> Any:
    return to["secret"].encode() in Path(f"/proc/{to['pid']}/environ").read_bytes()


def own_environment(to: Targets) -> Any:
    return to["secret"] in "".join(os.environ.values())


def command_of_supervisor(to: Targets) -> Any:
    return to["word"] in Path(f"/proc/{to['pid']}/cmdline").read_text()


def memory_of_supervisor(to: Targets) -> Any:
    address = int(Path(f"/proc/{to['pid']}/maps").read_text().split("-")[0], 16)
    with Path(f"/proc/{to['pid']}/mem").open("rb") as memory:
        memory.seek(address)
        return memory.read(4)


def signal_supervisor(to: Targets) -> Any:
    named = to["word"] in Path(f"/proc/{to['pid']}/cmdline").read_text()
    os.kill(to["pid"], 0)
    return named


def trace_supervisor(to: Targets) -> Any:
    if attached := _LIBC.ptrace(_PTRACE_ATTACH, to["pid"], 0, 0) == 0:
        os.waitpid(to["pid"], 0)
    return attached


def trace_anybody(_to: Targets) -> Any:
    return _LIBC.ptrace(_PTRACE_TRACEME, 0, 0, 0) == 0


def change_first_process(_to: Targets) -> Any:
    """The first process of a sandbox takes it down when its maker is gone."""
    with Path("/proc/1/mem").open("r+b"):
        return Path("/proc/1/environ").read_bytes()


def write_beside_the_folders(to: Targets) -> Any:
    """Each such place is in memory that no limit counts."""
    places = [Path(place) / "planted" for place in (to["beside"], "/x" if to["beside"] == "/" else to["beside"])]
    return [place.write_text("here") for place in places]


def make_setuid_program(to: Targets) -> Any:
    program = Path(to["output"]) / "program"
    program.touch()
    program.chmod(0o4755)
    return program.stat().st_mode & 0o4000


def make_setuid_program_at_once(to: Targets) -> Any:
    descriptor = os.open(Path(to["output"]) / "at_once", os.O_CREAT | os.O_WRONLY, 0o4755)
    return os.fstat(descriptor).st_mode & 0o4000


def hold_the_extract(to: Targets) -> Any:
    import fcntl

    descriptor = os.open(Path(to["extract"]) / "data", os.O_RDONLY)
    return fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK) == 0


def read_memory_of_supervisor(to: Targets) -> Any:
    address = int(Path(f"/proc/{to['pid']}/maps").read_text().split("-")[0], 16)
    piece = ctypes.create_string_buffer(4)
    here = (ctypes.c_void_p * 2)(ctypes.addressof(piece), 4)
    there = (ctypes.c_void_p * 2)(address, 4)
    return _LIBC.process_vm_readv(to["pid"], here, 1, there, 1, 0) == 4


def connect_to_port(to: Targets) -> Any:
    with socket.create_connection(("127.0.0.1", to["port"]), 2) as connection:
        return connection.recv(8)


def connect_to_port_by_ipv6(to: Targets) -> Any:
    with socket.create_connection(("::1", to["port6"]), 2) as connection:
        return connection.recv(8)


def ask_by_datagram(to: Targets) -> Any:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
        query.settimeout(2)
        query.sendto(b"who", ("127.0.0.1", to["datagrams"]))
        return query.recv(8)


def connect_to_abstract_socket(to: Targets) -> Any:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("\0" + to["abstract"])
        return connection.recv(8)


def connect_to_named_socket(to: Targets) -> Any:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(to["socket"])
        return connection.recv(8)


def see_network_cards(to: Targets) -> Any:
    return sorted(name for _number, name in socket.if_nameindex() if name in to["cards"])


def open_machine_socket(_to: Targets) -> Any:
    return socket.socket(socket.AF_VSOCK).fileno() >= 0


def open_kernel_crypto_socket(_to: Targets) -> Any:
    return socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET).fileno() >= 0


def open_raw_socket(_to: Targets) -> Any:
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).fileno() >= 0


def open_packet_socket(_to: Targets) -> Any:
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW).fileno() >= 0


def attach_shared_memory(to: Targets) -> Any:
    return _LIBC.shmget(to["memory_key"], 0, 0) >= 0


def read_shared_memory_file(to: Targets) -> Any:
    return Path(to["shared_memory"]).read_text()


def leave_shared_memory_file(to: Targets) -> Any:
    """The test looks for it afterwards."""
    Path(to["left_memory"]).write_text("here")


def leave_temporary_file(to: Targets) -> Any:
    """The test looks for it afterwards."""
    Path(to["left_file"]).write_text("here")


def open_message_queue(to: Targets) -> Any:
    return _LIBC.msgget(to["memory_key"], 0) >= 0


def change_extract(to: Targets) -> Any:
    return (Path(to["extract"]) / "data").write_text("forged")


def change_bundle(to: Targets) -> Any:
    return (Path(to["bundle"]) / "planted.py").write_text("forged")


def change_packages(to: Targets) -> Any:
    return (Path(to["packages"]) / "planted.pth").write_text("import os")


def change_product(to: Targets) -> Any:
    return (Path(to["product"]) / "planted.py").write_text("forged")


def make_user_namespace(_to: Targets) -> Any:
    return _LIBC.unshare(_NEW_USER) == 0


def make_network_namespace(_to: Targets) -> Any:
    return _LIBC.unshare(_NEW_USER | _NEW_NET) == 0


def enter_namespace_of_supervisor(to: Targets) -> Any:
    descriptor = os.open(f"/proc/{to['pid']}/ns/net", os.O_RDONLY)
    return _LIBC.setns(descriptor, 0) == 0


def mount_something(to: Targets) -> Any:
    folder = Path(to["output"]) / "mounted"
    folder.mkdir(exist_ok=True)
    return _LIBC.mount(b"none", str(folder).encode(), b"tmpfs", 0, None) == 0


def change_root(_to: Targets) -> Any:
    return _LIBC.chroot(b"/") == 0


def keep_key(_to: Targets) -> Any:
    return _LIBC.syscall(248, b"user", b"erios-escape", b"x", 1, -4) >= 0


def use_kernel_programs(_to: Targets) -> Any:
    ctypes.set_errno(0)
    _LIBC.syscall(321, 0, None, 0)
    return ctypes.get_errno() != 1


def use_io_rings(_to: Targets) -> Any:
    ring = ctypes.create_string_buffer(120)
    return _LIBC.syscall(425, 1, ring) >= 0


def open_by_handle(_to: Targets) -> Any:
    ctypes.set_errno(0)
    _LIBC.syscall(304, -100, None, 0)
    return ctypes.get_errno() != 1


def read_kernel_log(_to: Targets) -> Any:
    return os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK) >= 0


def read_disk(to: Targets) -> Any:
    return os.open(to["disk"], os.O_RDONLY) >= 0


def change_kernel_setting(_to: Targets) -> Any:
    return os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY) >= 0


def change_control_group(_to: Targets) -> Any:
    return [path for path in ("/sys/fs/cgroup",) if os.access(path, os.W_OK)]


def gain_privileges(_to: Targets) -> Any:
    status = Path("/proc/self/status").read_text().split()
    return status[status.index("NoNewPrivs:") + 1] == "0"


def have_capabilities(_to: Targets) -> Any:
    status = Path("/proc/self/status").read_text().split()
    return int(status[status.index("CapBnd:") + 1], 16)


def find_open_files(to: Targets) -> Any:
    """Descriptors that lead to something of the process outside."""
    links = []
    for number in range(3, 64):
        with suppress(OSError):
            links.append(str(Path(f"/proc/self/fd/{number}").readlink()))
    return [link for link in links if link.startswith(to["root"])]


def use_rpc_of_container(_to: Targets) -> Any:
    places = ("/run/docker.sock", "/run/munge/munge.socket.2", "/run/systemd/private", "/run/dbus/system_bus_socket")
    return [place for place in places if Path(place).exists()] or Path("/run").exists()


def leave_process(to: Targets) -> Any:
    """A process that writes when all is over; the test looks for the file."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.alarm(60)
            os.closerange(1, 64)
            time.sleep(3)
            with suppress(OSError):
                Path(to["left_later"]).write_text("here")
        os._exit(0)


ESCAPES: dict[str, Callable[[Targets], Any]] = {
    name: value for name, value in globals().items() if callable(value) and getattr(value, "__module__", "") == __name__
}


def attempt(name: str, to: Targets) -> Any:
    """What one escape reached, tried in a process of its own; None if nothing."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        signal.alarm(_PATIENCE)
        try:
            reached = repr(ESCAPES[name](to) or "")[:60]
        except BaseException:
            reached = "''"
        os.write(writer, reached.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    os.wait()
    return text if text not in ("", "''") else None


def main(path: str) -> dict[str, Any]:
    """Every escape and what it reached."""
    to = json.loads(Path(path).read_text())
    return {name: attempt(name, to) for name in ESCAPES}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1])))
