"""Stands in for a command that the broker runs: says for whom it works, and does what its second argument says."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

connection, folder, attached, _name, _train, act = sys.argv[1:7]
with socket.socket(fileno=int(connection)) as peer:
    from erios.operator_login import current_operator, work_for

    work_for(peer)


def tell(*values: object) -> None:
    sys.stdout.write(" ".join(map(str, values)) + "\n")
    sys.stdout.flush()


tell(current_operator())
if act == "wait":
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    tell("waits")
    time.sleep(60)
elif act == "look":
    tell(sorted({"TERM", "HOME"} & set(os.environ)), Path.cwd(), sys.path[0] == "")
    tell(list(Path(folder).iterdir()), Path(folder).stat().st_mode & 0o077)
elif act == "write":
    os.write(int(attached), b"a secret")
elif act == "die":
    os.kill(os.getpid(), signal.SIGKILL)
