"""Whether a run may continue, checked in its job: rights in the governance database, bytes of the extract on disk.

Owns the checks, not the rules. A job holds no key and writes no event of the audit chain: it reports a refusal by its
exit code, and ``erios.workflows.run_follow``, which holds the record against the chain, records that. What was granted
when the run was queued (extract, root, signing key, expiry, person) stands in its specification, not in the database:
a row can take a right from a job, and give it none. A check that cannot be made counts as a refusal.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from erios.clock import hospital_day
from erios.errors import EriosError
from erios.extracts.manifest import verify
from erios.governance.run import State
from erios.governance.words import Refusal
from erios.studies.run_selectors import find_run, lost_right
from experiments.errors import ForbiddenError, StoppedError
from experiments.run_spec import RunSpec

_SHARE = 0.01
"""Largest share of the time between two checkpoints that reading the whole extract again may take."""
_DRIFT = timedelta(minutes=5)


class RunGuard:
    """The right of one run, by its specification."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec, self.number = spec, spec.run
        self._cost = 0.0
        self._last: float | None = None

    def ask(self) -> None:
        """Is the run not stopped, the extract released, the study active, its starter on the team?"""
        run = self._run()
        now = datetime.now(UTC)
        if now < run.created - _DRIFT:
            raise ForbiddenError(
                f"this machine's clock says {now:%Y-%m-%d %H:%M}, which is before the run was asked for"
            )
        self._check_grant(run, now)
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

    def _check_grant(self, run: Any, now: datetime) -> None:
        facts = self.spec.facts
        granted = (facts["extract"], facts["extract.root"], self.spec.person)
        if (run.extract.number, run.extract.root, run.by.username) != granted:
            raise ForbiddenError(f"the record of run {self.number} is not what it was when the run was asked for")
        if hospital_day(now).isoformat() > facts["extract.expires"]:
            raise ForbiddenError(str(Refusal("extract-expired")))

    def _read_all(self) -> None:
        facts = self.spec.facts
        try:
            verify(self.spec.dataset_dir, facts["extract.public_key"], facts["extract.root"])
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
