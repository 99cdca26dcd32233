"""Periodic work beside a server: rights that end, runs that must stop, accounts of the tracking server."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from erios.studies.actions import expire_studies
from erios.studies.airlock_actions import expire_requests
from erios.studies.extract_actions import expire_extracts
from erios.workflows.run_follow import follow
from erios.workflows.tracking_access import share_runs

_log = logging.getLogger(__name__)


ROUND = 5.0
"""Seconds between two looks at live runs: a run that has lost its right stands still no later."""


@contextmanager
def rounds(every: float = ROUND) -> Iterator[None]:
    """Make a round now, then one ``every`` so many seconds beside what the caller does."""
    done = Event()
    walker = Thread(target=_walk, args=(done, every), daemon=True)
    make_round()
    walker.start()
    try:
        yield
    finally:
        done.set()
        walker.join()


def _walk(done: Event, every: float) -> None:
    from django.db import connections

    while not done.wait(every):
        make_round()
        connections.close_all()


def make_round() -> None:
    """Let expire what is over, and close or stop runs; what fails is logged and tried again in the next round."""
    for step in (nightly, follow, share_runs):
        try:
            step()
        except Exception as error:
            _log.error("%s failed: %s", step.__name__, type(error).__name__)


def nightly() -> None:
    """Let studies, extracts and requests of the airlock expire whose time has passed."""
    from django.utils import timezone

    expire_studies(today=timezone.localdate())
    expire_extracts(today=timezone.localdate())
    expire_requests(now=timezone.now())
