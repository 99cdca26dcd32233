"""Whether a run must stop, and why: the guard that is asked, the signals that arrive, and the agreement of the ranks.

Owns the reasons and their order of gravity. It must never decide whether a run is allowed: it asks the guard.
"""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass, field
from typing import Protocol

from experiments.distributed import gather_all
from experiments.errors import ExperimentError, ForbiddenError, StoppedError

CHECK_EVERY = 5.0
"""Seconds between two checks of the right to continue, within an epoch."""


class Guard(Protocol):
    """Whether the run may continue. Both raise ForbiddenError with the reason."""

    def verify(self) -> None:
        """Check every right, and every byte of the extract."""

    def ask(self) -> None:
        """Check the rights alone: cheap, called often."""


class PreemptedError(ExperimentError):
    """The scheduler takes the nodes back: the run is checkpointed and may be queued again."""


@dataclass
class StopSignal:
    """Why this process must stop, once it must; set by a signal or by the guard, read between iterations."""

    reason: ExperimentError | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    def on_signal(self, number: int, _frame: object) -> None:
        """Handler of ``cluster.NOTICES``."""
        self.reason = self.reason or PreemptedError(f"stopped by {signal.Signals(number).name}")

    def poll(self, guard: Guard, every: float = CHECK_EVERY) -> None:
        """Ask the guard every ``every`` seconds until ``end``; a check that fails counts as a no."""
        while not self._ended.wait(every):
            try:
                guard.ask()
            except ForbiddenError as error:
                self.reason = error
                return
            except Exception as error:
                self.reason = ForbiddenError(f"the right to continue cannot be checked ({type(error).__name__})")
                return

    def end(self) -> None:
        """Stop polling."""
        self._ended.set()


_REASONS: tuple[type[ExperimentError], ...] = (PreemptedError, StoppedError, ForbiddenError)
"""By gravity, ascending; any other reason is graver."""


def agree(mine: ExperimentError | None) -> ExperimentError | None:
    """The gravest reason of any rank, the same on all of them; None if no rank has one."""
    own = None if mine is None else (type(mine).__name__, str(mine))
    reasons = [reason for reason in gather_all(own) if reason is not None]
    if not reasons:
        return None
    kinds = {kind.__name__: kind for kind in _REASONS}
    gravity = list(kinds)
    kind, sentence = max(reasons, key=lambda reason: gravity.index(reason[0]) if reason[0] in kinds else len(kinds))
    return kinds.get(kind, ExperimentError)(sentence)
