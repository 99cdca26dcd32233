"""How an attempt of a run ended. MLflow's words for it are known to ``recorder`` alone."""

from __future__ import annotations

from enum import StrEnum

_EARLIER = {"FINISHED": "done", "FAILED": "failed", "KILLED": "stopped"}
"""Words of events and results that were stored before this vocabulary."""


class Outcome(StrEnum):
    """``STOPPED``: by a signal or the keyboard; the run may continue in another attempt."""

    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"

    @classmethod
    def _missing_(cls, value: object) -> Outcome | None:
        return cls(_EARLIER[value]) if isinstance(value, str) and value in _EARLIER else None
