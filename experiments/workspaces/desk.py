"""One workspace's sandbox: JupyterLab behind the wall, reached by one socket that is made outside and handed in.

Nothing inside knows a path to that socket, so it cannot be turned into another one. Whatever it starts ends with it.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import files
from pathlib import Path

import experiments
from experiments.errors import SandboxError
from experiments.sandbox import bubblewrap
from experiments.sandbox.box import ROOT, environment
from experiments.sandbox.enclosed import Enclosed, memory_of

EXTRACT, STUDY, VERSIONS, PACKAGES = (ROOT / name for name in ("extract", "study", "versions", "packages"))
_SITE = "/tmp/packages"
"""Where pip puts what it takes from the mirror: in memory, gone at the end."""
_MACHINE = ("/etc/java-*-openjdk", "/etc/R")
"""What Java and R, where they are installed, look for outside of /usr."""
_ACCOUNTS = "{user}:x:{uid}:{gid}::/tmp:/bin/sh\n"
_NAMES = "127.0.0.1 localhost sandbox\n"


def _variables() -> dict[str, str]:
    """The environment inside: nothing of the outer one but its languages."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TZ") if name in os.environ}
    return kept | {
        "PATH": f"{Path(bubblewrap.python()[0]).parent}:/usr/bin:/bin",
        "HOME": "/tmp",
        "USER": "workspace",
        "PYTHONPATH": f"{_SITE}:{Path(experiments.__file__).parents[1]}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(PACKAGES),
        "PIP_ONLY_BINARY": ":all:",
        "PIP_TARGET": _SITE,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "IPYTHONDIR": "/tmp/ipython",
        "MPLCONFIGDIR": "/tmp/matplotlib",
    }


@dataclass(frozen=True)
class DeskBox:
    """What the sandbox holds: ``extract``, ``versions`` and ``packages`` to read, ``study`` to write; a file of
    ``private`` each for the names of accounts and hosts, since Spark asks for both."""

    extract: Path
    study: Path
    versions: Path
    packages: Path
    private: Path
    temporary_mb: int = 2048
    variables: Mapping[str, str] = field(default_factory=_variables)

    def readable(self) -> Iterator[tuple[Path, Path]]:
        """Folders and files to read, each with its name inside."""
        listed = (*environment(), lab_files())
        yield from ((path, path) for path in dict.fromkeys(listed))
        root = Path("/")
        yield from ((path, path) for pattern in _MACHINE for path in sorted(root.glob(pattern[1:])))
        yield from ((self.private / name, Path("/etc") / name) for name in ("passwd", "hosts"))
        yield from ((self.extract, EXTRACT), (self.versions, VERSIONS), (self.packages, PACKAGES))

    def writable(self) -> Iterator[tuple[Path, Path]]:
        """Folders to write, each with its name inside."""
        yield self.study, STUDY


def lab_files() -> Path:
    """The folder of JupyterLab's own pages, scripts and schemas; SandboxError where it is not installed."""
    for entry in files("jupyterlab") or ():
        if entry.parts[-5:] == ("share", "jupyter", "lab", "static", "index.html"):
            return Path(str(entry.locate())).resolve().parents[1]
    raise SandboxError("JupyterLab's pages are not installed: run `make setup`")


class Desk:
    """A running workspace: ``socket`` is where its JupyterLab answers."""

    def __init__(self, extract: Path, study: Path, versions: Path, packages: Path, temporary_mb: int = 2048) -> None:
        self.private = Path(tempfile.mkdtemp(prefix="erios-desk-"))
        self.socket = self.private / "socket"
        self.box = DeskBox(extract, study, versions, packages, self.private, temporary_mb)

    def start(self) -> None:
        """Start it, in a thread that lives as long as it: the kernel ends it with that thread. SandboxError."""
        if obstacle := bubblewrap.obstacle():
            raise SandboxError(obstacle)
        user = {"user": "workspace", "uid": os.getuid(), "gid": os.getgid()}
        (self.private / "passwd").write_text(_ACCOUNTS.format(**user))
        (self.private / "hosts").write_text(_NAMES)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(self.socket))
            listening.listen(128)
            program = (
                "-P",
                "-m",
                "experiments.workspaces.inside",
                str(listening.fileno()),
                str(lab_files()),
                str(STUDY),
            )
            self._enclosed = Enclosed(self.box, program, [listening.fileno()])

    @property
    def has_ended(self) -> bool:
        """Did it end by itself?"""
        return self._enclosed.process.poll() is not None

    def usage(self) -> tuple[int, int]:
        """Processes that it runs, and bytes of memory that they hold."""
        started = self._enclosed.processes()
        return len(started), memory_of(started)

    def end(self) -> None:
        """End everything in it, and wait until nothing is left."""
        self._enclosed.end()
        shutil.rmtree(self.private, ignore_errors=True)
