"""How much has left a workspace for a browser, and how much may."""

from __future__ import annotations

from experiments.errors import SandboxError


class TrafficError(SandboxError):
    """More would leave the workspace than may."""


class Traffic:
    """Bytes out and what was refused. ``most``: bytes that may leave; ``largest``: in one answer or message."""

    def __init__(self, most: int, largest: int) -> None:
        self.most, self.largest = most, largest
        self.out = 0
        self.refused = 0

    def check(self, size: int) -> None:
        """Count bytes before they leave; TrafficError if they may not."""
        if size > self.largest:
            self.refused += 1
            raise TrafficError(f"an answer of more than {self.largest >> 20} MiB does not leave a workspace")
        if self.out + size > self.most:
            self.refused += 1
            raise TrafficError(f"more than {self.most >> 20} MiB would have left the workspace")
        self.out += size

    @property
    def is_spent(self) -> bool:
        """Is hardly anything left that may go out?"""
        return self.out + 2**16 > self.most
