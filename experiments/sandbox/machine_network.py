"""The network of a run's ranks on one machine: a loopback that they share, and nothing else.

Owns who makes it. A training in one process has a network namespace of its own and needs none of this.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path
from types import TracebackType

from experiments.files import locked, write_whole
from experiments.sandbox.bubblewrap import Network, open_network


class MachineNetwork:
    """Entering the block answers the network, made by the first rank of the machine that comes; None if not shared.

    It lives as long as a process is in it, or the rank that made it.
    """

    def __init__(self, folder: Path, *, shared: bool) -> None:
        self._file = folder / f"network-{socket.gethostname()}.json"
        self._shared = shared
        self._holder: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Network | None:
        if not self._shared:
            return None
        with locked(self._file.with_suffix(".lock")):
            network = self._there()
            if network is None:
                network, self._holder = open_network()
                write_whole(self._file, json.dumps({"pid": network.pid, "net": _namespace(network.pid)}).encode())
        return network

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._holder:
            self._holder.kill()
            self._holder.wait()

    def _there(self) -> Network | None:
        """The one that another rank has made, if it still stands: numbers of processes are used again."""
        try:
            written = json.loads(self._file.read_bytes())
            stands = _namespace(written["pid"]) == written["net"] != _namespace(os.getpid())
        except OSError:
            return None
        return Network(written["pid"]) if stands else None


def _namespace(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())
