"""Whether a run may go on, asked from inside its job: rights from the governance database, bytes from the disk.

Owns the question, not the rules. A job holds no key and writes no event: what it finds, it says by ending, and
``erios.workflows.run_follow`` puts that on record. An answer that cannot be had is a no.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from erios.errors import EriosError
from erios.extracts.opening import open_verified
from erios.governance.run import State
from erios.studies.extract_selectors import clearance_of
from erios.studies.run_selectors import find_run, lost_right
from experiments.errors import ForbiddenError, StoppedError

_SHARE = 0.01
"""Of the time between two checkpoints, what reading every byte of the extract again may take."""
_DRIFT = timedelta(minutes=5)


class RunGuard:
    """The right of one run, by its number."""

    def __init__(self, number: str) -> None:
        self.number = number
        self._cost = 0.0
        self._last: float | None = None

    def ask(self) -> None:
        """Is the run still wanted, the extract released, the study active, its starter on the team?"""
        run = self._run()

        now = datetime.now(UTC)
        if now < run.created - _DRIFT:
            raise ForbiddenError(
                f"this machine's clock says {now:%Y-%m-%d %H:%M}, which is before the run was asked for"
            )
        if refusal := lost_right(run):
            raise ForbiddenError(str(refusal))
        if not State(run.state).is_live:
            raise StoppedError(run.reason or f"run {self.number} was stopped")

    def verify(self) -> None:
        """The rights, and every byte of the extract: before the first epoch, and again where it costs little."""
        self.ask()
        began = time.monotonic()
        if self._last is not None and self._cost > _SHARE * (began - self._last):
            return
        self._read_all()
        self._last, self._cost = time.monotonic(), time.monotonic() - began

    def _read_all(self) -> None:

        extract = self._run().extract
        try:
            open_verified(extract.number, clearance_of(extract))
        except EriosError as error:
            raise ForbiddenError(error.sentence) from None

    def _run(self) -> Any:
        from django.db import DatabaseError

        try:
            return find_run(self.number)
        except (DatabaseError, EriosError):
            raise ForbiddenError(
                "the governance database does not answer, so nobody can say that it may go on"
            ) from None
