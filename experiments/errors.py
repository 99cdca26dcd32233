"""The wing's errors: one sentence each, for a data scientist; never a value of a patient's record."""

from __future__ import annotations

import signal
import traceback

SAYS = "the training says: "
"""Before words that come from inside the sandbox: the team reads them, and they are no evidence."""


class ExperimentError(Exception):
    """Whatever stops an experiment; ``str()`` is the sentence to show."""


class ProfileError(ExperimentError):
    """A cluster's profile, or a request to the cluster, that is not valid."""


class ClusterError(ExperimentError):
    """The cluster cannot be reached, refuses the job, or knows no such job."""


class RankError(ExperimentError):
    """A process that does not know its rank or reach its peers, or has lost one of them."""


class BundleError(ExperimentError):
    """A bundle, or what is set in it, that is not as it must be."""


class DataError(ExperimentError):
    """An extract that lacks what the bundle asks of it."""


class ForbiddenError(ExperimentError):
    """The run is no longer allowed: the clearance, the study or the person's right has ended."""


class StoppedError(ForbiddenError):
    """Somebody stopped the run, which keeps its right: it is checkpointed and may be resumed."""


class TrackingError(ExperimentError):
    """The record of a run cannot be written, or its recorder has died."""


class SandboxError(ExperimentError):
    """The wall around foreign code cannot be built, or what is behind it breaks its rules."""


class KilledError(SandboxError):
    """The training's process was killed by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"the training was killed by {signal.Signals(number).name}")
        self.number = number


class CheckpointError(ExperimentError):
    """A checkpoint that is missing, damaged or of another run."""


def first_cause(error: BaseException) -> BaseException:
    """The exception at the start of a chain of causes."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def code_location(error: BaseException) -> str:
    """File and line of a traceback's innermost frame; no values."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else "its configuration"
