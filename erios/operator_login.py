"""Who is at the keyboard: the login the operating system knows, never one that a command is told.

The kernel keeps the user who logged in through `sudo` and `su` (its *login uid*, set once by pam_loginuid); so two
people who both work through one service account stay two. Where it knows none (a service, a container), the owner of
the process counts.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

LOGIN_UID = Path("/proc/self/loginuid")
_UNSET = 2**32 - 1


def current_operator() -> str:
    """The login of the person, or ``uid N`` of a user without an entry in the password database."""
    uid = _login_uid()
    uid = os.getuid() if uid is None else uid
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
