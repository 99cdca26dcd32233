"""Run in a user and network namespace of its own: this is one machine, a second namespace beside it another one.

The other machine is 10.9.0.2, where a rank answers, and 10.8.0.1, where the hospital does. A route that prohibits the
second stands for the administrator's filter.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from experiments.cluster import RankInfo
from experiments.errors import SandboxError
from experiments.sandbox.limits import Site
from tests.unit.experiments.sandbox.test_supervisor import Watch

PORT = 5432
SERVE = f"""
import socket
server = socket.create_server(("", {PORT}))
print("listens", flush=True)
while True: server.accept()[0].sendall(b"here")
"""
TRAIN = f"""
def reach(host):
    try: return socket.create_connection((host, {PORT}), 3).recv(9).decode()
    except OSError as error: return type(error).__name__
say(kind="params", values={{"peer": reach(os.environ["MASTER_ADDR"]), "hospital": reach("10.8.0.1"),
    "lo": os.environ.get("GLOO_SOCKET_IFNAME", "unset")}})
say(kind="ended", how="done")
"""


def ip(*arguments: object, inside: int = 0) -> None:
    enter = ["nsenter", f"--target={inside}", "--net"] if inside else []
    subprocess.run([*enter, "ip", *map(str, arguments)], check=True)


def make_other() -> tuple[subprocess.Popen[bytes], subprocess.Popen[str]]:
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 120"], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    ip("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", holder.pid)
    ip("addr", "add", "10.9.0.1/24", "dev", "near")
    ip("link", "set", "near", "up")
    for address in ("10.9.0.2/24", "10.8.0.1/32"):
        ip("addr", "add", address, "dev", "far", inside=holder.pid)
    ip("link", "set", "far", "up", inside=holder.pid)
    ip("route", "add", "10.8.0.1", "via", "10.9.0.2")
    line = ["nsenter", f"--target={holder.pid}", "--net", sys.executable, "-c", SERVE]
    server = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    server.stdout.readline()
    return holder, server


def train(folder: Path, *unreachable: str) -> str:
    watch = Watch(folder, TRAIN)
    watch.supervisor.info = RankInfo(world_size=2, local_world_size=1)
    watch.supervisor.site = Site(unreachable=unreachable)
    try:
        watch.run()
    except SandboxError as error:
        return str(error)
    return str(getattr(watch.taken[0], "values", None))


if __name__ == "__main__":
    os.environ |= {"MASTER_ADDR": "10.9.0.2", "MASTER_PORT": str(PORT)}
    started = make_other()
    for number, names in enumerate(([], ["10.8.0.1:5432"], ["10.8.0.1:1"])):
        sys.stdout.write(f"{train(Path(sys.argv[1], str(number)), *names)}\n")
    ip("route", "replace", "prohibit", "10.8.0.1")
    sys.stdout.write(f"{train(Path(sys.argv[1], 'filtered'), '10.8.0.1:5432', '10.8.0.1:1')}\n")
    for process in reversed(started):
        process.kill()
        process.wait()
