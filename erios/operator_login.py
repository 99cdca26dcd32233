"""Who is at the keyboard: the login the operating system knows, never one that a command is told.

The kernel keeps the user who logged in through `sudo` and `su` (its *login uid*, set once by pam_loginuid); so two
people who both work through one service account stay two. Where it knows none (a service, a container), the owner of
the process counts. A command that the broker runs is that of the account on the other side of its socket, which the
kernel knows as well.
"""

from __future__ import annotations

import os
import pwd
import socket
import struct
from pathlib import Path

LOGIN_UID = Path("/proc/self/loginuid")
_UNSET = 2**32 - 1


_CREDENTIALS = struct.Struct("iii")
_peers: list[int] = []
"""The user for whom this process works, if it is the broker's."""


def work_for(connection: socket.socket) -> None:
    """From now on this process works for the account on the other side of a Unix socket."""
    _peers[:] = [peer_of(connection)]


def peer_of(connection: socket.socket) -> int:
    """The user on the other side of a Unix socket, as it was when it connected; ValueError for any other socket."""
    if connection.family != socket.AF_UNIX:
        raise ValueError("only a Unix socket knows who is on its other side")
    answer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _process, uid, _group = _CREDENTIALS.unpack(answer)
    if uid < 0:
        raise ValueError("nobody is on the other side of this socket")
    return int(uid)


def current_operator() -> str:
    """The login of the person, or ``uid N`` of a user without an entry in the password database."""
    uid = _peers[0] if _peers else _login_uid()
    return login_of(os.getuid() if uid is None else uid)


def login_of(uid: int) -> str:
    """A user's login, or ``uid N`` without an entry in the password database."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _login_uid() -> int | None:
    try:
        uid = int(LOGIN_UID.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return None if uid == _UNSET else uid
