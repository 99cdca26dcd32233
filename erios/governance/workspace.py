"""The rules of workspaces: the states of one, who may close it, and how much may leave those of a person.

Who may open one is said by ``extract.opening``, as for trainings.
"""

from __future__ import annotations

from enum import StrEnum

from erios.governance.roles import Person
from erios.governance.run import STOPPERS
from erios.governance.words import Refusal


class State(StrEnum):
    """Where a workspace stands."""

    ASKED = "workspace asked"
    OPEN = "workspace open"
    CLOSED = "workspace closed"

    @property
    def is_live(self) -> bool:
        """It may be entered."""
        return self in LIVE


LIVE = (State.ASKED, State.OPEN)


def entering(other: str, out: int, most: int) -> Refusal | None:
    """Why somebody may open no workspace now; ``other``: the number of the one that they have open on other data.

    ``out``: bytes that have left theirs in a day; ``most``: bytes that may.
    """
    if other:
        return Refusal("workspace-other", {"number": other})
    return Refusal("workspace-spent", {"most": most >> 20}) if out >= most else None


def closing(person: Person, owner: str) -> Refusal | None:
    """Why this person may not close the workspace of ``owner``; None if they may."""
    return None if person.login == owner or person.roles & STOPPERS else Refusal("workspace-not-yours")
