"""The rules of runs: the states of one, who may stop it, and when its model may be promoted.

Who may start one is said by ``extract.opening``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from erios.governance.roles import Person, Role
from erios.governance.words import Refusal


class State(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_live(self) -> bool:
        """It waits for its turn or works."""
        return self in LIVE


LIVE = (State.QUEUED, State.RUNNING)
STOPPERS = frozenset({Role.DPO, Role.CONTROLLER, Role.DATA_MANAGER})
"""Who may stop any run; besides them, everybody on the study's team its own."""


def stopping(person: Person, team: frozenset[str]) -> Refusal | None:
    """Why this person may not stop a run of the study; None if they may."""
    if person.login in team or person.roles & STOPPERS:
        return None
    return Refusal("not-on-team")


@dataclass(frozen=True)
class Evidence:
    """What is on record of a run whose model somebody wants others to use."""

    state: State
    starter: str
    judged: bool
    baseline: bool
    groups: bool
    energy: bool
    intended_use: bool
    licence: bool
    reproduced: bool
    untouched: bool

    @property
    def missing(self) -> tuple[str, ...]:
        """What a promotion still lacks, in the words of ``governance.words``."""
        return tuple(f"evidence-{name}" for name in _NEEDED if not getattr(self, name))


_NEEDED = ("judged", "baseline", "groups", "energy", "intended_use", "licence", "reproduced", "untouched")


def promoting(person: Person, team: frozenset[str], evidence: Evidence) -> Refusal | None:
    """Why this person may not promote the run's model; None if they may. Nobody promotes what they trained."""
    if person.login not in team and Role.DATA_MANAGER not in person.roles:
        return Refusal("not-on-team")
    if person.login == evidence.starter:
        return Refusal("own-model")
    if evidence.state is not State.DONE:
        return Refusal("run-not-done", {"state": evidence.state})
    return Refusal("evidence-missing", {"missing": evidence.missing}) if evidence.missing else None
