"""A workspace as the proxy knows it: its host, who was let in, when somebody last worked, and what has left it."""

from __future__ import annotations

import hmac
import secrets
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from experiments.workspaces.traffic import Traffic

ENTRY = "/enter"
"""Where a browser brings its token."""


@dataclass
class Place:
    """``label``: the first label of its host name, drawn for this opening alone; ``socket``: where JupyterLab answers.

    ``page``: JupyterLab's page, taken before anybody's code ran. ``streams``: open WebSockets.
    """

    label: str
    socket: Path
    traffic: Traffic
    page: bytes = b""
    worked: float = field(default_factory=time.monotonic)
    is_closed: bool = False
    streams: set[Any] = field(default_factory=set)
    _admitted: str = ""

    def admit(self) -> str:
        """A new word for the browser's cookie; the one before holds no longer."""
        word = secrets.token_urlsafe(32)
        self._admitted = digest(word)
        self.note_work()
        return word

    def is_admitted(self, word: str) -> bool:
        """Is it the word of the browser that was let in last?"""
        return bool(self._admitted) and hmac.compare_digest(digest(word), self._admitted)

    def note_work(self) -> None:
        """Somebody is at work now."""
        self.worked = time.monotonic()

    @property
    def idle_s(self) -> float:
        """Seconds since somebody was at work."""
        return time.monotonic() - self.worked


def digest(word: str) -> str:
    """What is kept of a word: enough to know it again."""
    return sha256(word.encode()).hexdigest()


def draw_label() -> str:
    """A host's first label that nobody can guess, and that no page has had before."""
    return secrets.token_hex(16)
