"""A real PostgreSQL server for the tests, on the loopback, gone with them."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Run a server whose files lie in ``folder``; answers the URL of an empty database."""
    programs, port = _programs(), _free_port()
    data = folder / "data"
    _open_to_server(folder)
    _as_server(programs / "initdb", "-D", data, "-A", "trust", "-U", "erios", "--no-sync")
    options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off"
    _as_server(programs / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "start", "-o", options)
    try:
        _as_server(programs / "createdb", "-h", "127.0.0.1", "-p", port, "-U", "erios", "erios")
        yield f"postgresql://erios@127.0.0.1:{port}/erios"
    finally:
        _as_server(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")


def _programs() -> Path:
    """Where Debian, or the PATH, has the server's programs; a machine without them fails the tests."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    place = found[-1] if found else Path(shutil.which("initdb") or "")
    assert place.is_file(), "PostgreSQL is missing: run `make setup`, which installs it where it may"
    return place.parent


def _as_server(*command: object) -> None:
    """Run as a user who is not root: the server refuses to be."""
    person = "postgres" if os.getuid() == 0 else None
    subprocess.run([str(part) for part in command], check=True, user=person, stdout=subprocess.DEVNULL, cwd="/")


def _open_to_server(folder: Path) -> None:
    if os.getuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        for parent in folder.parents:
            if parent.stat().st_mode & 0o001 == 0:
                parent.chmod(parent.stat().st_mode | 0o011)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
