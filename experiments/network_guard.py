"""A process that may answer, and may not call: no outgoing connection and no look-up of a name from Python.

Owns the guard inside the process. It is a Python audit hook, which nothing can take off again; the operating system's
refusal (docs/how-to-deploy.md) stands behind it for code that is not Python's. PostgreSQL's own library is such code:
the database is reached, and nothing else.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

_CALLS = frozenset(["socket.connect", "socket.sendto", "socket.sendmsg"])
"""Their second argument is the address; None on a connection that somebody else made."""
_NAMES = frozenset(["socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"])
_PROGRAMS = frozenset(["os.system", "os.exec", "os.posix_spawn", "subprocess.Popen"])


class OutgoingCallError(PermissionError):
    """This process tried to reach something outside itself."""


def refuse_outgoing_calls() -> None:
    """From now on, and until the process ends: connections, look-ups and other programs raise OutgoingCallError."""
    sys.addaudithook(_check)


def _check(event: str, arguments: tuple[Any, ...]) -> None:
    calls = event in _CALLS and arguments[1] is not None and arguments[0].family != socket.AF_UNIX
    if calls or event in _NAMES or event in _PROGRAMS:
        raise OutgoingCallError("the tracking server calls nobody")
